"""D-Bus messages out of a stream of octets, without copying what they carry.

dbus-fast copies a message three times on its way in, into memory that it asks for anew every time; at thirty
pictures a second that can cost more than all that is done with them. Here every message is read into the same
memory. Messages whose arguments are plain numbers and at most one array of bytes at the end, which all
pictures are, are decoded here; the rest goes to dbus-fast.

Source: D-Bus specification 0.41, "Message Format". Does no input or output.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from dbus_fast import Message
from dbus_fast._private.unmarshaller import Unmarshaller

from sidecar.qemu.errors import ListenerError

FIRST_ROOM: Final = 1 << 16
MAX_MESSAGE: Final = 1 << 27
"""Octets, the specification's own limit."""

MAX_HEADER: Final = 1 << 16
MAX_KNOWN_HEADERS: Final = 64

FIXED_HEADER: Final = 16
METHOD_CALL: Final = 1
NO_REPLY_EXPECTED: Final = 1

_LITTLE: Final = ord("l")
_BIG: Final = ord("B")
_VERSION: Final = 1

_INTERFACE: Final = 2
_MEMBER: Final = 3
_SIGNATURE: Final = 8
_UNIX_FDS: Final = 9


@dataclass(frozen=True, slots=True)
class Call:
    """A method call that wants no answer, of numbers and at most one array of bytes at the end.

    An array is a view that is valid until the next message is asked for.
    """

    interface: str
    member: str
    signature: str
    arguments: list[Any]


@dataclass(frozen=True, slots=True)
class _Header:
    interface: str
    member: str
    signature: str
    unix_fds: int
    numbers: struct.Struct | None
    """How the arguments are decoded here; None when dbus-fast has to."""
    has_octets: bool


class MessageStream:
    """The messages that come over one connection.

    Give `room` to the socket, say by `received` how much of it was filled, then take `messages`, which raises
    ListenerError when the stream is no D-Bus any more.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(FIRST_ROOM)
        self._start = 0
        self._end = 0
        self._unix_fds: list[int] = []
        self._known: dict[bytes, _Header] = {}

    def room(self) -> memoryview:
        """Where the next octets belong; never empty."""
        return memoryview(self._buffer)[self._end :]

    def received(self, count: int, unix_fds: list[int]) -> None:
        """So many octets are there, and with them these descriptors, which are the caller's until `close`."""
        self._end += count
        self._unix_fds += unix_fds

    def close(self) -> list[int]:
        """The descriptors that no message has taken."""
        left, self._unix_fds = self._unix_fds, []
        return left

    def messages(self) -> Iterator[Call | Message]:
        """The messages that are complete. The descriptors of a `Message` are the taker's."""
        while self._end - self._start >= FIXED_HEADER:
            if self._start % 8:
                self._move(self._buffer)
            size = self._message_size()
            if self._end - self._start < size:
                self._make_room(size)
                return
            start = self._start
            self._start += size
            yield self._decode(memoryview(self._buffer)[start : start + size])
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start:
            self._move(self._buffer)

    def _message_size(self) -> int:
        order, kind, _, version = self._buffer[self._start : self._start + 4]
        if order not in (_LITTLE, _BIG) or not 1 <= kind <= 4 or version != _VERSION:
            raise ListenerError("what came is no D-Bus message")
        numbers = "<II" if order == _LITTLE else ">II"
        (body,) = struct.unpack_from(numbers[:2], self._buffer, self._start + 4)
        (fields,) = struct.unpack_from(numbers[:2], self._buffer, self._start + 12)
        size: int = FIXED_HEADER + _aligned(fields, 8) + body
        if fields > MAX_HEADER or size > MAX_MESSAGE:
            raise ListenerError(f"a message of {size} octets is too long")
        return size

    def _make_room(self, size: int) -> None:
        if size > len(self._buffer):
            self._move(bytearray(_aligned(size, FIRST_ROOM)))
        elif self._start + size > len(self._buffer):
            self._move(self._buffer)

    def _move(self, target: bytearray) -> None:
        """What is not taken yet goes to the beginning of `target`, which becomes the memory."""
        rest = self._end - self._start
        target[:rest] = self._buffer[self._start : self._end]
        self._buffer, self._start, self._end = target, 0, rest

    def _decode(self, message: memoryview) -> Call | Message:
        order, kind, flags, _ = message[:4]
        if order == _LITTLE and kind == METHOD_CALL and flags & NO_REPLY_EXPECTED:
            (length,) = struct.unpack_from("<I", message, 12)
            header = self._header(bytes(message[FIXED_HEADER : FIXED_HEADER + length]))
            if header.numbers and not header.unix_fds:
                body = message[FIXED_HEADER + _aligned(length, 8) :]
                arguments = _arguments(header.numbers, body, has_octets=header.has_octets)
                return Call(header.interface, header.member, header.signature, arguments)
        return self._decode_by_dbus_fast(bytes(message))

    def _header(self, fields: bytes) -> _Header:
        # the fields of a method's calls are always the same octets, the serial number is not among them
        header = self._known.get(fields)
        if header is None:
            header = _parse_header(fields)
            if len(self._known) < MAX_KNOWN_HEADERS:
                self._known[fields] = header
        return header

    def _decode_by_dbus_fast(self, octets: bytes) -> Message:
        order = "<I" if octets[0] == _LITTLE else ">I"
        (length,) = struct.unpack_from(order, octets, 12)
        fields = octets[FIXED_HEADER : FIXED_HEADER + length]
        try:
            stream = cast(io.BufferedRWPair, io.BytesIO(octets))
            message = Unmarshaller(stream, negotiate_unix_fd=False).unmarshall()
        except Exception as error:
            # it raises whatever its parts happen to raise
            raise ListenerError(f"a message cannot be read: {error}") from error
        if message is None:
            raise ListenerError("a message is shorter than it says")
        count = _read_fields(fields, order).get(_UNIX_FDS, 0)
        if not isinstance(count, int) or count > len(self._unix_fds):
            raise ListenerError("a message came without its descriptors")
        message.unix_fds = self._unix_fds[:count]
        del self._unix_fds[:count]
        return message


