"""Finds where RFB updates end without looking at pixels: cheap enough to play many viewers at once."""

import socket
import struct
from typing import Final

BUFFER: Final = bytearray(1 << 22)
_VIEW: Final = memoryview(BUFFER)
READ: Final = 1 << 16
_RECTANGLE: Final = struct.Struct(">HHHHi")

RAW, TIGHT, ZLIB, ZRLE, LAST_RECT = 0, 7, 6, 16, -224


class OutOfStep(Exception):
    """The stream has something that the parser was not made for."""


class SkipParser:
    """The server's messages of one connection with 32 bits per pixel, depth 24, after ServerInit.

    It knows Raw, Zlib, ZRLE, Tight, LastRect and the cursor encodings -239 and -223, and nothing else.
    """

    __slots__ = ("_kept", "_left", "_skip", "bytes", "rectangles", "updates")

    def __init__(self) -> None:
        self.updates = 0
        self.rectangles = 0
        self.bytes = 0
        self._kept = b""
        self._skip = 0
        self._left = 0

    def read(self, connection: socket.socket) -> int:
        """Takes what a non-blocking TCP socket has; how many updates ended. ConnectionError at its end."""
        before = self.updates
        while True:
            try:
                if self._skip > READ:
                    # the kernel throws it away without copying it
                    count = connection.recv_into(BUFFER, min(self._skip, len(BUFFER)), socket.MSG_TRUNC)
                    self._skip -= count
                else:
                    count = connection.recv_into(BUFFER, READ)
                    self._parse(self._kept + _VIEW[:count] if self._kept else _VIEW[:count])
            except BlockingIOError:
                return self.updates - before
            if not count:
                raise ConnectionError("the server has closed the connection")
            self.bytes += count

    def _parse(self, data: memoryview | bytes) -> None:
        size = len(data)
        at = min(self._skip, size)
        self._skip -= at
        if self._skip:
            self._kept = b""
            return
        while at < size:
            end = self._header(data, at, size) if not self._left else self._rectangle(data, at, size)
            if end < 0:
                self._kept = bytes(data[at:])
                return
            at = end
        self._kept = b""
        self._skip = at - size

    def _header(self, data: memoryview | bytes, at: int, size: int) -> int:
        """Where the message's head ends; -1 when it is not there yet."""
        kind = data[at]
        if kind == 0:
            if at + 4 > size:
                return -1
            self._left = data[at + 2] << 8 | data[at + 3]
            if self._left == 0xFFFF:
                self._left = 1 << 62
            elif not self._left:
                self.updates += 1
            return at + 4
        if kind == 2:
            return at + 1
        raise OutOfStep(f"server message {kind}")

    def _rectangle(self, data: memoryview | bytes, at: int, size: int) -> int:
        """Where the rectangle ends, maybe beyond what is there; -1 when its length cannot be told yet."""
        body = at + 12
        if body > size:
            return -1
        _, _, width, height, encoding = _RECTANGLE.unpack_from(data, at)
        if encoding == TIGHT:
            try:
                end = _tight_end(data, body, width, height)
            except IndexError:
                return -1
        elif encoding in (ZRLE, ZLIB):
            if body + 4 > size:
                return -1
            end = body + 4 + int.from_bytes(data[body : body + 4], "big")
        elif encoding == RAW:
            end = body + width * height * 4
        elif encoding == LAST_RECT:
            self._left = 1
            self.rectangles -= 1
            end = body
        elif encoding == -223:
            end = body
        elif encoding == -239:
            end = body + width * height * 4 + (width + 7) // 8 * height
        else:
            raise OutOfStep(f"encoding {encoding}")
        self.rectangles += 1
        self._left -= 1
        if not self._left:
            self.updates += 1
        return end


def _tight_end(data: memoryview | bytes, at: int, width: int, height: int) -> int:
    """Where a Tight rectangle ends; IndexError when that cannot be told yet."""
    control = data[at] >> 4
    at += 1
    if control == 8:
        return at + 3
    if control < 8:
        bits = 24
        if control & 4:
            at += 1
            if data[at - 1] == 1:
                colours = data[at] + 1
                at += 1 + colours * 3
                bits = 1 if colours == 2 else 8
        plain = (width * bits + 7) // 8 * height
        if plain < 12:
            return at + plain
    length = data[at] & 0x7F
    if data[at] & 0x80:
        at += 1
        length |= (data[at] & 0x7F) << 7
        if data[at] & 0x80:
            at += 1
            length |= data[at] << 14
    return at + 1 + length
