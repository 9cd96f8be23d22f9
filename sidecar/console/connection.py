"""The client's side of one RFB connection that wants streams alone, without input or output."""

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sidecar.console.events import (
    CredentialsWanted,
    Event,
    FenceAnswered,
    Initialized,
    Question,
    StartTls,
    StreamsAgreed,
)
from sidecar.console.handshake import ClientSecurity, Handshake
from sidecar.vnc.errors import LocalError, Reason, RemoteError
from sidecar.vnc.stream_messages import HEADER, ClientStreamMessage, check_length, pack, parse_server
from sidecar.vnc.wire import MAX_FENCE_PAYLOAD, ClientMessage, FenceFlag, PseudoEncoding, ServerMessage

ENCODINGS = (PseudoEncoding.STREAMS, PseudoEncoding.FENCE)
"""All that is wanted: no encoding of pixels. Fences tell when every stream has been announced."""

MAX_WAITING = 4096
"""Bytes that a server may have sent ahead while a question of the handshake is being answered."""

_SET_ENCODINGS = struct.Struct(f">BxH{len(ENCODINGS)}i")
_UPDATE = struct.Struct(">xH")
_RECTANGLE = struct.Struct(">HHHHi")
_COLOURS = struct.Struct(">xHH")
_COLOUR_SIZE = 6
_CUT_TEXT = struct.Struct(">3xi")
_SERVER_FENCE = struct.Struct(">3xIB")
_CLIENT_FENCE = struct.Struct(">B3xIB")
_XVP_SIZE = 3
_RAW = 0
_ANSWERABLE = FenceFlag.BLOCK_BEFORE | FenceFlag.BLOCK_AFTER | FenceFlag.SYNC_NEXT
_OUR_FENCE = b"announced"


@dataclass(frozen=True, slots=True)
class _Discard:
    """Bytes that are thrown away as they come."""

    size: int


_Steps: TypeAlias = Generator[int | _Discard | Event, bytes, None]
"""As in the handshake; any other event is handed out, and the conversation goes on."""


