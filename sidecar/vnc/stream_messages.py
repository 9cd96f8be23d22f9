"""Streams over RFB (docs/rfb-streams.md): the messages of type 181, both ways, as bytes and as dataclasses.

Without input or output. Who reads from a connection takes HEADER, calls `check_length` before anything of the
body is buffered, and gives the body to `parse_client` or `parse_server`.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.wire import ClientMessage, StreamEnd, StreamFlag, StreamKind, StreamOperation

VERSION: Final = 1
"""The version of the extension, which the server tells in the x-position of its acknowledgement."""

HEADER: Final = struct.Struct(">BBHI")
"""Type, operation, stream, bytes that follow."""

MAX_BODY: Final = 65536
"""Bytes that follow a header, whatever the operation."""

MAX_STRING: Final = 255
"""Bytes of a name, a label or a text."""

MAX_STREAM: Final = 0xFFFF
MAX_CREDIT: Final = (1 << 31) - 1
"""Bytes of credit that count; what is beyond is as good as this."""

_STRING_LENGTH = struct.Struct(">H")
_KIND_AND_FLAGS = struct.Struct(">BB")
_FLAGS_AND_CREDIT = struct.Struct(">BI")
_U8 = struct.Struct(">B")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")

_FLAGS = StreamFlag.WRITE | StreamFlag.HISTORY


@dataclass(frozen=True, slots=True)
class Announce:
    """Server: there is such a stream. `flags`: WRITE where this client may write."""

    stream: int
    kind: StreamKind
    flags: StreamFlag
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Server: the device is gone, and the stream with it."""

    stream: int


@dataclass(frozen=True, slots=True)
class Open:
    """Client: wants the stream, and takes `credit` bytes of it for a beginning."""

    stream: int
    flags: StreamFlag
    credit: int


@dataclass(frozen=True, slots=True)
class Opened:
    """Server: it is open, and the client may send `credit` bytes for a beginning."""

    stream: int
    flags: StreamFlag
    credit: int


@dataclass(frozen=True, slots=True)
class Close:
    """Either side: the stream is closed, or cannot be opened. `text` is for people."""

    stream: int
    reason: StreamEnd
    text: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """Either side: 0..MAX_BODY bytes."""

    stream: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credit:
    """Either side: the other one may send so many bytes more."""

    stream: int
    credit: int


@dataclass(frozen=True, slots=True)
class Rights:
    """Server: what the client may do with an open stream from now on."""

    stream: int
    flags: StreamFlag


@dataclass(frozen=True, slots=True)
class Break:
    """Client: a break of about so many milliseconds; 0: as long as is usual."""

    stream: int
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """An operation of a later version, to be left alone."""

    stream: int
    operation: int


ClientStreamMessage = Open | Close | Data | Credit | Break | Unknown
"""What a client sends."""

ServerStreamMessage = Announce | Withdraw | Opened | Close | Data | Credit | Rights | Unknown
"""What a server sends."""


def check_length(operation: int, length: int) -> None:
    """To be called with a header, before its body is there.

    Raises RemoteError: OVERSIZED above MAX_BODY, MALFORMED where the operation has another length.
    """
    if length > MAX_BODY:
        raise RemoteError(Reason.OVERSIZED, f"A stream message may have {MAX_BODY} bytes, not {length}.")
    sizes = _SIZES.get(operation)
    if sizes is not None and not sizes[0] <= length <= sizes[1]:
        raise RemoteError(Reason.MALFORMED, f"A stream's operation {operation} never has {length} bytes.")


def parse_client(operation: int, stream: int, body: bytes) -> ClientStreamMessage:
    """What a client has sent. Raises RemoteError (MALFORMED, OVERSIZED)."""
    check_length(operation, len(body))
    match operation:
        case StreamOperation.OPEN:
            flags, credit = _FLAGS_AND_CREDIT.unpack(body)
            return Open(stream, StreamFlag(flags & _FLAGS), credit)
        case StreamOperation.BREAK:
            return Break(stream, _U16.unpack(body)[0])
        case StreamOperation.CLOSE | StreamOperation.DATA | StreamOperation.CREDIT:
            return _parse_common(operation, stream, body)
    if operation in _KNOWN:
        raise _not_for(operation, "client")
    return Unknown(stream, operation)


def parse_server(operation: int, stream: int, body: bytes) -> ServerStreamMessage:
    """What a server has sent. Raises RemoteError (MALFORMED, OVERSIZED)."""
    check_length(operation, len(body))
    match operation:
        case StreamOperation.ANNOUNCE:
            kind, flags = _KIND_AND_FLAGS.unpack_from(body)
            strings = _Strings(body, _KIND_AND_FLAGS.size)
            name, label = strings.next(), strings.next()
            strings.end()
            return Announce(stream, _kind(kind), StreamFlag(flags & _FLAGS), name, label)
        case StreamOperation.WITHDRAW:
            return Withdraw(stream)
        case StreamOperation.OPENED:
            flags, credit = _FLAGS_AND_CREDIT.unpack(body)
            return Opened(stream, StreamFlag(flags & _FLAGS), credit)
        case StreamOperation.RIGHTS:
            return Rights(stream, StreamFlag(_U8.unpack(body)[0] & _FLAGS))
        case StreamOperation.CLOSE | StreamOperation.DATA | StreamOperation.CREDIT:
            return _parse_common(operation, stream, body)
    if operation in _KNOWN:
        raise _not_for(operation, "server")
    return Unknown(stream, operation)


