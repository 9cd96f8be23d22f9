"""A plain notice for the people in front of a screen that has nothing else to show."""

import textwrap
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.font import FIRST, GLYPH_HEIGHT, GLYPH_WIDTH, LAST, glyphs
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels, Surface

INK: Final = 0xFFFFFF
PAPER: Final = 0x202428
FRAME: Final = 0x808890

PADDING: Final = 20
"""Pixels between text and frame, before scaling."""

MAX_COLUMNS: Final = 60
"""Longest line in characters."""

MAX_LINES: Final = 32

_NEAREST: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u00df": "ss",
        "\u00e6": "ae",
        "\u00c6": "AE",
        "\u0153": "oe",
        "\u0152": "OE",
        "\u00f8": "o",
        "\u00d8": "O",
        "\u0142": "l",
        "\u0141": "L",
        "\u0111": "d",
        "\u0110": "D",
    }
)
"""What stands for characters that the font has not, and that are no letters with marks."""

READABLE_WIDTH: Final = 800
"""Pixels of a screen's width for each step of scaling: on one twice as wide the text is twice as large."""


def draw_notice(surface: Surface, text: str, *, keep_picture: bool) -> None:
    """Writes `text` into a box in the middle of the screen.

    The last picture stays behind it at a quarter of its brightness, or is wiped when `keep_picture` is
    False. Long lines are wrapped, and what does not fit on the screen is cut off. Characters outside
    printable ASCII become the nearest one, or "?". To be called on the thread that writes to `surface`.
    """
    frame = surface.frame
    picture: Pixels = (
        (frame.pixels >> np.uint32(2)) & np.uint32(0x3F3F3F) if keep_picture else np.zeros_like(frame.pixels)
    )
    area, box = notice_box(frame.width, frame.height, text)
    picture[area.y : area.bottom, area.x : area.right] = box
    surface.write(0, 0, picture)


def notice_box(screen_width: int, screen_height: int, text: str) -> tuple[Rectangle, Pixels]:
    """The box of `draw_notice` on a screen of that size: where it goes, and its pixels."""
    text = _plain(text)
    scale = max(1, screen_width // READABLE_WIDTH)
    lines, fits = _wrap(text, screen_width // scale, screen_height // scale)
    while not fits and scale > 1:
        scale -= 1
        lines, fits = _wrap(text, screen_width // scale, screen_height // scale)
    box = _box(lines)
    box = np.repeat(np.repeat(box, scale, axis=0), scale, axis=1)[:screen_height, :screen_width]
    height, width = box.shape
    return Rectangle((screen_width - width) // 2, (screen_height - height) // 2, width, height), box


def _plain(text: str) -> str:
    """The text without the marks of its letters."""
    if text.isascii():
        return text
    import unicodedata

    parts = unicodedata.normalize("NFKD", text.translate(_NEAREST))
    return "".join(character for character in parts if not unicodedata.combining(character))


def _wrap(text: str, width: int, height: int) -> tuple[list[str], bool]:
    """The lines for a box in so many pixels, and whether they are all of the text."""
    columns = max(1, min(MAX_COLUMNS, (width - 2 * PADDING) // GLYPH_WIDTH))
    rows = max(1, min(MAX_LINES, (height - 2 * PADDING) // GLYPH_HEIGHT))
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, columns) or [""]]
    if len(lines) <= rows:
        return lines, True
    return [*lines[: rows - 1], f"{lines[rows - 1][: max(0, columns - 3)]}..."[:columns]], False


def _box(lines: list[str]) -> Pixels:
    """The lines, each centred, in a frame; 0x00RRGGBB."""
    columns = max((len(line) for line in lines), default=0)
    text = (
        np.concatenate([_ink(line.center(columns)) for line in lines]) if columns else np.zeros((0, 0), bool)
    )
    box = np.full((text.shape[0] + 2 * PADDING, text.shape[1] + 2 * PADDING), PAPER, np.uint32)
    box[[0, -1], :] = FRAME
    box[:, [0, -1]] = FRAME
    box[PADDING:-PADDING, PADDING:-PADDING][text] = INK
    return box


def _ink(line: str) -> NDArray[np.bool_]:
    """One line: (GLYPH_HEIGHT, GLYPH_WIDTH * len(line)), True where there is ink."""
    codes = [ord(c) if FIRST <= ord(c) <= LAST else ord("?") for c in line]
    cells: NDArray[np.bool_] = glyphs()[np.array(codes) - FIRST]
    return cells.transpose(1, 0, 2).reshape(GLYPH_HEIGHT, -1)
