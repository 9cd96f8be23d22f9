"""The objects that QEMU plays to and records from, and how it gets to know them.

org.qemu.Display1.AudioOutListener and AudioInListener (facts: QEMU D-Bus sections 2 and 5). QEMU's main loop
waits for some of the answers, so they are given at once, from memory, on the listener's thread.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from dbus_fast import Message, MessageFlag, MessageType

from sidecar.log import get_logger
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.errors import INVALID_ARGUMENTS, CallRefused, ConnectionLost
from sidecar.qemu.link import PROPERTIES, ROOT, Link
from sidecar.qemu.listener_connection import ListenerConnection
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.qemu.message_stream import Call
from sidecar.qemu.registration import register
from sidecar.sound.voice_form import VoiceForm

log = get_logger(__name__)

AUDIO: Final = "org.qemu.Display1.Audio"
AUDIO_PATH: Final = f"{ROOT}/Audio"
OUT_LISTENER: Final = "org.qemu.Display1.AudioOutListener"
IN_LISTENER: Final = "org.qemu.Display1.AudioInListener"

NEWER: Final = {"Interfaces", "NSamples"}
"""Properties of Audio since QEMU 8.1 and 10.0."""

CRASHES: Final = "the sound of this machine is not heard: attach it by a bus, or give it QEMU 8.1 or newer"

MAX_COMPLAINTS: Final = 16

INIT: Final = "tybbuyuub"
"""Id, bits, signed, float, frames in a second, channels, bytes of a frame, bytes of a second, big-endian."""

Method = tuple[str, str, Callable[..., Any]]
"""The signatures of what comes and of what is answered, and what takes the one and returns the other.

It raises ValueError for what cannot be, OverflowError to end the connection."""


class AudioListener:
    """One of these objects, on the listener's thread.

    `methods`: by member. `on_close` is called on that thread when QEMU, or `close`, has ended it.
    """

    def __init__(self, interface: str, methods: Mapping[str, Method], on_close: Callable[[], None]) -> None:
        self._interface = interface
        self._methods = methods
        self._on_close = on_close
        self._connection: ListenerConnection | None = None
        self._complained: set[str] = set()

    async def open(self, sock: socket.socket) -> None:
        """Serves QEMU on `sock`, whose other end it gets at this moment. Raises ConnectionLost."""
        self._connection = ListenerConnection(sock, self._on_close, self._take)
        self._connection.add_message_handler(self._handle)
        await self._connection.open()

    def close(self) -> None:
        """Ends it; may be called again."""
        if self._connection:
            self._connection.close()

    def _handle(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        wants_answer = not message.flags & MessageFlag.NO_REPLY_EXPECTED
        if message.interface == PROPERTIES and message.member == "GetAll":
            return Message.new_method_return(message, "a{sv}", [{}]) if wants_answer else True
        if message.interface != self._interface:
            return None
        member = str(message.member)
        try:
            signature, body = self._call(member, message.signature, message.body)
        except OverflowError as error:
            self._complain(member, str(error))
            self.close()
            return True
        except ValueError as error:
            self._complain(member, str(error))
            return Message.new_error(message, INVALID_ARGUMENTS, str(error)) if wants_answer else True
        return Message.new_method_return(message, signature, body) if wants_answer else True

    def _take(self, call: Call) -> None:
        # none of the calls that are meant has a signature that comes this way
        self._complain(call.member, "no such method")

    def _call(self, member: str, signature: str, body: list[Any]) -> tuple[str, list[Any]]:
        if member not in self._methods:
            raise ValueError("no such method")
        expected, answer, method = self._methods[member]
        if signature != expected:
            raise ValueError(f"it takes {expected!r}, not {signature!r}")
        result = method(*body)
        return (answer, [result]) if answer else ("", [])

    def _complain(self, member: str, error: str) -> None:
        # what is wrong is so a hundred times a second
        complaint = f"{member}: {error}"
        if complaint not in self._complained and len(self._complained) < MAX_COMPLAINTS:
            self._complained.add(complaint)
            log.warning("QEMU said of its sound what cannot be", message=member, cause=error)


def voice_form(about: Sequence[int]) -> VoiceForm:
    """The form that QEMU's Init tells behind the id. Raises ValueError when it cannot be."""
    bits, is_signed, is_float, rate, channels, frame_size, byte_rate, is_big_endian = about
    form = VoiceForm(bits, bool(is_signed), bool(is_float), rate, channels, bool(is_big_endian))
    if (frame_size, byte_rate) != (form.frame_size, form.frame_size * rate):
        raise ValueError(
            f"{form.frame_size} bytes of a frame cannot be {frame_size}, {byte_rate} in a second"
        )
    return form


async def has_audio(link: Link, *, warn: bool = False) -> bool:
    """Whether sound of this machine comes by D-Bus; asked until there is an answer.

    A peer without a bus between must say what no QEMU before 8.1 says: those before 8.0 look for the sender
    of a registration, who has no name there, and crash (docs/decisions/sound-always-registered.md). `warn`:
    say so in the log.
    """
    back_off = BackOff(0.1, 5.0)
    while True:
        try:
            about = await link.properties(AUDIO_PATH, AUDIO)
        except CallRefused as error:
            log.debug("no sound comes from this machine", cause=str(error))
            return False
        except ConnectionLost as error:
            log.debug("QEMU does not say whether it has sound", cause=str(error))
            await asyncio.sleep(back_off.next())
        else:
            if link.owner is None and not NEWER & about.keys():
                if warn:
                    log.warning(CRASHES)
                return False
            return True


async def keep_registered(
    link: Link,
    thread: ListenerThread,
    member: str,
    make: Callable[[Callable[[], None]], AudioListener],
    on_end: Callable[[], None],
) -> None:
    """Has QEMU talk to an `AudioListener` until this is cancelled: to another one when its connection ends.

    `member`: RegisterOutListener or RegisterInListener. `make` makes one that calls its argument at its end.
    `on_end` is called on the main loop when nothing more comes from the last one.
    """
    back_off = BackOff(0.1, 5.0)
    while True:
        closed = asyncio.Event()
        listener = make(partial(_set_on, asyncio.get_running_loop(), closed))
        try:
            await register(link, thread, listener, path=AUDIO_PATH, interface=AUDIO, member=member)
            log.debug("QEMU has a listener for its sound", method=member)
            back_off.reset()
            await closed.wait()
            log.debug("a connection for sound ended", method=member)
        except (CallRefused, ConnectionLost) as error:
            log.debug("QEMU takes no listener for its sound", method=member, cause=str(error))
        finally:
            thread.post(listener.close)
            on_end()
        await asyncio.sleep(back_off.next())


def _set_on(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)
