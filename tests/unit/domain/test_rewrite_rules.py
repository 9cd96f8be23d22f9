"""What a rewrite adds, completes and leaves alone, one rule at a time."""

import pytest
from lxml import etree
from support.domain_samples import ADDRESS, QEMU, options

from sidecar.domain.options import Graphics, RewriteOptions
from sidecar.domain.rewrite import rewrite

VNC = "<graphics type='vnc' port='5900'/>"
SPICE = "<graphics type='spice' autoport='yes'/>"
NO_USB = "<controller type='usb' model='none'/>"
XHCI = "<controller type='usb' model='qemu-xhci'/>"


def domain(devices: str = VNC, *, arch: str = "x86_64", outside: str = "") -> bytes:
    return (
        f"<domain type='kvm'><os><type arch='{arch}'>hvm</type></os>"
        f"<devices>{devices}</devices>{outside}</domain>"
    ).encode()


def rewritten(xml: bytes, **more: object) -> etree._Element:
    return etree.fromstring(rewrite(xml, options(**more)))


def tags(root: etree._Element, name: str) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in root.findall(f"devices/{name}")]


def qemu_domain(*arguments: str, devices: str = VNC) -> bytes:
    items = "".join(f"<q:arg value='{argument}'/>" for argument in arguments)
    outside = f"<q:commandline xmlns:q='{QEMU[1:-1]}'>{items}</q:commandline>"
    return domain(devices, outside=outside)


def arguments_of(root: etree._Element) -> list[str]:
    return [element.get("value") for element in root.iter(f"{QEMU}arg")]


@pytest.mark.parametrize(
    ("arch", "controllers", "bus"),
    [
        ("x86_64", NO_USB, "virtio"),
        ("x86_64", XHCI, "usb"),
        ("x86_64", "<controller type='usb' model='piix3-uhci'/>", "usb"),
        ("x86_64", "<controller type='usb'/>", "usb"),
        ("x86_64", NO_USB + XHCI, "usb"),
        ("x86_64", "", "usb"),
        ("x86_64", "<controller type='scsi' model='none'/>", "usb"),
        ("aarch64", XHCI, "usb"),
        ("aarch64", NO_USB, "virtio"),
        ("aarch64", "", "virtio"),
        ("s390x", NO_USB, "virtio"),
        ("s390x", "", "virtio"),
        ("riscv64", "", "virtio"),
    ],
)
def test_the_tablet_is_on_a_bus_that_works(arch: str, controllers: str, bus: str) -> None:
    root = rewritten(domain(VNC + controllers, arch=arch))
    assert {"type": "tablet", "bus": bus} in tags(root, "input")


@pytest.mark.parametrize("bus", ["usb", "virtio"])
def test_a_tablet_that_is_there_is_enough(bus: str) -> None:
    root = rewritten(domain(f"{VNC}<input type='tablet' bus='{bus}'/>"))
    assert tags(root, "input") == [{"type": "tablet", "bus": bus}]


@pytest.mark.parametrize("device", ["usb-tablet,id=t", "virtio-tablet-pci", "virtio-tablet-ccw"])
def test_a_tablet_among_qemus_arguments_is_enough(device: str) -> None:
    assert tags(rewritten(qemu_domain("-device", device)), "input") == []


def test_a_mouse_is_not_an_absolute_pointer() -> None:
    root = rewritten(domain(f"{VNC}<input type='mouse' bus='ps2'/>"))
    assert [element["type"] for element in tags(root, "input")] == ["mouse", "tablet"]


@pytest.mark.parametrize(
    ("arch", "keyboards"), [("x86_64", 0), ("ppc64le", 0), ("aarch64", 1), ("s390x", 1), ("riscv64", 1)]
)
def test_a_machine_that_would_have_no_keyboard_gets_one(arch: str, keyboards: int) -> None:
    root = rewritten(domain(arch=arch))
    assert [element["type"] for element in tags(root, "input")].count("keyboard") == keyboards


def test_a_keyboard_that_is_there_is_enough() -> None:
    root = rewritten(domain(f"{VNC}<input type='keyboard' bus='virtio'/>", arch="s390x"))
    assert [element["type"] for element in tags(root, "input")] == ["keyboard", "tablet"]


def test_input_devices_can_be_declined() -> None:
    assert tags(rewritten(domain(arch="s390x"), input=False), "input") == []


@pytest.mark.parametrize(
    ("arch", "model"),
    [
        ("x86_64", {"type": "vga", "heads": "1", "vram": "16384"}),
        ("ppc64le", {"type": "vga", "heads": "1", "vram": "16384"}),
        ("aarch64", {"type": "virtio", "heads": "1"}),
        ("s390x", {"type": "virtio", "heads": "1"}),
    ],
)
def test_a_graphical_machine_without_video_gets_some(arch: str, model: dict[str, str]) -> None:
    assert tags(rewritten(domain(arch=arch)), "video/model") == [model]


