"""How a machine of libvirt's shows itself in each mode, and to `vdi-sidecar serve`."""

import asyncio
from pathlib import Path

import pytest
from dbus_fast.aio import MessageBus
from lxml import etree
from support.bus import Bus
from support.daemon import COMMAND, Daemon
from support.domain_samples import sample
from support.guest_image import Mode, desktop, typed, was_clicked
from support.libvirt_daemon import USER, Libvirt
from support.libvirt_machine import NAME, Machine
from support.libvirt_pod import Pod
from support.ports import free_port, is_listening
from support.processes import Process
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding, key_event, pointer_event
from support.waiting import wait_until

A_KEY = 0x1E
SOUND = "amd64-sound-ich9"


def exported_objects(bus: str) -> list[str]:
    """What QEMU exports on the bus, besides the display itself."""

    async def ask() -> list[str]:
        connection = await MessageBus(bus).connect()
        try:
            display = await connection.introspect("org.qemu", "/org/qemu/Display1")
            return [child.name for child in display.nodes]
        finally:
            connection.disconnect()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("annotations", "displays", "sound"),
    [
        ({"graphics": "replace"}, ["dbus"], True),
        ({"graphics": "replace", "audio": "false"}, ["dbus"], False),
        ({"graphics": "keep-vnc"}, ["vnc", "dbus"], True),
        ({"graphics": "commandline"}, ["vnc"], False),
        ({"graphics": "commandline", "audio": "true"}, ["vnc"], True),
    ],
)
def test_each_mode_has_the_displays_and_the_sound_that_it_promises(
    pod: Pod, machine: Machine, annotations: dict[str, str], displays: list[str], sound: bool
) -> None:
    pod.boot(machine, sample(SOUND), **annotations)
    urls = {"vnc": f"vnc+unix://{machine.vnc_socket}", "dbus": pod.bus.replace("unix:path=", "dbus+unix://")}
    shown = machine.libvirt.virsh("domdisplay", "--all", NAME).split()
    assert shown == [urls[display] for display in displays]
    assert ("Audio" in exported_objects(pod.bus)) is sound
    machine.show(Mode.DESKTOP)
    with pod.viewer() as viewer:
        viewer.until_shown(desktop())
        if "vnc" in displays:
            with RfbClient(str(machine.vnc_socket)) as other:
                other.until_shown(desktop())
                viewer.refresh()
                assert viewer.shows(desktop())


def test_a_pointer_that_the_guest_knows_works_beside_the_tablet_that_was_added(
    pod: Pod, machine: Machine
) -> None:
    pod.boot(machine, sample("amd64-default-vnc"))
    assert etree.fromstring(machine.definition()).xpath("devices/input[@type='tablet']/@bus") == ["virtio"]
    machine.show(Mode.DESKTOP)
    with pod.viewer() as viewer:
        viewer.until_shown(desktop())
        for buttons in (0, 1, 0):
            viewer.send(pointer_event(300, 200, buttons))
        wait_until(lambda: was_clicked(machine.com1.read(), 300, 200), "the click arrives")


PLAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <serial type='unix'><source mode='bind' path='{com1}'/></serial>
    <video><model type='vga'/></video>
    <graphics type='dbus'{address}/>
  </devices>
</domain>
"""


def plain(machine: Machine, address: str = "") -> bytes:
    """A domain of somebody who knows libvirt's D-Bus display and no KubeVirt."""
    com1 = machine.directory / "com1"
    return PLAIN.format(name=NAME, disk=machine.disk, com1=com1, address=address).encode()


def is_served(address: tuple[str, int], machine: Machine) -> None:
    machine.show(Mode.DESKTOP)
    with RfbClient(address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE)) as viewer:
        viewer.until_shown(desktop())
        viewer.send(key_event(ord("a"), True) + key_event(ord("a"), False))
        machine.com1.wait_for(typed(A_KEY))


def test_serve_shows_a_machine_whose_domain_names_a_bus(
    machine: Machine, module_directory: Path, bus: Bus, short_dir: Path
) -> None:
    short_dir.chmod(0o755)
    machine.define(plain(machine, f" address='{bus.address}'"))
    machine.start()
    daemon = Daemon(short_dir, "--dbus-address", bus.address)
    try:
        is_served(daemon.address, machine)
    finally:
        daemon.close()


def test_serve_shows_a_machine_on_the_bus_that_libvirt_starts_itself(
    libvirt: Libvirt, machine: Machine, short_dir: Path
) -> None:
    """That bus lets in libvirt's own user only, so `serve` has to be that user's."""
    machine.define(plain(machine))
    machine.start()
    address = etree.fromstring(machine.definition()).xpath("string(devices/graphics/@address)")
    assert str(libvirt.directory) in address
    libvirt.give(short_dir)
    port = free_port()
    # the project may lie where that user may not read
    as_user = f"setpriv --reuid={USER} --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override"
    process = Process(
        [
            *(as_user.split() if USER else ()),
            *(*COMMAND, "serve", "--dbus-address", address, "--vnc", f"127.0.0.1:{port}", "--auth", "none"),
            *("--run-dir", str(short_dir / "run")),
        ],
        short_dir / "daemon.log",
    )
    try:
        wait_until(lambda: is_listening(port), f"it listens {process.output}")
        is_served(("127.0.0.1", port), machine)
    finally:
        assert process.stop() == 0, process.output


@pytest.mark.parametrize("graphics", ["replace", "commandline"])
def test_serial_console_clipboard_and_usb_are_there_when_the_vmi_asks_for_them(
    pod: Pod, machine: Machine, graphics: str
) -> None:
    usb = {} if graphics == "commandline" else {"usb": "1"}
    pod.boot(machine, sample("amd64-default-vnc"), graphics=graphics, serial="true", clipboard="true", **usb)
    objects = set(exported_objects(pod.bus))
    assert len([name for name in objects if name.startswith("Chardev_")]) == 1 + len(usb)
    assert "Clipboard" in objects
    machine.show(Mode.DESKTOP)
    with pod.viewer() as viewer:
        viewer.until_shown(desktop())
