"""A test double: a QEMU whose display has one console and says of itself what the test wants.

It stands for versions of QEMU that are not installed; tests/qemu meets the real one.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from dbus_fast import Message, MessageType, Variant
from qemu_side import QemuSide
from support.waiting import eventually

from sidecar.guest import GuestState
from sidecar.qemu.attach import FdAttach
from sidecar.qemu.errors import INVALID_ARGUMENTS
from sidecar.qemu.guest import QemuGuest

Interfaces = dict[str, dict[str, Variant]]

QEMU_7_2: Interfaces = {
    "VM": {"Name": Variant("s", "double"), "ConsoleIDs": Variant("au", [0])},
    "Console": {"Label": Variant("s", "VGA"), "Width": Variant("u", 640), "Height": Variant("u", 480)},
    "Keyboard": {"Modifiers": Variant("u", 0)},
    "Mouse": {"IsAbsolute": Variant("b", True)},
}
QEMU_8_1: Interfaces = {**QEMU_7_2, "MultiTouch": {"MaxSlots": Variant("i", 10)}}
"""It offers touch on every console, whether the guest has a touch screen or not."""

INPUT = {"Keyboard", "Mouse", "MultiTouch"}


class DisplayDouble(QemuSide):
    """Answers for the objects of org.qemu.Display1 and writes down the input that it gets."""

    def __init__(self, sock: socket.socket, interfaces: Interfaces) -> None:
        super().__init__(sock)
        self.input: list[tuple[Any, ...]] = []
        self._interfaces = interfaces
        self.add_message_handler(self._answer)

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member == "GetAll":
            name = message.body[0].removeprefix("org.qemu.Display1.")
            if name in self._interfaces:
                return Message.new_method_return(message, "a{sv}", [self._interfaces[name]])
            return Message.new_error(message, INVALID_ARGUMENTS, f"No such interface {name!r}")
        if message.member == "RegisterListener":
            return Message.new_error(message, "org.qemu.Display1.Error.Failed", "the double shows nothing")
        interface = str(message.interface).removeprefix("org.qemu.Display1.")
        if interface not in INPUT:
            return Message.new_error(
                message, "org.freedesktop.DBus.Error.UnknownMethod", "the double has no such object"
            )
        self.input.append((interface, message.member, message.signature, *message.body))
        return Message.new_method_return(message)


@asynccontextmanager
async def attached_to_double(
    interfaces: Interfaces, touch_screen: bool | None
) -> AsyncIterator[tuple[QemuGuest, DisplayDouble]]:
    """A guest that is attached to a double."""
    ours, theirs = socket.socketpair()
    double = DisplayDouble(theirs, interfaces)
    guest = QemuGuest(FdAttach(ours.detach()), touch_screen)
    task = asyncio.create_task(guest.run())
    try:
        await double.open()
        await eventually(lambda: guest.state is GuestState.ATTACHED, "the guest is attached")
        yield guest, double
    finally:
        double.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
