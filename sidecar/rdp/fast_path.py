"""Fast-path PDUs: input taken apart (MS-RDPBCGR 2.2.8.1.2), updates as bytes (2.2.9.1.2)."""

import struct
from enum import IntEnum, IntFlag

from sidecar.rdp.errors import LocalError
from sidecar.rdp.input_events import (
    ExtendedMouseEvent,
    InputEvent,
    MouseEvent,
    RelativeMouseEvent,
    ScancodeEvent,
    SynchronizeEvent,
    ToggleFlags,
    UnicodeEvent,
)
from sidecar.rdp.wire import Reader

_OUTPUT_HEADER = struct.Struct(">BH")
_UPDATE_HEADER = struct.Struct("<BH")

MAX_FRAGMENT = 0x3F80
"""Bytes of an update that go into one PDU. Every client with fast-path output takes such a one, although the
length field could say twice as much."""

_ACTION_MASK = 0x03
_TWO_BYTES = 0x80
_LONG = 0x8000

_CODE_SHIFT = 5
_FLAGS_MASK = 0x1F
_ALL_TOGGLES = 0x0F


class InputEventCode(IntEnum):
    """eventCode, 2.2.8.1.2.2; the names have FASTPATH_INPUT_EVENT_ in front in the specification."""

    SCANCODE = 0
    MOUSE = 1
    MOUSEX = 2
    SYNC = 3
    UNICODE = 4
    RELMOUSE = 5
    QOE_TIMESTAMP = 6


class KeyboardFlags(IntFlag):
    """eventFlags of keys; the names have FASTPATH_INPUT_KBDFLAGS_ in front in the specification."""

    RELEASE = 0x01
    EXTENDED = 0x02
    EXTENDED1 = 0x04


class InputFlags(IntFlag):
    """The two bits that say how the input is protected; the names have FASTPATH_INPUT_ in front."""

    SECURE_CHECKSUM = 0x1
    ENCRYPTED = 0x2


class UpdateCode(IntEnum):
    """updateCode, 2.2.9.1.2.1; the names have FASTPATH_UPDATETYPE_ in front in the specification."""

    ORDERS = 0x0
    BITMAP = 0x1
    PALETTE = 0x2
    SYNCHRONIZE = 0x3
    SURFCMDS = 0x4
    PTR_NULL = 0x5
    PTR_DEFAULT = 0x6
    PTR_POSITION = 0x8
    COLOR = 0x9
    CACHED = 0xA
    POINTER = 0xB
    LARGE_POINTER = 0xC


class Fragmentation(IntEnum):
    """Which part of its update a PDU holds; the names have FASTPATH_FRAGMENT_ in front."""

    SINGLE = 0
    LAST = 1
    FIRST = 2
    NEXT = 3


def parse_input(data: bytes) -> tuple[InputEvent, ...]:
    """The events of a fast-path input PDU, `data` being the whole of it. Timestamps are left out.

    Raises RemoteError for one that is encrypted, which is not done below TLS, and for unknown events, since
    nobody knows how long they are.
    """
    reader = Reader(data, "Fast-Path Input")
    header = reader.u8()
    if header & _ACTION_MASK or header >> 6:
        raise reader.malformed(f"its header is {header:#04x}")
    length = reader.u8()
    if length & _TWO_BYTES:
        length = (length & ~_TWO_BYTES) << 8 | reader.u8()
    if length != len(data):
        raise reader.malformed(f"it says that it has {length} bytes")
    # a count of 0 stands for a byte that holds it
    count = header >> 2 & 0x0F or reader.u8()
    events = [event for _ in range(count) if (event := _event(reader)) is not None]
    reader.end()
    return tuple(events)


def update(code: UpdateCode, payload: bytes | memoryview, *, max_request_size: int) -> list[bytes]:
    """The PDUs of one update, in order: one, or fragments of MAX_FRAGMENT bytes and a shorter one.

    `max_request_size`: what the client says that it puts together, in bytes; 0: it takes no fragments.
    Raises LocalError where the update is too long for the client.
    """
    size = len(payload)
    if size <= MAX_FRAGMENT:
        return [_pdu(code, Fragmentation.SINGLE, payload)]
    count = -(-size // MAX_FRAGMENT)
    # clients differ in whether they count the headers
    if size + count * _UPDATE_HEADER.size > max_request_size:
        raise LocalError(
            f"An update of {size} bytes is too long for the client, which takes {max_request_size}."
        )
    view = memoryview(payload)
    starts = range(0, size, MAX_FRAGMENT)
    return [_pdu(code, _fragment(start, size), view[start : start + MAX_FRAGMENT]) for start in starts]


def _fragment(start: int, size: int) -> Fragmentation:
    if not start:
        return Fragmentation.FIRST
    return Fragmentation.LAST if start + MAX_FRAGMENT >= size else Fragmentation.NEXT


def _pdu(code: UpdateCode, fragmentation: Fragmentation, part: bytes | memoryview) -> bytes:
    size = len(part)
    length = _OUTPUT_HEADER.size + _UPDATE_HEADER.size + size
    output_header = _OUTPUT_HEADER.pack(0, _LONG | length)
    return b"".join((output_header, _UPDATE_HEADER.pack(fragmentation << 4 | code, size), part))


def _event(reader: Reader) -> InputEvent | None:
    header = reader.u8()
    flags = header & _FLAGS_MASK
    match header >> _CODE_SHIFT:
        case InputEventCode.SCANCODE:
            return ScancodeEvent(
                reader.u8(),
                bool(flags & KeyboardFlags.RELEASE),
                bool(flags & KeyboardFlags.EXTENDED),
                bool(flags & KeyboardFlags.EXTENDED1),
            )
        case InputEventCode.MOUSE:
            return MouseEvent(reader.u16(), reader.u16(), reader.u16())
        case InputEventCode.MOUSEX:
            return ExtendedMouseEvent(reader.u16(), reader.u16(), reader.u16())
        case InputEventCode.SYNC:
            return SynchronizeEvent(ToggleFlags(flags & _ALL_TOGGLES))
        case InputEventCode.UNICODE:
            return UnicodeEvent(reader.u16(), bool(flags & KeyboardFlags.RELEASE))
        case InputEventCode.RELMOUSE:
            return RelativeMouseEvent(reader.u16(), reader.i16(), reader.i16())
        case InputEventCode.QOE_TIMESTAMP:
            reader.skip(4)
            return None
        case other:
            raise reader.malformed(f"an input event {other}")
