"""QEMU's key numbers, and what clients send in their place.

A key number is the key's scan code of set 1 in one byte, with the top bit for the prefix E0. The same number
stands in RFB's QEMU extended key event and in D-Bus' `Keyboard.Press` (facts: qnum section 1).
"""

from enum import IntEnum


class Qnum(IntEnum):
    """Every key number that QEMU has a key for, by QEMU's name for the key (QKeyCode)."""

    ESC = 0x01
    DIGIT_1 = 0x02
    DIGIT_2 = 0x03
    DIGIT_3 = 0x04
    DIGIT_4 = 0x05
    DIGIT_5 = 0x06
    DIGIT_6 = 0x07
    DIGIT_7 = 0x08
    DIGIT_8 = 0x09
    DIGIT_9 = 0x0A
    DIGIT_0 = 0x0B
    MINUS = 0x0C
    EQUAL = 0x0D
    BACKSPACE = 0x0E
    TAB = 0x0F
    Q = 0x10
    W = 0x11
    E = 0x12
    R = 0x13
    T = 0x14
    Y = 0x15
    U = 0x16
    I = 0x17  # noqa: E741 - the key's name
    O = 0x18  # noqa: E741 - the key's name
    P = 0x19
    BRACKET_LEFT = 0x1A
    BRACKET_RIGHT = 0x1B
    RET = 0x1C
    CTRL = 0x1D
    A = 0x1E
    S = 0x1F
    D = 0x20
    F = 0x21
    G = 0x22
    H = 0x23
    J = 0x24
    K = 0x25
    L = 0x26
    SEMICOLON = 0x27
    APOSTROPHE = 0x28
    GRAVE_ACCENT = 0x29
    SHIFT = 0x2A
    BACKSLASH = 0x2B
    Z = 0x2C
    X = 0x2D
    C = 0x2E
    V = 0x2F
    B = 0x30
    N = 0x31
    M = 0x32
    COMMA = 0x33
    DOT = 0x34
    SLASH = 0x35
    SHIFT_R = 0x36
    KP_MULTIPLY = 0x37
    ALT = 0x38
    SPC = 0x39
    CAPS_LOCK = 0x3A
    F1 = 0x3B
    F2 = 0x3C
    F3 = 0x3D
    F4 = 0x3E
    F5 = 0x3F
    F6 = 0x40
    F7 = 0x41
    F8 = 0x42
    F9 = 0x43
    F10 = 0x44
    NUM_LOCK = 0x45
    SCROLL_LOCK = 0x46
    KP_7 = 0x47
    KP_8 = 0x48
    KP_9 = 0x49
    KP_SUBTRACT = 0x4A
    KP_4 = 0x4B
    KP_5 = 0x4C
    KP_6 = 0x4D
    KP_ADD = 0x4E
    KP_1 = 0x4F
    KP_2 = 0x50
    KP_3 = 0x51
    KP_0 = 0x52
    KP_DECIMAL = 0x53
    SYSRQ = 0x54
    """Print Screen too"""
    F16 = 0x55
    LESS = 0x56
    """the key between the left Shift and Z that European keyboards have"""
    F11 = 0x57
    F12 = 0x58
    KP_EQUALS = 0x59
    F20 = 0x5A
    LF = 0x5B
    F13 = 0x5D
    F14 = 0x5E
    F15 = 0x5F
    OPEN = 0x64
    PASTE = 0x65
    F23 = 0x6D
    F24 = 0x6F
    KATAKANAHIRAGANA = 0x70
    LANG2 = 0x71
    """Hanja"""
    LANG1 = 0x72
    """Hangul"""
    RO = 0x73
    """Brazil's C1 key (slash) too"""
    F21 = 0x74
    HIRAGANA = 0x77
    HENKAN = 0x79
    MUHENKAN = 0x7B
    YEN = 0x7D
    KP_COMMA = 0x7E
    F17 = 0x83
    F19 = 0x84
    AGAIN = 0x85
    PROPS = 0x86
    UNDO = 0x87
    FRONT = 0x8C
    AUDIOPREV = 0x90
    AUDIONEXT = 0x99
    KP_ENTER = 0x9C
    CTRL_R = 0x9D
    MENU = 0x9E
    AUDIOMUTE = 0xA0
    CALCULATOR = 0xA1
    AUDIOPLAY = 0xA2
    AUDIOSTOP = 0xA4
    VOLUMEDOWN = 0xAE
    VOLUMEUP = 0xB0
    AC_HOME = 0xB2
    KP_DIVIDE = 0xB5
    ALT_R = 0xB8
    """AltGr too"""
    CUT = 0xBC
    FIND = 0xC1
    PAUSE = 0xC6
    HOME = 0xC7
    UP = 0xC8
    PGUP = 0xC9
    LEFT = 0xCB
    RIGHT = 0xCD
    END = 0xCF
    DOWN = 0xD0
    PGDN = 0xD1
    INSERT = 0xD2
    DELETE = 0xD3
    META_L = 0xDB
    META_R = 0xDC
    COMPOSE = 0xDD
    """the menu key beside the right Ctrl"""
    POWER = 0xDE
    SLEEP = 0xDF
    WAKE = 0xE3
    AC_BOOKMARKS = 0xE6
    AC_REFRESH = 0xE7
    STOP = 0xE8
    AC_FORWARD = 0xE9
    AC_BACK = 0xEA
    COMPUTER = 0xEB
    MAIL = 0xEC
    MEDIASELECT = 0xED
    HELP = 0xF5
    F18 = 0xF7
    COPY = 0xF8
    F22 = 0xF9


VALID = frozenset(int(number) for number in Qnum)
"""The numbers that do something in QEMU; it takes all others for an unmapped key."""

_OTHER_NAMES = {
    0xB7: Qnum.SYSRQ,  # Print without Alt is E0 37
    0xF1: Qnum.LANG2,  # Korean keyboards send their two keys without a prefix and with the top bit set
    0xF2: Qnum.LANG1,
    0xE11D: Qnum.PAUSE,
    0xE11D45: Qnum.PAUSE,
}


def normalise(code: int) -> int | None:
    """The key number for `code` of an extended key event, or None when there is no such key.

    Takes key numbers, codes with a prefix (E0xx, which noVNC sends for keys that it cannot shorten) and the
    two numbers of Print. The fake shifts that some keyboards wrap around keys (E0 2A, E0 36) are no keys.
    """
    if code >> 8 == 0xE0 and not code & 0x80:
        code = code & 0x7F | 0x80
    code = _OTHER_NAMES.get(code, code)
    return int(code) if code in VALID else None