def _parse_header(fields: bytes) -> _Header:
    values = _read_fields(fields, "<I")
    signature = str(values.get(_SIGNATURE, ""))
    numbers, has_octets = signature, signature.endswith("ay")
    if has_octets:
        # the array's length is the last number
        numbers = f"{signature[:-2]}u"
    plain = set(numbers) <= {"i", "u"}
    count = values.get(_UNIX_FDS, 0)
    return _Header(
        str(values.get(_INTERFACE, "")),
        str(values.get(_MEMBER, "")),
        signature,
        count if isinstance(count, int) else 0,
        struct.Struct("<" + numbers.replace("u", "I")) if plain else None,
        has_octets,
    )


def _read_fields(fields: bytes, order: str) -> dict[int, str | int]:
    """The header fields by their codes; an array of (byte, variant), each variant being o, s, g or u."""
    values: dict[int, str | int] = {}
    at = 0
    try:
        while at < len(fields):
            code, length, kind = fields[at], fields[at + 1], fields[at + 2 : at + 3]
            at += 4
            if length != 1:
                raise ListenerError("a header field has a type that it cannot have")
            if kind == b"u":
                (values[code],) = struct.unpack_from(order, fields, at)
                at += 4
            elif kind == b"g":
                size = fields[at]
                values[code] = fields[at + 1 : at + 1 + size].decode()
                at += size + 2
            elif kind in (b"s", b"o"):
                (size,) = struct.unpack_from(order, fields, at)
                values[code] = fields[at + 4 : at + 4 + size].decode()
                at += size + 5
            else:
                raise ListenerError("a header field has a type that it cannot have")
            at = _aligned(at, 8)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ListenerError(f"a header cannot be read: {error}") from error
    return values


def _arguments(layout: struct.Struct, body: memoryview, *, has_octets: bool) -> list[Any]:
    size = layout.size
    if len(body) < size:
        raise ListenerError("a message is shorter than its signature")
    numbers: list[Any] = list(layout.unpack_from(body))
    if has_octets:
        length = numbers.pop()
        size += length
        numbers.append(body[size - length : size])
    if len(body) != size:
        raise ListenerError("a message has not the length of its arguments")
    return numbers


def _aligned(position: int, boundary: int) -> int:
    return -(-position // boundary) * boundary
