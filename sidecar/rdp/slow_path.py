"""Slow-path input, and updates for clients without fast-path output (MS-RDPBCGR 2.2.8.1.1.3, 2.2.9.1.1.3)."""

import struct
from enum import IntEnum, IntFlag

from sidecar.rdp.errors import LocalError
from sidecar.rdp.fast_path import UpdateCode
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
from sidecar.rdp.share_data import PduType2
from sidecar.rdp.wire import Reader

EVENT_SIZE = 12
"""Bytes of an event with its time and type."""

_ALL_TOGGLES = 0x0F


class MessageType(IntEnum):
    """messageType of TS_INPUT_EVENT; the names have INPUT_EVENT_ in front in the specification."""

    SYNC = 0x0000
    UNUSED = 0x0002
    SCANCODE = 0x0004
    UNICODE = 0x0005
    MOUSE = 0x8001
    MOUSEX = 0x8002
    MOUSEREL = 0x8004


class KeyboardFlags(IntFlag):
    """keyboardFlags of a keyboard event; the names have KBDFLAGS_ in front in the specification."""

    EXTENDED = 0x0100
    EXTENDED1 = 0x0200
    DOWN = 0x4000
    RELEASE = 0x8000


class PointerMessage(IntEnum):
    """messageType of TS_POINTER_PDU; the names have TS_PTRMSGTYPE_ in front in the specification."""

    SYSTEM = 0x0001
    POSITION = 0x0003
    COLOR = 0x0006
    CACHED = 0x0007
    POINTER = 0x0008
    LARGE_POINTER = 0x0009


_SYSPTR_NULL = 0x00000000
_SYSPTR_DEFAULT = 0x00007F00

_POINTER_MESSAGES = {
    UpdateCode.PTR_POSITION: PointerMessage.POSITION,
    UpdateCode.COLOR: PointerMessage.COLOR,
    UpdateCode.CACHED: PointerMessage.CACHED,
    UpdateCode.POINTER: PointerMessage.POINTER,
    UpdateCode.LARGE_POINTER: PointerMessage.LARGE_POINTER,
}


def parse_input(body: Reader) -> tuple[InputEvent, ...]:
    """The events of a TS_INPUT_PDU_DATA. Those of no interest or of an unknown type are left out."""
    count = body.u16()
    body.skip(2)
    if count * EVENT_SIZE != body.remaining:
        raise body.malformed(f"{count} input events in {body.remaining} bytes")
    events = (_event(body) for _ in range(count))
    return tuple(event for event in events if event is not None)


def update(code: UpdateCode, payload: bytes) -> tuple[PduType2, bytes]:
    """Type and body of the share data PDU that says the same as a fast-path update.

    Raises LocalError for surface commands, which the slow path does not have, and for what is never sent.
    """
    match code:
        case UpdateCode.BITMAP | UpdateCode.PALETTE:
            return PduType2.UPDATE, payload
        case UpdateCode.PTR_NULL:
            return PduType2.POINTER, struct.pack("<HxxI", PointerMessage.SYSTEM, _SYSPTR_NULL)
        case UpdateCode.PTR_DEFAULT:
            return PduType2.POINTER, struct.pack("<HxxI", PointerMessage.SYSTEM, _SYSPTR_DEFAULT)
        case UpdateCode() if code in _POINTER_MESSAGES:
            return PduType2.POINTER, struct.pack("<Hxx", _POINTER_MESSAGES[code]) + payload
        case _:
            raise LocalError(f"{code.name} is an update of the fast path only.")


def _event(body: Reader) -> InputEvent | None:
    body.skip(4)
    kind, first, second, third = body.u16(), body.u16(), body.u16(), body.i16()
    match kind:
        case MessageType.SCANCODE if second <= 0xFF:
            return ScancodeEvent(
                second,
                bool(first & KeyboardFlags.RELEASE),
                bool(first & KeyboardFlags.EXTENDED),
                bool(first & KeyboardFlags.EXTENDED1),
            )
        case MessageType.UNICODE:
            return UnicodeEvent(second, bool(first & KeyboardFlags.RELEASE))
        case MessageType.MOUSE:
            return MouseEvent(first, second, third & 0xFFFF)
        case MessageType.MOUSEX:
            return ExtendedMouseEvent(first, second, third & 0xFFFF)
        case MessageType.MOUSEREL:
            return RelativeMouseEvent(first, (second ^ 0x8000) - 0x8000, third)
        case MessageType.SYNC:
            # two bytes of padding come first
            return SynchronizeEvent(ToggleFlags(second & _ALL_TOGGLES))
        case _:
            return None
