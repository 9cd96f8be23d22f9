"""The Linux guest that other tests log in to, listen to and copy from is one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from support.bus import Bus
from support.linux_guest import PASSWORD, PROMPT, USER, Dialogue, LinuxGuest, Result
from support.qemu import dbus_display
from support.waiting import DEADLINE


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
    guest.com1.send(b"poweroff\n")
    assert guest.process.wait() == 0


CLIPBOARD = "/org/qemu/Display1/Clipboard"
CLIPBOARD_INTERFACE = "org.qemu.Display1.Clipboard"
TEXT = "text/plain;charset=utf-8"


class ClipboardPeer:
    """The other side of QEMU's clipboard, no more than a test of the guest needs, and not the daemon's."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._text = ""
        self.serial = 0
        self.grabbed = asyncio.Event()
        bus.add_message_handler(self._handle)

    def _handle(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL or message.path != CLIPBOARD:
            return False
        match message.member:
            case "GetAll":
                return Message.new_method_return(message, "a{sv}", [{}])
            case "Register":
                self.serial = 0
            case "Grab":
                self.serial = message.body[1]
                self.grabbed.set()
            case "Request":
                return Message.new_method_return(message, "say", [TEXT, self._text.encode()])
        return Message.new_method_return(message)

    async def call(self, member: str, signature: str = "", *body: Any) -> list[Any]:
        reply = await self._bus.call(
            Message("org.qemu", CLIPBOARD, CLIPBOARD_INTERFACE, member, signature=signature, body=[*body])
        )
        assert reply
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        return list(reply.body)

    async def copy(self, text: str) -> None:
        self._text = text
        await self.call("Grab", "uuas", 0, self.serial + 1, [TEXT])


async def test_its_agent_shares_the_clipboard_both_ways(
    start_linux: Callable[..., LinuxGuest], bus: Bus
) -> None:
    guest = start_linux(*dbus_display(bus.address), kind="agent", clipboard=True)
    shell = guest.shell()
    connection = await MessageBus(bus.address).connect()
    peer = ClipboardPeer(connection)
    await peer.call("Register")
    # copied again and again, since what is copied before the agent and QEMU know each other is not told
    async with asyncio.timeout(2 * DEADLINE):
        while not peer.grabbed.is_set():
            await asyncio.to_thread(shell.check, "clip copy 'Grüße aus Linux'; sleep 1")
    assert await peer.call("Request", "uas", 0, [TEXT]) == [TEXT, "Grüße aus Linux".encode()]
    await peer.copy("Grüße zurück")
    pasted = "until [ \"$(clip paste)\" = 'Grüße zurück' ]; do sleep 0.2; done; clip paste"
    assert await asyncio.to_thread(shell.check, pasted) == "Grüße zurück"
    connection.disconnect()


def test_a_dialogue_finds_its_way_from_whatever_is_shown() -> None:
    dialogue = Dialogue("true")
    assert dialogue.receive(b"") == b""
    assert dialogue.nudge() == b"\n"
    assert dialogue.receive(b"\r\nlinux-guest log") == b""
    assert dialogue.receive(b"in: ") == USER.encode() + b"\n"
    # the answer to a second Enter that was on its way
    assert dialogue.receive(b"\r\nlinux-guest login: ") == b""
    assert dialogue.receive(USER.encode() + b"\r\nPassword: ") == PASSWORD.encode() + b"\n"
    typed = dialogue.receive(b"\r\n" + PROMPT.encode())
    assert typed == b"printf '\\035%s\\036' 0; true; printf '\\035%s:%s\\036' 0 $?\n"
    assert dialogue.receive(b"\x1b[6n" + typed + b"\n") == b""
    assert dialogue.nudge() == b""
    assert dialogue.receive(b"\x1d0\x1esaid\r\n\x1d0:3") == b""
    assert not dialogue.is_done
    assert dialogue.receive(b"\x1e" + PROMPT.encode()) == b""
    assert dialogue.results == [Result("said", 3)]
