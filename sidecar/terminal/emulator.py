"""Output of a guest in, pictures of characters out."""

import codecs
from collections.abc import Callable
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyte.screens import Char

from sidecar.screen.surface import Pixels, Surface
from sidecar.terminal.glyphs import GLYPH_HEIGHT, GLYPH_WIDTH, glyphs
from sidecar.terminal.palette import INK, PAPER, colour
from sidecar.terminal.parser import Order, Parser
from sidecar.terminal.screen import Screen
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

PIECE: Final = 512
"""Bytes that are decoded at once."""

BETWEEN_LOOKS: Final = 16
"""Orders between two looks at the clock."""

MAX_KNOWN_CELLS: Final = 4096

_UNDERLINE, _STRIKE = 14, 8
"""Rows of a cell."""

Cell = tuple[int, int, int, bool, bool]
"""Place in the atlas, ink, paper, underlined, struck out."""


class Emulator:
    """A terminal that draws itself on `surface`, whose size must be that of `size` in characters."""

    def __init__(self, surface: Surface, size: TerminalSize, encoding: TextEncoding) -> None:
        self._surface = surface
        self._screen = Screen(size.columns, size.rows)
        self._parser = Parser()
        self._decoder = codecs.getincrementaldecoder(encoding.value)("replace")
        self._orders: list[Order] = []
        self._done = 0
        """How many of `_orders` were obeyed."""
        self._cells: dict[Char, Cell] = {}
        self._cursor: tuple[int, int] | None = None
        """Where the cursor was drawn, if it was: row and column."""

    @property
    def application_cursor(self) -> bool:
        """Whether the arrow keys are to be sent in their other form."""
        return self._screen.application_cursor

    def feed(self, data: bytearray, deadline: float, clock: Callable[[], float]) -> None:
        """Takes bytes from the front of `data` until they are used up or `clock` is past `deadline`.

        What was taken and is not obeyed yet comes first the next time.
        """
        while True:
            while self._done < len(self._orders):
                end = min(self._done + BETWEEN_LOOKS, len(self._orders))
                for order in islice(self._orders, self._done, end):
                    self._screen.obey(order)
                self._done = end
                if clock() > deadline:
                    return
            if not data:
                return
            self._orders = list(self._parser.orders(self._decoder.decode(bytes(data[:PIECE]))))
            self._done = 0
            del data[:PIECE]
            # what orders nothing takes time too
            if not self._orders and clock() > deadline:
                return

    @property
    def is_behind(self) -> bool:
        """Whether there is something to do without further bytes."""
        return self._done < len(self._orders)

    def skip(self) -> None:
        """What comes next does not follow what came before."""
        self._parser.forget()
        self._decoder.reset()
        self._orders.clear()
        self._done = 0

    def restart(self) -> None:
        """As `skip`, and begins with an empty screen: nobody knows what was missed."""
        self.skip()
        self._screen.reset()

    def draw(self) -> bool:
        """Draws what has changed; whether that changed anything on the surface."""
        screen = self._screen
        cursor = None if screen.cursor.hidden else (screen.cursor.y, min(screen.cursor.x, screen.columns - 1))
        rows = set(screen.dirty)
        if cursor != self._cursor:
            rows |= {place[0] for place in (cursor, self._cursor) if place is not None}
        screen.dirty.clear()
        self._cursor = cursor
        changed = False
        for row in sorted(rows):
            if 0 <= row < screen.lines:
                column = cursor[1] if cursor is not None and cursor[0] == row else None
                changed |= self._surface.write(0, row * GLYPH_HEIGHT, self._drawn(row, column))
        return changed

    def text(self) -> list[str]:
        """What every row says, without the blanks at its end."""
        return ["".join(char.data for char in self._row(y)).rstrip() for y in range(self._screen.lines)]

    def _row(self, row: int) -> list[Char]:
        screen = self._screen
        line: dict[int, Char] = screen.buffer.get(row, {})
        default = screen.default_char
        return [line.get(x, default) for x in range(screen.columns)]

    def _drawn(self, row: int, cursor: int | None) -> Pixels:
        """One row: (GLYPH_HEIGHT, columns * GLYPH_WIDTH)."""
        screen = self._screen
        cells = [self._cell(char) for char in self._row(row)]
        places, inks, papers, underlined, struck = (np.array(column) for column in zip(*cells, strict=True))
        if screen.is_reversed:
            inks, papers = papers, inks
        if cursor is not None:
            inks[cursor], papers[cursor] = _cursor_colours(int(inks[cursor]), int(papers[cursor]))
        shape: NDArray[np.bool_] = glyphs().atlas[places]
        shape[underlined, _UNDERLINE] = True
        shape[struck, _STRIKE] = True
        pixels = np.where(shape, inks[:, None, None], papers[:, None, None]).astype(np.uint32)
        return pixels.transpose(1, 0, 2).reshape(GLYPH_HEIGHT, screen.columns * GLYPH_WIDTH)

    def _cell(self, char: Char) -> Cell:
        cell = self._cells.get(char)
        if cell is None:
            if len(self._cells) >= MAX_KNOWN_CELLS:
                self._cells.clear()
            ink = colour(char.fg, INK, bright=char.bold)
            paper = colour(char.bg, PAPER)
            if char.reverse:
                ink, paper = paper, ink
            place = glyphs().place(char.data, bold=char.bold)
            cell = self._cells[char] = (place, ink, paper, char.underscore, char.strikethrough)
        return cell


def _cursor_colours(ink: int, paper: int) -> tuple[int, int]:
    """A cell's colours exchanged, and told apart where both are the same."""
    return (paper, ink) if ink != paper else (paper, paper ^ 0xFFFFFF)
