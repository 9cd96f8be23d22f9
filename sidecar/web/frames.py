"""WebSocket frames as a server reads and writes them, without I/O (RFC 6455 section 5).

Payload of any length is passed on as it comes, so nothing that the client announces is ever allocated.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

LONGEST_CONTROL = 125
"""Bytes of payload that a control frame may have (section 5.5)."""

_FIN, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F


class Opcode(IntEnum):
    """Section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """Section 7.4.1, those in use here."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    """of the registry that section 11.7 opens, as the next: come again, here or elsewhere"""
    TRY_AGAIN_LATER = 1013


class WebSocketViolation(Exception):
    """The client broke the protocol; `code` is what it is told with the close frame."""

    def __init__(self, code: CloseCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes of a binary message; where messages begin and end is of no meaning here."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with a pong of the same `data`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to a ping, or a sign of life."""


@dataclass(frozen=True, slots=True)
class Close:
    """The client's close frame. `code`: None when it gave none."""

    code: int | None
    reason: str


Event: TypeAlias = Payload | Ping | Pong | Close


class FrameReader:
    """Takes a client's bytes by `feed` and gives what they mean by `next_event`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._in_message = False
        self._payload_left = 0
        self._mask = b""

    def feed(self, data: bytes) -> None:
        """Adds bytes that were received."""
        del self._buffer[: self._position]
        self._position = 0
        self._buffer += data

    def next_event(self) -> Event | None:
        """The next event, or None until more bytes come.

        Raises WebSocketViolation; after that nothing more can be read.
        """
        while True:
            if self._payload_left:
                return self._take_payload()
            frame = self._take_header()
            if frame is None:
                return None
            opcode, length = frame
            if opcode >= Opcode.CLOSE:
                return self._control(Opcode(opcode), self._unmask(length))
            self._payload_left = length

    def _take_payload(self) -> Payload | None:
        length = min(self._payload_left, len(self._buffer) - self._position)
        if not length:
            return None
        self._payload_left -= length
        payload = self._unmask(length)
        turn = length % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        return Payload(payload)

    def _take_header(self) -> tuple[int, int] | None:
        """Opcode and payload length of the next frame; a control frame only once it is there as a whole."""
        buffer, start = self._buffer, self._position
        available = len(buffer) - start
        if available < 2:
            return None
        first, second = buffer[start], buffer[start + 1]
        opcode = first & _OPCODE
        self._check(first, second)
        length = second & _LENGTH
        size = 2
        if length == 126:
            size = 4
        elif length == 127:
            size = 10
        if available < size + 4:
            return None
        if size == 4:
            (length,) = struct.unpack_from(">H", buffer, start + 2)
        elif size == 10:
            (length,) = struct.unpack_from(">Q", buffer, start + 2)
        if length >> 63 or (size == 4 and length < 126) or (size == 10 and length < 1 << 16):
            raise WebSocketViolation(
                CloseCode.PROTOCOL_ERROR, f"a frame's length of {length} is written wrong"
            )
        if opcode >= Opcode.CLOSE and available < size + 4 + length:
            return None
        self._mask = bytes(buffer[start + size : start + size + 4])
        self._position = start + size + 4
        if opcode < Opcode.CLOSE:
            self._in_message = not first & _FIN
        return opcode, length

    def _check(self, first: int, second: int) -> None:
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        if not second & _MASKED:
            raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, "a frame is not masked")
        if opcode >= Opcode.CLOSE:
            if opcode > Opcode.PONG:
                raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, f"unknown opcode {opcode}")
            if not first & _FIN or second & _LENGTH > LONGEST_CONTROL:
                raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, "a control frame is too long or in parts")
        elif opcode == Opcode.TEXT:
            raise WebSocketViolation(CloseCode.UNSUPPORTED_DATA, "only binary messages are understood")
        elif opcode > Opcode.BINARY:
            raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, f"unknown opcode {opcode}")
        elif (opcode == Opcode.CONTINUATION) != self._in_message:
            raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, "the parts of a message are out of order")

    def _unmask(self, length: int) -> bytes:
        end = self._position + length
        masked = self._buffer[self._position : end]
        self._position = end
        # whole numbers are the fastest XOR that needs nothing but Python
        mask = (self._mask * (length // 4 + 1))[:length]
        return (int.from_bytes(masked, "little") ^ int.from_bytes(mask, "little")).to_bytes(length, "little")

    @staticmethod
    def _control(opcode: Opcode, payload: bytes) -> Event:
        if opcode == Opcode.PING:
            return Ping(payload)
        if opcode == Opcode.PONG:
            return Pong()
        if not payload:
            return Close(None, "")
        if len(payload) == 1:
            raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, "a close frame holds half a code")
        (code,) = struct.unpack_from(">H", payload)
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, f"no close frame may hold the code {code}")
        try:
            return Close(code, payload[2:].decode())
        except UnicodeDecodeError:
            raise WebSocketViolation(CloseCode.INVALID_PAYLOAD_DATA, "a reason is not UTF-8") from None


def frame_header(opcode: Opcode, length: int) -> bytes:
    """What stands before `length` bytes of payload of a frame of its own."""
    if length < 126:
        return struct.pack(">BB", _FIN | opcode, length)
    if length < 1 << 16:
        return struct.pack(">BBH", _FIN | opcode, 126, length)
    return struct.pack(">BBQ", _FIN | opcode, 127, length)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """A close frame; `reason` is cut to what fits. None: without a code, as an answer to such a one."""
    if code is None:
        return frame_header(Opcode.CLOSE, 0)
    text = reason.encode()[: LONGEST_CONTROL - 2].decode(errors="ignore").encode()
    return frame_header(Opcode.CLOSE, 2 + len(text)) + struct.pack(">H", code) + text
