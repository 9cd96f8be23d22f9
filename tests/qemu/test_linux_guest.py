"""The Linux guest that other tests log in to, listen to and copy from is one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.bus import Bus
from support.linux_guest import PASSWORD, PROMPT, USER, Dialogue, LinuxGuest, Result
from support.qemu import dbus_display


@pytest.fixture
def start_linux(short_dir: Path) -> Iterator[Callable[..., LinuxGuest]]:
    with ExitStack() as stack:

        def start(*display: str, **options: Any) -> LinuxGuest:
            directory = short_dir / "linux"
            directory.mkdir()
            guest = LinuxGuest(directory, display or ("-display", "none"), **options)
            stack.callback(guest.close)
            return guest

        yield start


def test_it_is_logged_in_to_has_a_terminal_on_every_port_and_plays_on_its_card(
    start_linux: Callable[..., LinuxGuest], bus: Bus
) -> None:
    guest = start_linux(*dbus_display(bus.address), serial_ports=1, virtio_console=True, sound="hda")
    shell = guest.shell()
    assert shell.run("uname -s") == Result("Linux", 0)
    assert shell.run("echo two; echo lines; false") == Result("two\nlines", 1)
    # both gettys are there as soon as their devices are
    shell.check("until ps | grep -q '[g]etty.*ttyS1' && ps | grep -q '[g]etty.*hvc0'; do sleep 0.1; done")
    shell.check("until [ -c /dev/snd/pcmC0D0p ]; do sleep 0.1; done")
    assert "HDA-Intel" in shell.check("cat /proc/asound/cards")
    assert shell.check("tone 440 1") == ""
    # who comes later finds the shell as it was left
    assert guest.shell().check("id -un") == USER
    guest.com1.send(b"poweroff\r")
    assert guest.process.wait() == 0


def test_a_dialogue_finds_its_way_from_whatever_is_shown() -> None:
    dialogue = Dialogue("true")
    assert dialogue.receive(b"") == b""
    assert dialogue.nudge() == b"\r"
    assert dialogue.receive(b"\r\nlinux-guest log") == b""
    assert dialogue.receive(b"in: ") == USER.encode() + b"\r"
    # the answer to a second Enter that was on its way
    assert dialogue.receive(b"\r\nlinux-guest login: ") == b""
    assert dialogue.receive(USER.encode() + b"\r\nPassword: ") == PASSWORD.encode() + b"\r"
    typed = dialogue.receive(b"\r\n" + PROMPT.encode())
    assert typed == b"printf '\\035%s\\036' 0; true; printf '\\035%s:%s\\036' 0 $?\r"
    assert dialogue.receive(b"\x1b[6n" + typed + b"\n") == b""
    assert dialogue.nudge() == b""
    assert dialogue.receive(b"\x1d0\x1esaid\r\n\x1d0:3") == b""
    assert not dialogue.is_done
    assert dialogue.receive(b"\x1e" + PROMPT.encode()) == b""
    assert dialogue.results == [Result("said", 3)]
