"""A reader of the integers and byte strings of RDP's PDUs."""

import struct

from sidecar.rdp.errors import Reason, RemoteError

_U16 = struct.Struct("<H")
_I16 = struct.Struct("<h")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_U64 = struct.Struct("<Q")
_U16_BE = struct.Struct(">H")
_U32_BE = struct.Struct(">I")


class Reader:
    """Takes one PDU apart, from the front. Integers are little-endian unless the name says `be`.

    Every method raises RemoteError (TRUNCATED) where too little is left; `end` raises TRAILING where
    anything is. Nothing is copied but what `take` and `rest` return.
    """

    __slots__ = ("_at", "_data", "_end", "_what")

    def __init__(self, data: bytes | bytearray | memoryview, what: str) -> None:
        """`what`: the PDU's name in the specification, for the errors' text."""
        self._data = memoryview(data)
        self._at = 0
        self._end = len(self._data)
        self._what = what

    @property
    def remaining(self) -> int:
        """Bytes that are left."""
        return self._end - self._at

    def u8(self) -> int:
        """An unsigned byte."""
        return self._data[self._advance(1)]

    def u16(self) -> int:
        """16 bits."""
        value: int = _U16.unpack_from(self._data, self._advance(2))[0]
        return value

    def i16(self) -> int:
        """16 bits, signed."""
        value: int = _I16.unpack_from(self._data, self._advance(2))[0]
        return value

    def u32(self) -> int:
        """32 bits."""
        value: int = _U32.unpack_from(self._data, self._advance(4))[0]
        return value

    def i32(self) -> int:
        """32 bits, signed."""
        value: int = _I32.unpack_from(self._data, self._advance(4))[0]
        return value

    def u64(self) -> int:
        """64 bits."""
        value: int = _U64.unpack_from(self._data, self._advance(8))[0]
        return value

    def u16_be(self) -> int:
        """16 bits, big-endian."""
        value: int = _U16_BE.unpack_from(self._data, self._advance(2))[0]
        return value

    def u32_be(self) -> int:
        """32 bits, big-endian."""
        value: int = _U32_BE.unpack_from(self._data, self._advance(4))[0]
        return value

    def take(self, count: int) -> bytes:
        """The next `count` bytes (0 or more)."""
        start = self._advance(count)
        return bytes(self._data[start : start + count])

    def skip(self, count: int) -> None:
        """Goes past `count` bytes."""
        self._advance(count)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.remaining)

    def part(self, count: int, what: str) -> "Reader":
        """A reader of the next `count` bytes, which this one goes past."""
        start = self._advance(count)
        return Reader(self._data[start : start + count], what)

    def end(self) -> None:
        """Makes sure that nothing is left."""
        if self._at != self._end:
            raise RemoteError(Reason.TRAILING, f"{self.remaining} bytes after {self._what}")

    def malformed(self, text: str) -> RemoteError:
        """The error to raise for a field that holds what it cannot hold."""
        return RemoteError(Reason.MALFORMED, f"{self._what}: {text}")

    def _advance(self, count: int) -> int:
        start = self._at
        if count < 0 or start + count > self._end:
            raise RemoteError(
                Reason.TRUNCATED, f"{self._what} ends {start + count - self._end} bytes too early"
            )
        self._at = start + count
        return start
