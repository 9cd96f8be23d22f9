"""The characters of one terminal: pyte's screen behind a wall.

pyte (0.8.2) trusts what it is given: a screen whose width the guest chooses, cursors saved without end,
accents heaped on one cell, exceptions for numbers that make no sense. So its own parser is not used, and only
what is listed here reaches its screen, with arguments that it can bear. Nothing that the guest asks is
answered: an answer is typed into the guest as if a person had done it, and what people see must not depend
on whether somebody watches.
"""

import copy
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import pyte
from pyte import modes
from pyte.screens import Char, Cursor, Margins, StaticDefaultDict
from wcwidth import wcwidth

from sidecar.terminal.parser import Control, Escape, Order, Sequence, Text

Row = StaticDefaultDict[int, Char]

_COLOUR_GROUPS: Final = (38, 48)

_COUNTED: Final = {
    "@": "insert_characters",
    "A": "cursor_up",
    "B": "cursor_down",
    "C": "cursor_forward",
    "D": "cursor_back",
    "E": "cursor_down1",
    "F": "cursor_up1",
    "G": "cursor_to_column",
    "L": "insert_lines",
    "M": "delete_lines",
    "P": "delete_characters",
    "S": "scroll_up",
    "T": "scroll_down",
    "X": "erase_characters",
    "Z": "tab_back",
    "`": "cursor_to_column",
    "a": "cursor_forward",
    "b": "repeat",
    "d": "cursor_to_line",
    "e": "cursor_down",
}
"""Sequences of one number, which may be left out -> what does it."""

_CONTROLS: Final = {
    "\b": "backspace",
    "\t": "tab",
    "\n": "linefeed",
    "\v": "linefeed",
    "\f": "linefeed",
    "\r": "carriage_return",
    "\x0e": "shift_out",
    "\x0f": "shift_in",
}

_ESCAPES: Final = {
    "7": "save_cursor",
    "8": "restore_cursor",
    "D": "index",
    "E": "next_line",
    "H": "set_tab_stop",
    "M": "reverse_index",
    "c": "reset",
}


class _Screenful(NamedTuple):
    """What an alternate screen hides."""

    buffer: dict[int, Row]
    cursor: Cursor
    margins: Margins | None


