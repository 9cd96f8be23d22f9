"""Only those character devices are shown that were named."""

from support.synthetic_guest import SyntheticGuest, SyntheticPort

from sidecar.drop_in.chosen_ports import ChosenPorts
from sidecar.guest import PortKind
from sidecar.serial.line import SerialLines, WritePolicy


def test_what_was_not_named_is_no_line_whenever_it_comes() -> None:
    guest = SyntheticGuest()
    guest.add_port(SyntheticPort("org.qemu.console.serial.0", kind=PortKind.SERIAL))
    chosen = ChosenPorts(guest, ["org.qemu.console.serial.0", "org.qemu.monitor.qmp.0"])
    lines = SerialLines(chosen, write=WritePolicy.EVERYBODY, monitors=True)
    try:
        guest.add_port(SyntheticPort("org.qemu.monitor.hmp.0", kind=PortKind.MONITOR))
        guest.add_port(SyntheticPort("org.qemu.console.serial.1", kind=PortKind.SERIAL))
        assert list(lines.by_name) == ["org.qemu.console.serial.0"]
        guest.add_port(SyntheticPort("org.qemu.monitor.qmp.0", kind=PortKind.MONITOR))
        assert list(lines.by_name) == ["org.qemu.console.serial.0", "org.qemu.monitor.qmp.0"]
    finally:
        lines.close()


def test_everything_else_is_the_machines_own() -> None:
    guest = SyntheticGuest()
    chosen = ChosenPorts(guest, [])
    assert dict(chosen.consoles) == dict(guest.consoles)
    for name in ("state", "name", "uuid", "power", "audio", "microphone", "clipboard", "lifecycle"):
        assert getattr(chosen, name) is getattr(guest, name)
