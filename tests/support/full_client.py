"""An RFB client that takes all that one connection carries: screen, sound, clipboard and serial ports."""

import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.rfb_session import Needs
from support.rfb_wire import Encoding, ExtendedCutText, extended_cut_text
from support.stream_client import Stream, StreamClient

EXTENDED_CLIPBOARD = -1063131698
TEXT, REQUEST, NOTIFY, PROVIDE = 1, 1 << 25, 1 << 27, 1 << 28


class FullClient(StreamClient):
    """`played`: the sound so far, S16 and two channels. `text`: what was last copied in the machine."""

    def __init__(self, **options: Any) -> None:
        super().__init__(encodings=(Encoding.TIGHT, Encoding.QEMU_AUDIO, EXTENDED_CLIPBOARD), **options)
        self._sound = bytearray()
        self.is_playing = False
        self.streams_of_sound = 0
        self.text: str | None = None
        self._to_copy = ""

    @property
    def played(self) -> NDArray[np.int16]:
        return np.frombuffer(bytes(self._sound), "<i2").reshape(-1, 2)

    async def hear(self) -> None:
        """Turns sound on, in the form that holds when none is asked for: 44100 Hz."""
        await self.send(struct.pack(">BBH", 255, 1, 0))

    async def copy(self, text: str) -> None:
        """Has the machine told that there is a text, which is sent when it asks for it."""
        self._to_copy = text
        await self.send(extended_cut_text(NOTIFY | TEXT))

    async def shell(self, stream: Stream) -> tuple[Callable[[bytes], None], Callable[[], Awaitable[bytes]]]:
        """`send` and `receive` for `linux_guest.run_commands`, over a stream that is open."""
        read = 0

        def send(data: bytes) -> None:
            # a command is short: the first credit is enough for all of them
            assert stream.to_send >= len(data)
            stream.to_send -= len(data)
            self.outgoing += struct.pack(">BBHI", 181, 5, stream.number, len(data)) + data

        async def receive() -> bytes:
            nonlocal read
            await self.flush()
            while len(stream.data) == read:
                await self.receive()
            read, start = len(stream.data), read
            return bytes(stream.data[start:])

        return send, receive

    def _rest_of(self, kind: int, start: int) -> Needs:
        if kind == 255:
            yield from self._audio()
            return kind
        message = yield from super()._rest_of(kind, start)
        if isinstance(message, ExtendedCutText):
            self._clipboard(message)
        return message

    def _audio(self) -> Needs:
        kind, operation = yield from self.unpack(">BH")
        assert kind == 1
        if operation == 2:
            assert self.is_playing
            (length,) = yield from self.unpack(">I")
            assert length % 4 == 0
            self._sound += yield from self.needs(length)
        else:
            self.is_playing = operation == 1
            self.streams_of_sound += self.is_playing

    def _clipboard(self, message: ExtendedCutText) -> None:
        if message.flags & NOTIFY and message.flags & TEXT:
            self.outgoing += extended_cut_text(REQUEST | TEXT)
        elif message.flags & REQUEST:
            data = self._to_copy.replace("\n", "\r\n").encode() + b"\0"
            self.outgoing += extended_cut_text(
                PROVIDE | TEXT, zlib.compress(struct.pack(">I", len(data)) + data)
            )
        elif message.flags & PROVIDE:
            (length,) = struct.unpack_from(">I", message.body)
            self.text = message.body[4 : 4 + length].rstrip(b"\0").decode().replace("\r\n", "\n")
