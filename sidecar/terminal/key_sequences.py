"""What keys that make no character send, as a VT220 and the Linux console have it.

Sources: DEC VT220 Programmer Reference chapter 3.2; xterm's ctlseqs.txt, "PC-Style Function Keys", for the
modifiers.
"""

from typing import Final

from sidecar.input.qnum import Qnum

SHIFT, ALT, CTRL = 1, 2, 4
"""Modifiers, added up."""

_ARROWS: Final = {
    Qnum.UP: "A",
    Qnum.DOWN: "B",
    Qnum.RIGHT: "C",
    Qnum.LEFT: "D",
}

_FIRST_FUNCTION_KEYS: Final = {Qnum.F1: "P", Qnum.F2: "Q", Qnum.F3: "R", Qnum.F4: "S"}

_NUMBERED: Final = {
    Qnum.HOME: 1,
    Qnum.INSERT: 2,
    Qnum.DELETE: 3,
    Qnum.END: 4,
    Qnum.PGUP: 5,
    Qnum.PGDN: 6,
    Qnum.F5: 15,
    Qnum.F6: 17,
    Qnum.F7: 18,
    Qnum.F8: 19,
    Qnum.F9: 20,
    Qnum.F10: 21,
    Qnum.F11: 23,
    Qnum.F12: 24,
    Qnum.F13: 25,
    Qnum.F14: 26,
    Qnum.F15: 28,
    Qnum.F16: 29,
    Qnum.F17: 31,
    Qnum.F18: 32,
    Qnum.F19: 33,
    Qnum.F20: 34,
}

_PLAIN: Final = {
    Qnum.ESC: "\x1b",
    Qnum.RET: "\r",
    Qnum.KP_ENTER: "\r",
    Qnum.KP_DIVIDE: "/",
    Qnum.KP_MULTIPLY: "*",
    Qnum.KP_SUBTRACT: "-",
    Qnum.KP_ADD: "+",
    Qnum.KP_EQUALS: "=",
    Qnum.KP_COMMA: ",",
}

_KEYPAD: Final = {
    Qnum.KP_0: ("0", Qnum.INSERT),
    Qnum.KP_1: ("1", Qnum.END),
    Qnum.KP_2: ("2", Qnum.DOWN),
    Qnum.KP_3: ("3", Qnum.PGDN),
    Qnum.KP_4: ("4", Qnum.LEFT),
    Qnum.KP_5: ("5", None),
    Qnum.KP_6: ("6", Qnum.RIGHT),
    Qnum.KP_7: ("7", Qnum.HOME),
    Qnum.KP_8: ("8", Qnum.UP),
    Qnum.KP_9: ("9", Qnum.PGUP),
    Qnum.KP_DECIMAL: (".", Qnum.DELETE),
}
"""With Num Lock, and the key that it is without."""


def key_sequence(qnum: int, modifiers: int, *, application_cursor: bool, num_lock: bool) -> str | None:
    """What a key sends, or None where it makes a character or nothing. `modifiers`: SHIFT, ALT and CTRL."""
    if qnum in _KEYPAD:
        digit, other = _KEYPAD[Qnum(qnum)]
        # Shift takes the other meaning for the moment
        if num_lock != bool(modifiers & SHIFT):
            return _escaped(digit, modifiers)
        if other is None:
            return None
        qnum, modifiers = int(other), modifiers & ~SHIFT
    if qnum in _PLAIN:
        return _escaped(_PLAIN[Qnum(qnum)], modifiers)
    if qnum == Qnum.TAB:
        return "\x1b[Z" if modifiers & SHIFT else _escaped("\t", modifiers)
    if qnum == Qnum.BACKSPACE:
        return _escaped("\b" if modifiers & CTRL else "\x7f", modifiers)
    if qnum in _NUMBERED:
        number = _NUMBERED[Qnum(qnum)]
        return f"\x1b[{number};{modifiers + 1}~" if modifiers else f"\x1b[{number}~"
    letter = _ARROWS.get(Qnum(qnum)) or _FIRST_FUNCTION_KEYS.get(Qnum(qnum))
    if letter is None:
        return None
    if modifiers:
        return f"\x1b[1;{modifiers + 1}{letter}"
    return f"\x1bO{letter}" if application_cursor or qnum in _FIRST_FUNCTION_KEYS else f"\x1b[{letter}"


def with_modifiers(text: str, modifiers: int) -> str:
    """What a character sends while Ctrl or Alt is held; Shift is in the character already."""
    if modifiers & CTRL:
        text = _CONTROL.get(text, text)
    return _escaped(text, modifiers)


def _escaped(text: str, modifiers: int) -> str:
    return f"\x1b{text}" if modifiers & ALT else text


_CONTROL: Final = {
    # 0x40 to 0x5f and the small letters
    **{chr(code): chr(code & 0x1F) for code in range(0x40, 0x7F)},
    " ": "\x00",
    "/": "\x1f",
    "?": "\x7f",
    **dict(zip("2345678", "\x00\x1b\x1c\x1d\x1e\x1f\x7f", strict=True)),
}