class ClientConnection:
    """Reads what a server sends. The driver owns the transport, the clock and every decision.

    Send `outgoing()` after every call. Iterate over what `receive` returns; answer a `Question` by the method
    that its event names, inside the loop or later, and call `receive(b"")` after a later answer.

    It asks for no pixels, and skips what it must. What is buffered stays below the largest message that is
    accepted (64 KiB) plus one argument of `receive`.
    """

    def __init__(self, security: ClientSecurity) -> None:
        self._buffer = bytearray()
        self._outgoing = bytearray()
        self._handshake = Handshake(security, self._outgoing.extend)
        self._conversation = self._converse()
        self._wanted: int | _Discard | Event = next(self._conversation)
        self._asked = False
        """The open question has been handed out."""
        self._fenced = False
        self._agreed = False

    def outgoing(self) -> bytes:
        """Takes the bytes for the server that were not taken yet."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> Iterator[Event]:
        """Takes bytes of any number, and reads messages as the result is iterated over.

        Raises RemoteError, NoVncServer, Refused or NotTrusted here or while iterating; the connection is of
        no use afterwards.
        """
        self._buffer += data
        if self._asked and len(self._buffer) > (0 if isinstance(self._wanted, StartTls) else MAX_WAITING):
            # what was sent in the clear must never be read as if it had come out of TLS
            raise RemoteError(Reason.UNEXPECTED_DATA, "The server has sent more than it may by now.")
        return self._events()

    @property
    def buffered(self) -> int:
        """Bytes that wait for the rest of their message or for an answer."""
        return len(self._buffer)

    @property
    def knows_fences(self) -> bool:
        """Whether a `FenceAnswered` will come."""
        return self._fenced

    def tls_started(self) -> None:
        """Answers `StartTls`: all that `receive` gets from now on comes out of TLS."""
        self._answer(StartTls)

    def authenticate(self, user: str, password: str) -> None:
        """Answers `CredentialsWanted`."""
        self._handshake.credentials = (user, password)
        self._answer(CredentialsWanted)

    def send(self, message: ClientStreamMessage) -> None:
        """Puts a stream message into `outgoing`. Only after `StreamsAgreed`."""
        if not self._agreed:
            raise LocalError("The server has not said that it carries streams.")
        self._outgoing += pack(message)

    def _answer(self, kind: type[Question]) -> None:
        if not isinstance(self._wanted, kind):
            raise LocalError(f"The server did not ask for {kind.__name__}.")
        self._resume(b"")

    def _events(self) -> Iterator[Event]:
        while True:
            wanted = self._wanted
            if isinstance(wanted, int):
                if len(self._buffer) < wanted:
                    return
                data = bytes(self._buffer[:wanted])
                del self._buffer[:wanted]
                self._resume(data)
            elif isinstance(wanted, _Discard):
                missing = wanted.size - len(self._buffer)
                del self._buffer[: wanted.size]
                if missing > 0:
                    self._wanted = _Discard(missing)
                    return
                self._resume(b"")
            elif isinstance(wanted, Question):
                if self._asked:
                    return
                if self._buffer and isinstance(wanted, StartTls):
                    raise RemoteError(Reason.UNEXPECTED_DATA, "Bytes came in the clear before TLS.")
                self._asked = True
                yield wanted
            else:
                self._resume(b"")
                yield wanted

    def _resume(self, data: bytes) -> None:
        self._asked = False
        self._wanted = self._conversation.send(data)

    def _converse(self) -> _Steps:
        yield from self._handshake.converse()
        self._outgoing += _SET_ENCODINGS.pack(ClientMessage.SET_ENCODINGS, len(ENCODINGS), *ENCODINGS)
        yield Initialized(self._handshake.name)
        while True:
            (kind,) = yield 1
            match kind:
                case ServerMessage.STREAM:
                    yield from self._stream()
                case ServerMessage.FRAMEBUFFER_UPDATE:
                    yield from self._update()
                case ServerMessage.SERVER_FENCE:
                    yield from self._fence()
                case ServerMessage.BELL | ServerMessage.END_OF_CONTINUOUS_UPDATES:
                    pass
                case ServerMessage.SERVER_CUT_TEXT:
                    (size,) = _CUT_TEXT.unpack((yield _CUT_TEXT.size))
                    yield _Discard(abs(size))
                case ServerMessage.SET_COLOUR_MAP_ENTRIES:
                    _first, count = _COLOURS.unpack((yield _COLOURS.size))
                    yield _Discard(count * _COLOUR_SIZE)
                case ServerMessage.XVP:
                    yield _Discard(_XVP_SIZE)
                case _:
                    raise RemoteError(Reason.UNKNOWN_MESSAGE, f"There is no message of type {kind}.")

    def _update(self) -> _Steps:
        (count,) = _UPDATE.unpack((yield _UPDATE.size))
        for _ in range(count):
            version, _y, width, height, encoding = _RECTANGLE.unpack((yield _RECTANGLE.size))
            if encoding == _RAW:
                # every client takes these; a server that says goodbye on the screen sends them unasked
                yield _Discard(width * height * self._handshake.bytes_per_pixel)
            elif encoding != PseudoEncoding.STREAMS or width or height:
                raise RemoteError(Reason.NOT_NEGOTIATED, f"A rectangle of encoding {encoding} came unasked.")
            elif not self._agreed:
                self._agreed = True
                yield StreamsAgreed(version)

    def _fence(self) -> _Steps:
        flags, size = _SERVER_FENCE.unpack((yield _SERVER_FENCE.size))
        if size > MAX_FENCE_PAYLOAD:
            raise RemoteError(Reason.OVERSIZED, f"A fence may carry {MAX_FENCE_PAYLOAD} bytes, not {size}.")
        payload = yield size
        if flags & FenceFlag.REQUEST:
            self._send_fence(flags & _ANSWERABLE, payload)
            if not self._fenced:
                # the server's first one says that it answers ours
                self._fenced = True
                self._send_fence(FenceFlag.REQUEST | FenceFlag.BLOCK_BEFORE, _OUR_FENCE)
        elif payload == _OUR_FENCE:
            yield FenceAnswered()

    def _send_fence(self, flags: int, payload: bytes) -> None:
        self._outgoing += _CLIENT_FENCE.pack(ClientMessage.CLIENT_FENCE, flags, len(payload)) + payload

    def _stream(self) -> _Steps:
        if not self._agreed:
            raise RemoteError(Reason.NOT_NEGOTIATED, "A stream message came before streams were agreed on.")
        head = yield HEADER.size - 1
        _type, operation, stream, length = HEADER.unpack(bytes((ServerMessage.STREAM,)) + head)
        check_length(operation, length)
        yield parse_server(operation, stream, (yield length))
