"""A guest's keyboard layout: which strokes make a character."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sidecar.errors import UsageError
from sidecar.input import keysym as keysyms
from sidecar.input.keysym import Keysym
from sidecar.input.qnum import Qnum

QEMU_NAMES = {
    "ar": "ara",
    "bepo": "fr-bepo",
    "da": "dk",
    "de-ch": "ch",
    "en-gb": "gb",
    "en-us": "us",
    "et": "ee",
    "fr-be": "be",
    "fr-ca": "ca",
    "fr-ch": "ch-fr",
    "ja": "jp",
    "pt-br": "br",
    "sl": "si",
    "sv": "se",
}
"""QEMU's names (its option -k) of layouts that have another name here."""

_DATA = Path(__file__).with_name("layouts")


@dataclass(frozen=True, slots=True)
class Stroke:
    """A key and the modifiers that it needs; None: it means the same with and without."""

    qnum: int
    shift: bool | None = None
    altgr: bool | None = None
    caps: bool = False
    """Whether Caps Lock turns Shift's meaning around."""


class Layout:
    """One layout. Its table is read when it is first asked for a key."""

    def __init__(self, name: str) -> None:
        """`name`: as in xkeyboard-config ("de", "us-intl") or QEMU ("en-us"). Raises UsageError."""
        self.name = QEMU_NAMES.get(name.lower(), name.lower())
        if self.name not in layout_names():
            raise UsageError(f"no keyboard layout {name!r} is known; there are {', '.join(layout_names())}")

    def strokes(self, keysym: int) -> tuple[Stroke, ...]:
        """The strokes of which each alone makes `keysym` (canonical), the simplest first; often empty."""
        return self._table.get(keysym) or self._beside_the_table(keysym)

    def composition(self, keysym: int) -> tuple[Stroke, Stroke] | None:
        """A dead key's stroke and the one to follow it that together make `keysym` (canonical), if any."""
        code_point = keysyms.code_point_of(keysym)
        if code_point is None:
            return None
        if dead := keysyms.SPACING_ACCENTS.get(code_point):
            base = 0x20
        else:
            parts = unicodedata.normalize("NFD", chr(code_point))
            if len(parts) != 2 or not (dead := keysyms.DEAD_KEYS.get(ord(parts[1]), 0)):
                return None
            base = keysyms.keysym_of_character(ord(parts[0]))
        dead_strokes, base_strokes = self._table.get(dead), self._table.get(base)
        return (dead_strokes[0], base_strokes[0]) if dead_strokes and base_strokes else None

    @cached_property
    def has_altgr(self) -> bool:
        """Whether the right Alt key is AltGr."""
        return any(stroke.altgr for strokes in self._table.values() for stroke in strokes)

    def _beside_the_table(self, keysym: int) -> tuple[Stroke, ...]:
        if keysym == Keysym.ISO_LEFT_TAB:
            return (Stroke(Qnum.TAB, shift=True),)
        if (qnum := keysyms.FUNCTION_KEYS.get(keysym)) is not None:
            return (Stroke(int(qnum)),)
        if not self._writes_latin and self.name != "us":
            # Guests that write another script have a Latin layout to switch to, nearly always this one
            return _US.strokes(keysym)
        return ()

    @cached_property
    def _writes_latin(self) -> bool:
        return ord("a") in self._table

    @cached_property
    def _table(self) -> dict[int, tuple[Stroke, ...]]:
        table: dict[int, list[Stroke]] = {}
        for line in (_DATA / f"{self.name}.layout").read_text("ascii").splitlines():
            if line.startswith("#"):
                continue
            number, caps, *symbols = line.split()
            values = [0 if symbol == "-" else int(symbol, 16) for symbol in symbols]
            for level, symbol in enumerate(values):
                if not symbol:
                    continue
                # what a key means with and without Shift needs no Shift of its own; so the space bar
                needs_shift = None if len(values) == 1 else bool(level & 1)
                needs_altgr = None if len(values) == 1 else bool(level & 2)
                turned = bool(int(caps) & (2 if level & 2 else 1))
                table.setdefault(symbol, []).append(Stroke(int(number, 16), needs_shift, needs_altgr, turned))
        return {
            symbol: tuple(sorted(strokes, key=lambda stroke: (stroke.altgr or False, stroke.shift or False)))
            for symbol, strokes in table.items()
        }


def layout_names() -> list[str]:
    """The layouts there are, without QEMU's other names for them."""
    return sorted(path.stem for path in _DATA.glob("*.layout"))


_US = Layout("us")
