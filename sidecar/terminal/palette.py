"""The colours of a text console, as 0x00RRGGBB."""

from typing import Final

INK: Final = 0xAAAAAA
"""Where the guest has chosen no colour; as a PC shows it."""

PAPER: Final = 0x000000

_NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_NORMAL = (0x000000, 0xAA0000, 0x00AA00, 0xAA5500, 0x0000AA, 0xAA00AA, 0x00AAAA, 0xAAAAAA)
_BRIGHT = (0x555555, 0xFF5555, 0x55FF55, 0xFFFF55, 0x5555FF, 0xFF55FF, 0x55FFFF, 0xFFFFFF)

_COLOURS: Final = {
    **dict(zip(_NAMES, _NORMAL, strict=True)),
    **{f"bright{name}": colour for name, colour in zip(_NAMES, _BRIGHT, strict=True)},
    # pyte 0.8.2 spells one of them like this
    "bfightmagenta": 0xFF55FF,
}
"""pyte's names of the sixteen; all others are told as six hexadecimal digits."""


def colour(name: str, otherwise: int, *, bright: bool = False) -> int:
    """The colour that pyte calls `name`; `otherwise` for its default. `bright`: as bold text has it."""
    if name == "default":
        return otherwise
    if bright and name in _NAMES:
        name = f"bright{name}"
    known = _COLOURS.get(name)
    return int(name, 16) if known is None else known
