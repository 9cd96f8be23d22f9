"""What a key means on the guest's keyboard layout: `sidecar.input.layout` the other way round."""

import unicodedata
from itertools import chain
from typing import Final

from sidecar.input import keysym as keysyms
from sidecar.input.layout import Layout
from sidecar.input.qnum import Qnum

_CHARACTERS: Final = (
    range(ord("0"), ord("9") + 1),
    range(ord("A"), ord("z") + 1),
    range(0x20, 0x7F),
    range(0xA0, 0x250),
    range(0x370, 0x590),
    range(0x1E00, 0x2200),
    range(0x2200, 0x2300),
)
"""What is looked for, the likeliest first: of two scripts on one key Latin wins, since commands are typed."""

_ACCENTS: Final = {dead: accent for accent, dead in keysyms.DEAD_KEYS.items()}
_ALONE: Final = {dead: character for character, dead in keysyms.SPACING_ACCENTS.items()}


class TypedCharacters:
    """The characters of one layout, by key. Keeps the accent of a dead key until the next character."""

    def __init__(self, layout: Layout) -> None:
        self.has_altgr = layout.has_altgr
        """Whether the right Alt key makes characters."""
        self._keysyms: dict[tuple[int, bool, bool], int] = {}
        self._turned: set[tuple[int, bool]] = set()
        """Keys, and whether with AltGr, of which Caps Lock turns Shift's meaning around."""
        self._accent: int | None = None
        wanted = (keysyms.keysym_of_character(code) for code in chain(*_CHARACTERS))
        for keysym in chain(wanted, _ACCENTS):
            for stroke in layout.strokes(keysym):
                for altgr in (False, True) if stroke.altgr is None else (stroke.altgr,):
                    for shift in (False, True) if stroke.shift is None else (stroke.shift,):
                        self._keysyms.setdefault((stroke.qnum, shift, altgr), keysym)
                    if stroke.caps:
                        self._turned.add((stroke.qnum, altgr))

    def typed(self, qnum: int, *, shift: bool, altgr: bool, caps: bool) -> str:
        """The text that a key makes; empty for a dead key, and for one that makes none.

        `altgr`: is held. `caps`: the lock is on.
        """
        if caps and (qnum, altgr) in self._turned:
            shift = not shift
        keysym = self._keysyms.get((qnum, shift, altgr))
        if keysym is None:
            return ""
        accent, self._accent = self._accent, None
        if keysym in _ACCENTS:
            if keysym == accent:
                # twice the same is the accent by itself
                return chr(_ALONE.get(keysym, _ACCENTS[keysym]))
            self._accent = keysym
            return ""
        code_point = keysyms.code_point_of(keysym)
        if code_point is None:
            return ""
        character = chr(code_point)
        if accent is None:
            return character
        if qnum == Qnum.SPC:
            return chr(_ALONE[accent]) if accent in _ALONE else ""
        composed = unicodedata.normalize("NFC", character + chr(_ACCENTS[accent]))
        return composed if len(composed) == 1 else character

    def forget(self) -> None:
        """No dead key was pressed."""
        self._accent = None