@pytest.mark.parametrize("model", ["qxl", "none", "virtio"])
def test_video_that_is_there_stays(model: str) -> None:
    root = rewritten(domain(f"{VNC}<video><model type='{model}'/></video>"))
    assert tags(root, "video/model") == [{"type": model}]


@pytest.mark.parametrize("graphics", list(Graphics))
@pytest.mark.parametrize(
    "xml",
    [
        domain(""),
        domain("<video><model type='virtio'/></video><sound model='ich9'/>"),
        b"<domain/>",
        b"<domain><devices/></domain>\n",
        domain("", outside="<graphics type='vnc'/>"),
        domain("<x:graphics xmlns:x='urn:x' type='vnc'/>"),
        domain("<disk><graphics type='vnc'/></disk>"),
    ],
)
def test_a_machine_without_graphics_stays_as_it_is(xml: bytes, graphics: Graphics) -> None:
    assert rewrite(xml, options(graphics)) == xml
    assert rewrite(xml, options(graphics, screen=False)) == xml


@pytest.mark.parametrize("xml", [domain(""), b"<domain/>", b"<domain><devices/></domain>"])
def test_a_machine_without_graphics_gets_a_screen_when_asked(xml: bytes) -> None:
    root = rewritten(xml, screen=True)
    assert sorted(child.tag for child in root.find("devices")) == ["audio", "graphics", "input", "video"]
    assert len(root.findall("devices")) == 1
    assert tags(root, "graphics") == [{"type": "dbus", "address": ADDRESS}]


def test_a_machine_without_graphics_gets_a_screen_by_the_commandline_when_asked() -> None:
    root = rewritten(domain(""), graphics=Graphics.COMMANDLINE, screen=True)
    assert [child.tag for child in root.find("devices")] == ["video", "input"]
    assert arguments_of(root) == ["-display", f"dbus,addr={ADDRESS}"]


@pytest.mark.parametrize("devices", [SPICE + VNC, VNC + SPICE, SPICE])
@pytest.mark.parametrize("graphics", [Graphics.REPLACE, Graphics.KEEP_VNC])
def test_spice_stays_beside_it(devices: str, graphics: Graphics) -> None:
    root = rewritten(domain(devices), graphics=graphics)
    assert {"type": "spice", "autoport": "yes"} in tags(root, "graphics")
    assert {"type": "dbus", "address": ADDRESS} in tags(root, "graphics")
    vnc = graphics is Graphics.KEEP_VNC and "vnc" in devices
    assert len(tags(root, "graphics")) == (3 if vnc else 2)


@pytest.mark.parametrize("kind", ["sdl", "desktop", "egl-headless", "rdp"])
def test_graphics_that_cannot_be_beside_it_make_room(kind: str) -> None:
    root = rewritten(domain(f"{VNC}<graphics type='{kind}'/>"), graphics=Graphics.KEEP_VNC)
    assert [element["type"] for element in tags(root, "graphics")] == ["vnc", "dbus"]
    assert tags(rewritten(domain(f"{VNC}<graphics type='{kind}'/>")), "graphics") == [
        {"type": "dbus", "address": ADDRESS}
    ]


@pytest.mark.parametrize(
    "present",
    [
        "<graphics type='dbus'/>",
        "<graphics type='dbus'></graphics>",
        "<graphics type='dbus' p2p='yes'/>",
        "<graphics address='unix:path=/old' type='dbus'/>",
        "<graphics type='dbus'><audio id='7'/><audio id='8'/></graphics>",
        "<graphics type='dbus'/><graphics type='dbus'/>",
        f"<graphics type='dbus'/>{VNC}",
        f"{VNC}<graphics type='dbus'/>{VNC}",
    ],
)
def test_a_dbus_display_that_has_lost_its_parts_is_made_whole(present: str) -> None:
    root = rewritten(domain(present))
    assert tags(root, "graphics") == [{"address": ADDRESS, "type": "dbus"}]
    assert tags(root, "graphics/audio") == [{"id": "1"}]
    assert tags(root, "audio") == [{"id": "1", "type": "dbus"}]


def test_what_else_a_dbus_display_holds_stays() -> None:
    present = "<graphics type='dbus' fullscreen='no'><gl enable='no'/><clipboard copypaste='yes'/></graphics>"
    (graphics,) = rewritten(domain(present)).findall("devices/graphics")
    assert graphics.get("fullscreen") == "no"
    assert [child.tag for child in graphics] == ["gl", "clipboard", "audio"]


