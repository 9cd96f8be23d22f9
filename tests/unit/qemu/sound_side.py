"""A test double: a QEMU with sound, for what the real one never says. tests/qemu meets the real one."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from dbus_fast import Message, MessageType, Variant
from qemu_side import QemuSide
from support.waiting import eventually

from sidecar.qemu.audio_in import QemuMicrophone
from sidecar.qemu.audio_listener import AUDIO, IN_LISTENER, INIT, OUT_LISTENER
from sidecar.qemu.audio_out import QemuAudio
from sidecar.qemu.connection import PeerConnection
from sidecar.qemu.errors import INVALID, INVALID_ARGUMENTS
from sidecar.qemu.link import Link
from sidecar.qemu.listener_thread import ListenerThread

INTERFACES = {"RegisterOutListener": OUT_LISTENER, "RegisterInListener": IN_LISTENER}
QEMU_8_1: Mapping[str, Variant] = {"Interfaces": Variant("as", [])}
CARD = (16, True, False, 48_000, 2, 4, 192_000, False)
"""What Init says of a usual voice."""


class SoundSide(QemuSide):
    """Answers for org.qemu.Display1.Audio. `voices`: QEMU's ends of the listeners, in the order in which they
    came. `refuses`: so many registrations are refused first. `about`: the properties of Audio."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        has_audio: bool = True,
        refuses: int = 0,
        about: Mapping[str, Variant] = QEMU_8_1,
    ) -> None:
        super().__init__(sock)
        self._about = dict(about)
        self.voices: list[VoiceSide] = []
        self._has_audio = has_audio
        self._refuses = refuses
        self._openings: set[asyncio.Task[Any]] = set()
        self.add_message_handler(self._answer)

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member == "GetAll" and message.body == [AUDIO] and self._has_audio:
            return Message.new_method_return(message, "a{sv}", [self._about])
        if message.member in INTERFACES and self._has_audio:
            if self._refuses:
                self._refuses -= 1
                return Message.new_error(message, INVALID, "`p2p` is already registered!")
            sock = socket.socket(fileno=os.dup(message.unix_fds[message.body[0]]))
            side = VoiceSide(sock, INTERFACES[message.member])
            opening = asyncio.create_task(side.open())
            self._openings.add(opening)
            opening.add_done_callback(lambda _: self.voices.append(side))
            return Message.new_method_return(message)
        return Message.new_error(message, INVALID_ARGUMENTS, "no such thing")


class VoiceSide(QemuSide):
    """QEMU's end of one listener."""

    def __init__(self, sock: socket.socket, interface: str) -> None:
        super().__init__(sock)
        self._interface = interface

    async def say(self, member: str, signature: str, *body: Any) -> None:
        """Wants no answer."""
        await self.tell(member, signature, *body, interface=self._interface)

    async def demand(self, member: str, signature: str, *body: Any) -> list[Any]:
        """Waits for the answer."""
        return await self.ask(member, signature, *body, interface=self._interface)

    async def begin(self, voice: int, about: tuple[object, ...] = CARD) -> None:
        """A voice that is enabled."""
        await self.say("Init", INIT, voice, *about)
        await self.say("SetEnabled", "tb", voice, True)

    async def write(self, voice: int, data: bytes) -> None:
        """A voice plays."""
        await self.say("Write", "tay", voice, data)

    async def read(self, voice: int, size: int) -> bytes:
        """A voice records."""
        (data,) = await self.demand("Read", "tt", voice, size)
        return bytes(data)

    async def settle(self) -> None:
        """Returns when everything that was said has been taken, and done on the main loop."""
        await self.request(None, "/", "org.freedesktop.DBus.Peer", "Ping", timeout=30)
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def served(
    guest: QemuAudio | QemuMicrophone, **options: Any
) -> AsyncIterator[tuple[SoundSide, Callable[[], bool]]]:
    """QEMU's side of an audio or a microphone that is being served, and whether it still is."""
    ours, theirs = socket.socketpair()
    connection, side = PeerConnection(ours), SoundSide(theirs, **options)
    await asyncio.gather(connection.open(), side.open())
    async with ListenerThread() as thread:
        task = asyncio.create_task(guest.serve(Link(connection, None), thread))
        try:
            yield side, lambda: not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for voice in side.voices:
                voice.close()
            side.close()
            connection.close()


async def first_voice(side: SoundSide, number: int = 0) -> VoiceSide:
    """A listener's other end, when it is there."""
    await eventually(lambda: len(side.voices) > number, "QEMU has a listener")
    return side.voices[number]
