"""The pictures of characters: Terminus Font, 8x16 pixels, normal and bold (LICENSE.terminus)."""

import gzip
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.terminal.psf import WIDTH, read_font

GLYPH_WIDTH: Final = WIDTH
GLYPH_HEIGHT: Final = 16

_HERE = Path(__file__).parent
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def block_elements() -> dict[str, NDArray[np.bool_]]:
    """The halves and the dark shade that text frames are shaded with, which the font lacks: drawn here."""
    y, x = np.mgrid[:GLYPH_HEIGHT, :GLYPH_WIDTH]
    return {
        "\N{UPPER HALF BLOCK}": y < GLYPH_HEIGHT // 2,
        "\N{LOWER HALF BLOCK}": y >= GLYPH_HEIGHT // 2,
        "\N{LEFT HALF BLOCK}": x < GLYPH_WIDTH // 2,
        "\N{RIGHT HALF BLOCK}": x >= GLYPH_WIDTH // 2,
        "\N{DARK SHADE}": (x + 2 * (y % 2)) % 4 != 0,
    }


class Glyphs:
    """`atlas`: (number of glyphs, GLYPH_HEIGHT, GLYPH_WIDTH), True where there is ink."""

    def __init__(self) -> None:
        normal, bold = (
            read_font(gzip.decompress((_HERE / name).read_bytes()))
            for name in ("Uni2-Terminus16.psf.gz", "Uni2-TerminusBold16.psf.gz")
        )
        blocks = block_elements()
        self.atlas: NDArray[np.bool_] = np.concatenate(
            [normal.glyphs, bold.glyphs, *([g] for g in blocks.values())]
        )
        begin_of_bold = len(normal.glyphs)
        begin_of_blocks = begin_of_bold + len(bold.glyphs)
        drawn = {character: begin_of_blocks + number for number, character in enumerate(blocks)}
        self._normal = normal.places | drawn
        self._bold = {character: begin_of_bold + place for character, place in bold.places.items()} | drawn

    def place(self, text: str, *, bold: bool) -> int:
        """Where in the atlas the picture for one cell's text is; what the font lacks looks like something
        near it, or else like an unknown character."""
        places = self._bold if bold else self._normal
        if not text:
            # the right half of a wide character
            return places[" "]
        place = places.get(text)
        if place is None:
            plain = unicodedata.normalize("NFKD", text)[0]
            place = places.get(plain, places.get(_UNKNOWN, places["?"]))
        return place


@cache
def glyphs() -> Glyphs:
    """The font, read once when it is first needed."""
    return Glyphs()