class Screen(pyte.Screen):
    """`columns` x `lines` characters, which never change their number.

    `dirty`: the rows that changed since somebody emptied it.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.application_cursor = False
        """Whether arrow keys are to be sent in their other form (DECCKM)."""
        self.is_reversed = False
        """Whether ink and paper are exchanged all over (DECSCNM)."""
        self._hidden: _Screenful | None = None
        self._last = ""
        super().__init__(columns, lines)
        self._by_name: dict[str, Callable[..., None]] = {
            name: getattr(self, name)
            for name in (*_COUNTED.values(), *_CONTROLS.values(), *_ESCAPES.values())
        }

    def obey(self, order: Order) -> None:
        """Does what the guest has sent; what is unknown here is left out. Takes well under a millisecond."""
        match order:
            case Text(characters):
                self._show(characters)
            case Control(character):
                self._call(_CONTROLS.get(character))
            case Escape(characters):
                if characters[0] in "()" and len(characters) == 2:
                    # sets that are not known have ASCII's signs as far as anybody uses them
                    code = characters[1] if characters[1] in "0BUV" else "B"
                    self.define_charset(code, mode=characters[0])
                else:
                    self._call(_ESCAPES.get(characters))
            case Sequence(prefix="?", parameters=parameters, final=("h" | "l") as final):
                for group in parameters:
                    self._set_private(group[0] or 0, final == "h")
            case Sequence(prefix=""):
                self._obey_sequence(order)
            case _:
                pass

    def _call(self, name: str | None, *arguments: Any) -> None:
        if name is not None:
            self._by_name[name](*arguments)

    def _obey_sequence(self, sequence: Sequence) -> None:
        first = sequence.number(0)
        match sequence.final:
            case "H" | "f":
                self.cursor_position(first, sequence.number(1))
            case "J" if (first or 0) in (0, 1, 2, 3):
                self.erase_in_display(first or 0)
            case "K" if (first or 0) in (0, 1, 2):
                self.erase_in_line(first or 0)
            case "g" if (first or 0) in (0, 3):
                self.clear_tab_stop(first or 0)
            case "h" | "l":
                change = self.set_mode if sequence.final == "h" else self.reset_mode
                change(*(mode for mode in (modes.IRM, modes.LNM) if (mode,) in sequence.parameters))
            case "m":
                self.select_graphic_rendition(*_attributes(sequence.parameters))
            case "r":
                self.set_margins(first, sequence.number(1))
            case "s":
                self.save_cursor()
            case "u":
                self.restore_cursor()
            case "!p":
                self.reset()
            case final:
                self._call(_COUNTED.get(final), first)

    def _set_private(self, mode: int, on: bool) -> None:
        match mode:
            case 1:
                self.application_cursor = on
            case 5:
                self.is_reversed = on
                self.dirty.update(range(self.lines))
            case 6 | 7 | 25:
                (self.set_mode if on else self.reset_mode)(mode, private=True)
            case 1048:
                (self.save_cursor if on else self.restore_cursor)()
            case 47 | 1047 | 1049:
                (self._hide if on else self._uncover)()
            case _:
                pass

    # pyte's own, made safe or put right

    def reset(self) -> None:
        """Begins anew."""
        self.application_cursor = self.is_reversed = False
        self._hidden = None
        super().reset()
        self.savepoints.clear()

    def save_cursor(self) -> None:
        """Remembers one cursor, as terminals do; not one on top of the other."""
        self.savepoints.clear()
        super().save_cursor()

    def restore_cursor(self) -> None:
        """Takes the cursor that was remembered, which stays so."""
        saved = [point._replace(cursor=copy.copy(point.cursor)) for point in self.savepoints]
        super().restore_cursor()
        self.savepoints[:] = saved

    def cursor_to_line(self, line: int | None = None) -> None:
        """To a line, which counts from the upper margin in origin mode, if there is one."""
        top = self.margins.top if self.margins and modes.DECOM in self.mode else 0
        self.cursor.y = top + (line or 1) - 1
        self.ensure_vbounds()

    def erase_characters(self, count: int | None = None) -> None:
        """Leaves the cursor's paper and nothing else of its looks."""
        line = self.buffer[self.cursor.y]
        for x in range(self.cursor.x, min(self.cursor.x + (count or 1), self.columns)):
            line[x] = self._blank
        self.dirty.add(self.cursor.y)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """To the end (0), from the beginning (1) or all of it (2)."""
        start = self.cursor.x if how == 0 else 0
        end = self.cursor.x + 1 if how == 1 else self.columns
        blank, line = self._blank, self.buffer[self.cursor.y]
        for x in range(start, end):
            line[x] = blank
        self.dirty.add(self.cursor.y)

    def erase_in_display(self, how: int = 0, *_: Any, **__: Any) -> None:
        """To the end (0), from the beginning (1) or all of it (2 and 3)."""
        rows = {0: range(self.cursor.y + 1, self.lines), 1: range(self.cursor.y)}.get(how, range(self.lines))
        blank = self._blank
        for y in rows:
            if blank == self.default_char:
                self.buffer.pop(y, None)
            else:
                self.buffer[y].update(dict.fromkeys(range(self.columns), blank))
        self.dirty.update(rows)
        if how in (0, 1):
            self.erase_in_line(how)

    # what pyte lacks

    def next_line(self) -> None:
        """To the beginning of the next line (NEL)."""
        self.carriage_return()
        self.index()

    def scroll_up(self, count: int | None = None) -> None:
        """Moves what is between the margins up; the cursor stays (SU)."""
        self._scroll(count, self.index, bottom=True)

    def scroll_down(self, count: int | None = None) -> None:
        """Moves what is between the margins down; the cursor stays (SD)."""
        self._scroll(count, self.reverse_index, bottom=False)

    def _scroll(self, count: int | None, scroll: Callable[[], None], *, bottom: bool) -> None:
        margins = self.margins or Margins(0, self.lines - 1)
        before = self.cursor.y
        self.cursor.y = margins.bottom if bottom else margins.top
        for _ in range(min(count or 1, self.lines)):
            scroll()
        self.cursor.y = before

    def tab_back(self, count: int | None = None) -> None:
        """To the tab stop before (CBT)."""
        for _ in range(min(count or 1, self.columns)):
            self.cursor.x = max((stop for stop in self.tabstops if stop < self.cursor.x), default=0)

    def repeat(self, count: int | None = None) -> None:
        """The last character again, at most a line of it (REP)."""
        self.draw(self._last * min(count or 1, self.columns))

    def _show(self, characters: str) -> None:
        if not characters.isascii():
            # pyte stops at a character of no width, and heaps accents on the cell before without end
            composed = unicodedata.normalize("NFC", characters)
            if unicodedata.combining(composed[0]):
                self._put_accent(composed[0])
            characters = "".join(character for character in composed if wcwidth(character) > 0)
        if characters:
            self._last = characters[-1]
            self.draw(characters)

    def _put_accent(self, accent: str) -> None:
        """On the character before, where there is one character for both; its own piece came too late."""
        line, x = self.buffer[self.cursor.y], self.cursor.x - 1
        composed = unicodedata.normalize("NFC", self._last + accent)
        if x >= 0 and len(composed) == 1 and line[x].data == self._last:
            line[x] = line[x]._replace(data=composed)
            self._last = composed
            self.dirty.add(self.cursor.y)

    def _hide(self) -> None:
        if self._hidden is None:
            self._hidden = _Screenful(self.buffer, copy.copy(self.cursor), self.margins)
            self._put(_Screenful(defaultdict(self._new_row), copy.copy(self.cursor), None))

    def _uncover(self) -> None:
        if self._hidden is not None:
            hidden, self._hidden = self._hidden, None
            self._put(hidden)

    def _put(self, screenful: _Screenful) -> None:
        self.buffer, self.cursor, self.margins = screenful
        self.dirty.update(range(self.lines))

    def _new_row(self) -> Row:
        return StaticDefaultDict(self.default_char)

    @property
    def _blank(self) -> Char:
        return self.default_char._replace(bg=self.cursor.attrs.bg)


