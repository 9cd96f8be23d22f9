"""A serial console, a clipboard channel and USB slots for viewers, through the three calls of one boot."""

from pathlib import Path

import pytest
from lxml import etree
from support.domain_samples import GRAPHICAL, QEMU, kept_by_kubevirt, options, sample
from support.libvirt_schema import made_valid, verdict

from sidecar.domain.errors import DomainError
from sidecar.domain.options import Graphics, options_from_vmi
from sidecar.domain.rewrite import rewrite
from sidecar.domain.vmi import Vmi
from sidecar.errors import UsageError

DEFAULT = "amd64-default-vnc"


def devices(domain: bytes, path: str) -> list[str]:
    """The devices of that kind, each on one line without blanks between its parts."""
    root = etree.fromstring(domain, etree.XMLParser(remove_blank_text=True))
    found = root.findall(f"devices/{path}")
    for each in found:
        each.tail = None
        each.getparent().remove(each)
        etree.cleanup_namespaces(each)
    return [etree.tostring(each).decode() for each in found]


def arguments(domain: bytes) -> list[str]:
    root = etree.fromstring(domain)
    return [argument.get("value", "") for argument in root.findall(f"{QEMU}commandline/{QEMU}arg")]


OURS = {
    "console[@type='dbus']": [
        '<console type="dbus"><source channel="org.qemu.console.serial.0"/><target type="virtio"/></console>'
    ],
    "channel[@type='qemu-vdagent']": [
        '<channel type="qemu-vdagent"><source><clipboard copypaste="yes"/><mouse mode="server"/></source>'
        '<target type="virtio" name="com.redhat.spice.0"/></channel>'
    ],
    "redirdev": ['<redirdev bus="usb" type="dbus"><source channel="org.qemu.usbredir"/></redirdev>'] * 2,
}


@pytest.mark.parametrize("graphics", [Graphics.REPLACE, Graphics.KEEP_VNC])
@pytest.mark.parametrize("name", GRAPHICAL)
def test_every_call_of_a_boot_has_the_devices_once_and_whole(
    name: str, graphics: Graphics, tmp_path: Path
) -> None:
    wanted = options(graphics, serial=True, clipboard=True, usb=2)
    domain = made_valid(sample(name))
    before = {path: devices(domain, path) for path in ("serial", "console[@type='pty']")}
    for _ in range(3):
        answer = rewrite(domain, wanted)
        assert {path: devices(answer, path) for path in OURS} == OURS
        assert {path: devices(answer, path) for path in before} == before
        assert not devices(answer, "controller[@type='usb'][@model='none']")
        assert rewrite(answer, wanted) == answer
        assert verdict(tmp_path, answer) == ""
        domain = kept_by_kubevirt(answer)


def test_nothing_is_added_that_nobody_asked_for() -> None:
    answer = rewrite(sample(DEFAULT), options())
    assert not any(devices(answer, path) for path in OURS)
    declined = options(serial=False, clipboard=False, usb=0)
    assert rewrite(sample(DEFAULT), declined) == answer


def test_with_commandline_they_are_qemus_own_options_once() -> None:
    wanted = options(Graphics.COMMANDLINE, serial=True, clipboard=True)
    answer = rewrite(sample(DEFAULT), wanted)
    assert not any(devices(answer, path) for path in OURS)
    assert arguments(answer)[2:] == [
        *("-device", "virtio-serial-pci,id=vdi-ports,addr=0x18"),
        *("-chardev", "dbus,id=vdi_console,name=org.qemu.console.serial.0"),
        *("-device", "virtconsole,bus=vdi-ports.0,chardev=vdi_console,id=vdi-console0"),
        *("-chardev", "qemu-vdagent,id=vdi-agent,clipboard=on,mouse=off"),
        *(
            "-device",
            "virtserialport,bus=vdi-ports.0,chardev=vdi-agent,name=com.redhat.spice.0,id=vdi-agent0",
        ),
    ]
    assert rewrite(answer, wanted) == answer
    assert rewrite(kept_by_kubevirt(answer), wanted).count(b"vdi-ports") == answer.count(b"vdi-ports")


