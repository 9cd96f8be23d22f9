"""What the client types and points at, from slow-path and fast-path input alike.

Source: MS-RDPBCGR 2.2.8.1.1.3.1.1 (slow path) and 2.2.8.1.2.2 (fast path), facts: key codes section 5.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import TypeAlias


class PointerFlags(IntFlag):
    """pointerFlags of TS_POINTER_EVENT (MS-RDPBCGR 2.2.8.1.1.3.1.1.3); the low nine bits are the rotation."""

    WHEEL_ROTATION_MASK = 0x00FF
    WHEEL_NEGATIVE = 0x0100
    WHEEL = 0x0200
    HWHEEL = 0x0400
    MOVE = 0x0800
    BUTTON1 = 0x1000
    BUTTON2 = 0x2000
    BUTTON3 = 0x4000
    DOWN = 0x8000


class ExtendedPointerFlags(IntFlag):
    """pointerFlags of TS_POINTERX_EVENT (2.2.8.1.1.3.1.1.4) and, for the relative event, XBUTTONs."""

    BUTTON1 = 0x0001
    BUTTON2 = 0x0002
    DOWN = 0x8000


class ToggleFlags(IntFlag):
    """toggleFlags of TS_SYNC_EVENT (2.2.8.1.1.3.1.1.5)."""

    SCROLL_LOCK = 1
    NUM_LOCK = 2
    CAPS_LOCK = 4
    KANA_LOCK = 8


@dataclass(frozen=True, slots=True)
class ScancodeEvent:
    """A key. `code`: 0..255, set 1; `extended`: E0 in front, `extended1`: E1 in front."""

    code: int
    released: bool = False
    extended: bool = False
    extended1: bool = False


@dataclass(frozen=True, slots=True)
class UnicodeEvent:
    """A character. `code_unit`: one UTF-16 code unit; a surrogate pair comes as two events."""

    code_unit: int
    released: bool = False


@dataclass(frozen=True, slots=True)
class MouseEvent:
    """A position, wheel step or one of three buttons. `flags`: U16; `x`, `y`: U16, pixels."""

    flags: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class ExtendedMouseEvent:
    """One of the two further buttons. `flags`: U16; `x`, `y`: U16, pixels."""

    flags: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class RelativeMouseEvent:
    """Motion. `flags`: U16 as in MouseEvent and, for the further buttons, MS-RDPBCGR 2.2.8.1.1.3.1.1.6;
    `dx`, `dy`: -32768..32767."""

    flags: int
    dx: int
    dy: int


@dataclass(frozen=True, slots=True)
class SynchronizeEvent:
    """The client's lock states, sent when its window gets the focus: nothing is held then."""

    toggles: ToggleFlags


InputEvent: TypeAlias = (
    ScancodeEvent | UnicodeEvent | MouseEvent | ExtendedMouseEvent | RelativeMouseEvent | SynchronizeEvent
)
