"""X keysyms: which keys they stand for when no layout has a say, and what form characters have.

Source: X11 keysymdef.h and XF86keysym.h (names and values); facts: qnum section 4 (keys).
"""

from enum import IntEnum
from functools import cache
from pathlib import Path

from sidecar.input.qnum import Qnum

UNICODE_KEYSYM = 0x01000000
"""Added to a code point above 0xff to make a keysym."""

_LAST_CODE_POINT = 0x10FFFF
_LAST_LEGACY = 0x20FF


class Keysym(IntEnum):
    """Keysyms that the code speaks of by name."""

    ISO_LEVEL3_SHIFT = 0xFE03
    ISO_LEFT_TAB = 0xFE20
    TAB = 0xFF09
    MODE_SWITCH = 0xFF7E
    KP_HOME = 0xFF95
    KP_DELETE = 0xFF9F
    KP_SEPARATOR = 0xFFAC
    KP_DECIMAL = 0xFFAE
    KP_0 = 0xFFB0
    KP_9 = 0xFFB9
    SHIFT_L = 0xFFE1
    SHIFT_R = 0xFFE2
    CONTROL_L = 0xFFE3
    CAPS_LOCK = 0xFFE5
    ALT_R = 0xFFEA


FUNCTION_KEYS: dict[int, Qnum] = {
    0xFE03: Qnum.ALT_R,  # ISO_Level3_Shift
    0xFE20: Qnum.TAB,  # ISO_Left_Tab
    0xFF08: Qnum.BACKSPACE,
    0xFF09: Qnum.TAB,
    0xFF0A: Qnum.LF,  # Linefeed
    0xFF0D: Qnum.RET,  # Return
    0xFF13: Qnum.PAUSE,
    0xFF14: Qnum.SCROLL_LOCK,
    0xFF15: Qnum.SYSRQ,  # Sys_Req
    0xFF1B: Qnum.ESC,
    0xFF20: Qnum.COMPOSE,  # Multi_key
    0xFF22: Qnum.MUHENKAN,
    0xFF23: Qnum.HENKAN,  # Henkan_Mode
    0xFF25: Qnum.HIRAGANA,
    0xFF27: Qnum.KATAKANAHIRAGANA,  # Hiragana_Katakana
    0xFF2A: Qnum.GRAVE_ACCENT,  # Zenkaku_Hankaku: the key above Tab
    0xFF31: Qnum.LANG1,  # Hangul
    0xFF34: Qnum.LANG2,  # Hangul_Hanja
    0xFF50: Qnum.HOME,
    0xFF51: Qnum.LEFT,
    0xFF52: Qnum.UP,
    0xFF53: Qnum.RIGHT,
    0xFF54: Qnum.DOWN,
    0xFF55: Qnum.PGUP,
    0xFF56: Qnum.PGDN,
    0xFF57: Qnum.END,
    0xFF61: Qnum.SYSRQ,  # Print
    0xFF63: Qnum.INSERT,
    0xFF65: Qnum.UNDO,
    0xFF66: Qnum.AGAIN,  # Redo
    0xFF67: Qnum.COMPOSE,  # Menu
    0xFF68: Qnum.FIND,
    0xFF69: Qnum.STOP,  # Cancel
    0xFF6A: Qnum.HELP,
    0xFF6B: Qnum.PAUSE,  # Break
    0xFF7E: Qnum.ALT_R,  # Mode_switch
    0xFF7F: Qnum.NUM_LOCK,
    0xFF8D: Qnum.KP_ENTER,
    0xFF95: Qnum.KP_7,  # KP_Home
    0xFF96: Qnum.KP_4,  # KP_Left
    0xFF97: Qnum.KP_8,  # KP_Up
    0xFF98: Qnum.KP_6,  # KP_Right
    0xFF99: Qnum.KP_2,  # KP_Down
    0xFF9A: Qnum.KP_9,  # KP_Page_Up
    0xFF9B: Qnum.KP_3,  # KP_Page_Down
    0xFF9C: Qnum.KP_1,  # KP_End
    0xFF9D: Qnum.KP_5,  # KP_Begin
    0xFF9E: Qnum.KP_0,  # KP_Insert
    0xFF9F: Qnum.KP_DECIMAL,  # KP_Delete
    0xFFAA: Qnum.KP_MULTIPLY,
    0xFFAB: Qnum.KP_ADD,
    0xFFAC: Qnum.KP_DECIMAL,  # KP_Separator: a comma where others have the point
    0xFFAD: Qnum.KP_SUBTRACT,
    0xFFAE: Qnum.KP_DECIMAL,
    0xFFAF: Qnum.KP_DIVIDE,
    0xFFB0: Qnum.KP_0,
    0xFFB1: Qnum.KP_1,
    0xFFB2: Qnum.KP_2,
    0xFFB3: Qnum.KP_3,
    0xFFB4: Qnum.KP_4,
    0xFFB5: Qnum.KP_5,
    0xFFB6: Qnum.KP_6,
    0xFFB7: Qnum.KP_7,
    0xFFB8: Qnum.KP_8,
    0xFFB9: Qnum.KP_9,
    0xFFBD: Qnum.KP_EQUALS,
    **{0xFFBE + index: Qnum[f"F{index + 1}"] for index in range(24)},
    0xFFE1: Qnum.SHIFT,
    0xFFE2: Qnum.SHIFT_R,
    0xFFE3: Qnum.CTRL,
    0xFFE4: Qnum.CTRL_R,
    0xFFE5: Qnum.CAPS_LOCK,
    0xFFE7: Qnum.ALT,  # Meta_L: what X keyboards make of Alt while Shift is held
    0xFFE8: Qnum.ALT_R,  # Meta_R
    0xFFE9: Qnum.ALT,
    0xFFEA: Qnum.ALT_R,
    0xFFEB: Qnum.META_L,  # Super_L
    0xFFEC: Qnum.META_R,  # Super_R
    0xFFED: Qnum.META_L,  # Hyper_L
    0xFFEE: Qnum.META_R,  # Hyper_R
    0xFFFF: Qnum.DELETE,
    0x1008FF11: Qnum.VOLUMEDOWN,
    0x1008FF12: Qnum.AUDIOMUTE,
    0x1008FF13: Qnum.VOLUMEUP,
    0x1008FF14: Qnum.AUDIOPLAY,
    0x1008FF15: Qnum.AUDIOSTOP,
    0x1008FF16: Qnum.AUDIOPREV,
    0x1008FF17: Qnum.AUDIONEXT,
    0x1008FF18: Qnum.AC_HOME,
    0x1008FF19: Qnum.MAIL,
    0x1008FF1D: Qnum.CALCULATOR,
    0x1008FF26: Qnum.AC_BACK,
    0x1008FF27: Qnum.AC_FORWARD,
    0x1008FF28: Qnum.STOP,
    0x1008FF29: Qnum.AC_REFRESH,
    0x1008FF2A: Qnum.POWER,
    0x1008FF2B: Qnum.WAKE,
    0x1008FF2F: Qnum.SLEEP,
    0x1008FF30: Qnum.AC_BOOKMARKS,
    0x1008FF32: Qnum.MEDIASELECT,
    0x1008FF33: Qnum.COMPUTER,
    0x1008FF57: Qnum.COPY,
    0x1008FF58: Qnum.CUT,
    0x1008FF6B: Qnum.OPEN,
    0x1008FF6D: Qnum.PASTE,
}
"""Keysyms that are on the same key everywhere."""