def test_a_machine_without_pci_has_its_ports_on_its_own_bus() -> None:
    answer = rewrite(sample("s390x-virtio"), options(Graphics.COMMANDLINE, serial=True))
    assert arguments(answer)[2:4] == ["-device", "virtio-serial-ccw,id=vdi-ports"]


def test_what_was_missing_of_several_options_is_added_to_those_that_are_there() -> None:
    first = rewrite(sample(DEFAULT), options(Graphics.COMMANDLINE, serial=True))
    both = rewrite(first, options(Graphics.COMMANDLINE, serial=True, clipboard=True))
    assert arguments(both)[: len(arguments(first))] == arguments(first)
    assert len(arguments(both)) == len(arguments(first)) + 4
    assert len(etree.fromstring(both).findall(f"{QEMU}commandline")) == 1


def with_device(xml: str) -> bytes:
    return sample(DEFAULT).replace(b"</devices>", xml.encode() + b"</devices>")


def test_a_dbus_serial_port_that_is_there_already_is_enough() -> None:
    there = '<serial type="dbus"><source channel="org.qemu.console.serial.3"/><target port="1"/></serial>'
    answer = rewrite(with_device(there), options(serial=True))
    assert devices(answer, "serial[@type='dbus']") == [there]
    assert not devices(answer, "console[@type='dbus']")


def test_ports_that_lost_their_channels_get_numbers_that_are_free() -> None:
    there = (
        '<serial type="dbus"><source channel="org.qemu.console.serial.0"/></serial>'
        '<console type="dbus"><source/><target type="virtio"/></console>'
    )
    answer = rewrite(with_device(there), options(serial=True))
    assert 'channel="org.qemu.console.serial.1"' in devices(answer, "console[@type='dbus']")[0]


def test_a_spice_channel_keeps_the_agents_port() -> None:
    there = '<channel type="spicevmc"><target type="virtio" name="com.redhat.spice.0"/></channel>'
    answer = rewrite(with_device(there), options(clipboard=True))
    assert not devices(answer, "channel[@type='qemu-vdagent']")
    assert devices(answer, "channel[@type='spicevmc']") == [there]


def test_slots_of_others_stay_and_do_not_count() -> None:
    there = '<redirdev type="unix" bus="usb"><source mode="bind" path="/run/usb"/></redirdev>'
    answer = rewrite(with_device(there), options(usb=1))
    assert [each == there for each in devices(answer, "redirdev")] == [True, False]


@pytest.mark.parametrize(
    ("annotation", "option", "value", "meant"),
    [
        ("serial", "serial", "true", True),
        ("serial", "serial", "False", False),
        ("clipboard", "clipboard", "true", True),
        ("usb", "usb", "0", 0),
        ("usb", "usb", "4", 4),
        ("usb", "usb", "8", 8),
    ],
)
def test_annotations_ask_for_them(annotation: str, option: str, value: str, meant: object) -> None:
    vmi = Vmi(annotations={f"vdi-sidecar/{annotation}": value})
    assert getattr(options_from_vmi(vmi, options()), option) == meant


def test_what_an_option_says_holds_against_the_annotation() -> None:
    said = options(serial=False, clipboard=False, usb=1)
    annotated = {"vdi-sidecar/serial": "true", "vdi-sidecar/clipboard": "true", "vdi-sidecar/usb": "3"}
    assert options_from_vmi(Vmi(annotations=annotated), said) == said


@pytest.mark.parametrize("value", ["", "9", "-1", "1.0", "true", "²", "00000000001", "1 "])
def test_a_number_of_slots_that_means_nothing_is_refused(value: str) -> None:
    with pytest.raises(DomainError, match=r"vdi-sidecar/usb must be a number of slots"):
        options_from_vmi(Vmi(annotations={"vdi-sidecar/usb": value}), options())


@pytest.mark.parametrize("slots", [-1, 9])
def test_an_option_for_too_many_slots_is_refused(slots: int) -> None:
    with pytest.raises(UsageError, match="0 to 8 slots"):
        options(usb=slots)
