"""The last that came out of a device, for those who join later."""

from typing import Final

LIMIT: Final = 256 * 1024
"""Bytes that are kept."""

LONGEST_LINE: Final = 4096
"""Bytes in which the end of a line is looked for, so that what was cut begins with a whole one."""


class History:
    """Bytes in order, of which the oldest are forgotten."""

    __slots__ = ("_data", "_is_cut", "_limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self._data = bytearray()
        self._limit = limit
        self._is_cut = False

    def add(self, data: bytes) -> None:
        """Takes what has come."""
        self._data += data
        over = len(self._data) - self._limit
        if over > 0:
            # from the front, for which a bytearray moves nothing
            del self._data[:over]
            self._is_cut = True

    def __bytes__(self) -> bytes:
        """All of it; from the beginning of a line where something before it is forgotten."""
        start = after_line(self._data) if self._is_cut else 0
        return bytes(memoryview(self._data)[start:])


def after_line(data: bytes | bytearray) -> int:
    """Where the first whole line begins, behind the rest of one; 0 where no line ends soon.

    A cut amid a line may have hit an escape sequence or a character of several bytes.
    """
    return data.find(b"\n", 0, LONGEST_LINE) + 1