CONTROL_CHARACTERS: dict[str, int] = {
    "\b": 0xFF08,  # BackSpace
    "\t": 0xFF09,  # Tab
    "\n": 0xFF0D,  # Return
    "\r": 0xFF0D,
    "\x1b": 0xFF1B,  # Escape
    "\x7f": 0xFFFF,  # Delete
}
"""Characters that are keys and no signs -> the keysym of the key."""

DEAD_KEYS: dict[int, int] = {
    0x0300: 0xFE50,  # dead_grave
    0x0301: 0xFE51,  # dead_acute
    0x0302: 0xFE52,  # dead_circumflex
    0x0303: 0xFE53,  # dead_tilde
    0x0304: 0xFE54,  # dead_macron
    0x0306: 0xFE55,  # dead_breve
    0x0307: 0xFE56,  # dead_abovedot
    0x0308: 0xFE57,  # dead_diaeresis
    0x030A: 0xFE58,  # dead_abovering
    0x030B: 0xFE59,  # dead_doubleacute
    0x030C: 0xFE5A,  # dead_caron
    0x0327: 0xFE5B,  # dead_cedilla
    0x0328: 0xFE5C,  # dead_ogonek
}
"""Combining accent (code point) -> the keysym of its dead key."""

SPACING_ACCENTS: dict[int, int] = {
    0x5E: 0xFE52,  # ^
    0x60: 0xFE50,  # `
    0x7E: 0xFE53,  # ~
    0xA8: 0xFE57,  # diaeresis
    0xB4: 0xFE51,  # acute
    0xB8: 0xFE5B,  # cedilla
}
"""Characters (code point) that a dead key and the space bar make."""


def canonical(keysym: int) -> int:
    """The one keysym for each character: Latin-1 as it is, the rest in Unicode form; others unchanged.

    A character can have two keysyms: 0x6c1 and 0x01000430 are one Cyrillic letter.
    """
    if UNICODE_KEYSYM <= keysym <= UNICODE_KEYSYM + _LAST_CODE_POINT:
        code_point = keysym - UNICODE_KEYSYM
        return code_point if code_point <= 0xFF else keysym
    if 0x100 <= keysym <= _LAST_LEGACY:
        return _legacy_keysyms().get(keysym, keysym)
    return keysym


def keysym_of_character(code_point: int) -> int:
    """The canonical keysym of a Unicode code point."""
    return code_point if code_point <= 0xFF else UNICODE_KEYSYM + code_point


def code_point_of(keysym: int) -> int | None:
    """The character that a canonical keysym means, or None for a function key."""
    if 0x20 <= keysym <= 0x7E or 0xA0 <= keysym <= 0xFF:
        return keysym
    if UNICODE_KEYSYM < keysym <= UNICODE_KEYSYM + _LAST_CODE_POINT:
        return keysym - UNICODE_KEYSYM
    return None


@cache
def _legacy_keysyms() -> dict[int, int]:
    text = Path(__file__).with_name("layouts").joinpath("legacy.keysyms").read_text("ascii")
    pairs = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {int(legacy, 16): int(unicode_form, 16) for legacy, unicode_form in pairs}