@pytest.mark.parametrize(
    ("present", "after", "inner"),
    [
        ("", [("1", "dbus")], "1"),
        ("<audio id='1' type='dbus'/>", [("1", "dbus")], "1"),
        ("<audio id='4' type='dbus'/>", [("4", "dbus")], "4"),
        ("<audio id='1' type='none'/>", [("1", "dbus")], "1"),
        ("<audio id='1' type='spice'/>", [("1", "spice"), ("2", "dbus")], "2"),
        (
            "<audio id='2' type='alsa'/><audio id='1' type='pulseaudio'/>",
            [("2", "alsa"), ("1", "pulseaudio"), ("3", "dbus")],
            "3",
        ),
        ("<audio id='1' type='none'/><audio id='2' type='dbus'/>", [("1", "none"), ("2", "dbus")], "2"),
    ],
)
def test_sound_goes_over_the_bus_unless_somebody_sent_it_elsewhere(
    present: str, after: list[tuple[str, str]], inner: str
) -> None:
    root = rewritten(domain(f"{VNC}<sound model='ich9'/>{present}"))
    assert [(audio["id"], audio["type"]) for audio in tags(root, "audio")] == after
    assert tags(root, "graphics/audio") == [{"id": inner}]


def test_sound_can_be_declined() -> None:
    root = rewritten(domain(), audio=False)
    assert tags(root, "audio") == tags(root, "graphics/audio") == []


def test_a_sound_card_without_sound_over_the_bus_leads_nowhere() -> None:
    """Else libvirt finds no audio backend for it and does not start the machine."""
    root = rewritten(domain(f"{VNC}<sound model='ich9'/>"), audio=False)
    assert tags(root, "audio") == [{"id": "1", "type": "none"}]
    assert tags(root, "graphics/audio") == []


def test_declined_sound_is_taken_from_the_display() -> None:
    root = rewritten(domain("<graphics type='dbus'><audio id='1'/></graphics>"), audio=False)
    assert tags(root, "graphics/audio") == []


def test_the_commandline_has_no_sound_unless_asked() -> None:
    """Plugins lose `<audio>`, and QEMU does not start with a display that names a lost one."""
    xml = domain(f"{VNC}<sound model='ich9'/>")
    silent = rewritten(xml, graphics=Graphics.COMMANDLINE)
    assert arguments_of(silent) == ["-display", f"dbus,addr={ADDRESS}"]
    assert tags(silent, "audio") == []
    heard = rewritten(xml, graphics=Graphics.COMMANDLINE, audio=True)
    assert arguments_of(heard) == ["-display", f"dbus,addr={ADDRESS},audiodev=audio1"]
    assert tags(heard, "audio") == [{"id": "1", "type": "dbus"}]


def test_commas_of_an_address_are_doubled_for_qemu() -> None:
    address = "unix:path=/run/bus,guid=0123"
    xml = rewrite(domain(), RewriteOptions(address=address, graphics=Graphics.COMMANDLINE))
    assert arguments_of(etree.fromstring(xml))[1] == "dbus,addr=unix:path=/run/bus,,guid=0123"


def test_other_arguments_of_qemu_stay_in_their_order() -> None:
    xml = qemu_domain(
        "-display", "dbus,addr=unix:path=/old", "-device", "edu", "-display", "dbus,p2p=yes", "-s"
    )
    root = rewritten(xml, graphics=Graphics.COMMANDLINE)
    assert arguments_of(root) == ["-display", f"dbus,addr={ADDRESS}", "-device", "edu", "-s"]
    assert arguments_of(rewritten(xml)) == ["-device", "edu", "-s"]


def test_other_displays_among_qemus_arguments_stay() -> None:
    assert arguments_of(rewritten(qemu_domain("-display", "none", "-name", "dbus"))) == [
        *("-display", "none", "-name", "dbus")
    ]


@pytest.mark.parametrize(
    ("declared", "prefix"),
    [
        (f"xmlns:qemu='{QEMU[1:-1]}'", "qemu"),
        (f"xmlns:q='{QEMU[1:-1]}'", "q"),
        ("", "qemu"),
        ("xmlns:qemu='urn:something-else'", "qemu"),
    ],
)
def test_the_arguments_are_in_qemus_namespace_whatever_its_prefix(declared: str, prefix: str) -> None:
    xml = f"<domain {declared}><devices>{VNC}</devices></domain>".encode()
    root = rewritten(xml, graphics=Graphics.COMMANDLINE)
    assert arguments_of(root) == ["-display", f"dbus,addr={ADDRESS}"]
    assert root.find(f"{QEMU}commandline").prefix == prefix


def test_arguments_join_a_commandline_that_is_there() -> None:
    root = rewritten(qemu_domain("-s"), graphics=Graphics.COMMANDLINE)
    assert arguments_of(root) == ["-s", "-display", f"dbus,addr={ADDRESS}"]
    assert len(root.findall(f"{QEMU}commandline")) == 1


def test_an_address_is_escaped() -> None:
    address = "unix:path=/run/a&b<c>\"d'e"
    xml = rewrite(domain(), RewriteOptions(address=address))
    assert etree.fromstring(xml).find("devices/graphics").get("address") == address