def _attributes(groups: Iterable[tuple[int | None, ...]]) -> list[int]:
    """Numbers for pyte, which knows no groups: what is told in one is flattened or left out."""
    numbers: list[int] = []
    for group in groups:
        first = group[0] or 0
        if len(group) == 1:
            numbers.append(first)
        elif first in _COLOUR_GROUPS and len(group) >= 3:
            # 38:2:R:G:B, or with a colour space before the red
            kind, rest = group[1] or 0, group[2:]
            channels = rest[:1] if kind == 5 else rest[1:4] if len(rest) > 3 else rest[:3]
            numbers += [first, kind, *(channel or 0 for channel in channels)]
        elif first == 4:
            numbers.append(4 if group[1] else 24)
    return _in_range(numbers)


def _in_range(numbers: list[int]) -> list[int]:
    """The same, with every colour one that there is; a colour that is cut off ends the list."""
    result: list[int] = []
    position = 0
    while position < len(numbers):
        number = numbers[position]
        position += 1
        if number not in _COLOUR_GROUPS:
            result.append(number)
            continue
        length = {5: 2, 2: 4}.get(numbers[position] if position < len(numbers) else 0, 0)
        if not length or position + length > len(numbers):
            break
        result += [number, numbers[position]]
        result += [min(value, 255) for value in numbers[position + 1 : position + length]]
        position += length
    return result or [0]