def pack(message: ClientStreamMessage | ServerStreamMessage) -> bytes:
    """The whole message, header and body. Strings are cut to MAX_STRING bytes.

    Raises ValueError for data above MAX_BODY and for an Unknown, which nobody sends.
    """
    match message:
        case Announce(stream, kind, flags, name, label):
            body = _KIND_AND_FLAGS.pack(kind, flags) + _string(name) + _string(label)
            return _message(StreamOperation.ANNOUNCE, stream, body)
        case Withdraw(stream):
            return _message(StreamOperation.WITHDRAW, stream, b"")
        case Open(stream, flags, credit):
            return _message(StreamOperation.OPEN, stream, _FLAGS_AND_CREDIT.pack(flags, credit))
        case Opened(stream, flags, credit):
            return _message(StreamOperation.OPENED, stream, _FLAGS_AND_CREDIT.pack(flags, credit))
        case Close(stream, reason, text):
            return _message(StreamOperation.CLOSE, stream, _U8.pack(reason) + _string(text))
        case Data(stream, data):
            return _message(StreamOperation.DATA, stream, data)
        case Credit(stream, credit):
            return _message(StreamOperation.CREDIT, stream, _U32.pack(credit))
        case Rights(stream, flags):
            return _message(StreamOperation.RIGHTS, stream, _U8.pack(flags))
        case Break(stream, milliseconds):
            return _message(StreamOperation.BREAK, stream, _U16.pack(milliseconds))
        case Unknown():
            raise ValueError("an unknown operation cannot be sent")


_KNOWN = frozenset(StreamOperation)

_LONGEST_STRING = _STRING_LENGTH.size + MAX_STRING

_SIZES: dict[int, tuple[int, int]] = {
    StreamOperation.ANNOUNCE: (
        _KIND_AND_FLAGS.size + 2 * _STRING_LENGTH.size,
        _KIND_AND_FLAGS.size + 2 * _LONGEST_STRING,
    ),
    StreamOperation.WITHDRAW: (0, 0),
    StreamOperation.OPEN: (_FLAGS_AND_CREDIT.size, _FLAGS_AND_CREDIT.size),
    StreamOperation.OPENED: (_FLAGS_AND_CREDIT.size, _FLAGS_AND_CREDIT.size),
    StreamOperation.CLOSE: (_U8.size + _STRING_LENGTH.size, _U8.size + _LONGEST_STRING),
    StreamOperation.DATA: (0, MAX_BODY),
    StreamOperation.CREDIT: (_U32.size, _U32.size),
    StreamOperation.RIGHTS: (_U8.size, _U8.size),
    StreamOperation.BREAK: (_U16.size, _U16.size),
}
"""Fewest and most bytes of each operation's body."""


class _Strings:
    """Reads strings one after the other."""

    __slots__ = ("_body", "_offset")

    def __init__(self, body: bytes, offset: int) -> None:
        self._body = body
        self._offset = offset

    def next(self) -> str:
        """Raises RemoteError (MALFORMED) where it is not all there, too long, or no UTF-8."""
        start = self._offset + _STRING_LENGTH.size
        if start > len(self._body):
            raise RemoteError(Reason.MALFORMED, "A stream message is shorter than its strings.")
        (length,) = _STRING_LENGTH.unpack_from(self._body, self._offset)
        if length > MAX_STRING:
            raise RemoteError(Reason.OVERSIZED, f"A stream's string may have {MAX_STRING} bytes.")
        self._offset = start + length
        if self._offset > len(self._body):
            raise RemoteError(Reason.MALFORMED, "A stream message is shorter than its strings.")
        try:
            return self._body[start : self._offset].decode()
        except UnicodeDecodeError:
            raise RemoteError(Reason.MALFORMED, "A stream's string is not UTF-8.") from None

    def end(self) -> None:
        """Raises RemoteError (MALFORMED) where more follows."""
        if self._offset != len(self._body):
            raise RemoteError(Reason.MALFORMED, "A stream message is longer than its strings.")


def _parse_common(operation: int, stream: int, body: bytes) -> Close | Data | Credit:
    if operation == StreamOperation.DATA:
        return Data(stream, body)
    if operation == StreamOperation.CREDIT:
        return Credit(stream, _U32.unpack(body)[0])
    strings = _Strings(body, _U8.size)
    text = strings.next()
    strings.end()
    return Close(stream, _end(body[0]), text)


def _kind(number: int) -> StreamKind:
    return StreamKind(number) if number in frozenset(StreamKind) else StreamKind.CHANNEL


def _end(number: int) -> StreamEnd:
    return StreamEnd(number) if number in frozenset(StreamEnd) else StreamEnd.GONE


def _not_for(operation: int, side: str) -> RemoteError:
    return RemoteError(Reason.MALFORMED, f"A stream's operation {operation} is not for a {side} to send.")


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "replace")[:MAX_STRING]
    # not amid a character
    data = data.decode("utf-8", "ignore").encode()
    return _STRING_LENGTH.pack(len(data)) + data


def _message(operation: StreamOperation, stream: int, body: bytes) -> bytes:
    if len(body) > MAX_BODY:
        raise ValueError(f"a stream message carries at most {MAX_BODY} bytes")
    return HEADER.pack(ClientMessage.STREAM, operation, stream, len(body)) + body
