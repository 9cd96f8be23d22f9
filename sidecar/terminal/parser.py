"""Terminal output cut into what it orders: text, control characters and escape sequences.

The guest may send anything. So a sequence is bounded in length and in the number and size of its
parameters; what is longer, broken or unknown is left out. Strings (titles, device control, palettes) are
skipped as they come and never kept.

Sources: ECMA-48 section 5.4 and 8.3; DEC STD 070 for the private ones.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

LONGEST_SEQUENCE: Final = 128
"""Characters."""

MAX_PARAMETERS: Final = 32

MAX_PARAMETER: Final = 9999

LONGEST_TEXT: Final = 256
"""Characters that are given at once."""


@dataclass(frozen=True, slots=True)
class Text:
    """Characters to show: none of them a control character."""

    characters: str


@dataclass(frozen=True, slots=True)
class Control:
    """A control character other than those that begin something."""

    character: str


@dataclass(frozen=True, slots=True)
class Escape:
    """An escape sequence of two or three characters, without the first."""

    characters: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A control sequence. `prefix`: `?`, `>` and the like, or empty. `parameters`: groups of numbers, mostly
    of one; None where it was left out. `final`: the last character, with those before it that are no
    parameters."""

    prefix: str
    parameters: tuple[tuple[int | None, ...], ...]
    final: str

    def number(self, index: int) -> int | None:
        """A parameter that is a number; None where it was left out."""
        return self.parameters[index][0] if index < len(self.parameters) else None


Order: TypeAlias = Text | Control | Escape | Sequence

_TEXT = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{LONGEST_TEXT}}}")
_CONTROL_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)([<-?]?)([0-9:;]*)([ -/]{0,2}[@-~])", re.ASCII)
_STRING = re.compile(r"\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]")
_END_OF_STRING = re.compile(r"[\x07\x18\x1a\x1b\x9c]")
_ESCAPE = re.compile(r"\x1b([ -/]{1,2}[0-~]|[0-Z\\-~])")
_UNFINISHED = re.compile(r"(?:\x1b|(?:\x1b\[|\x9b)[0-?]*[ -/]{0,2}|\x1b[ -/]{1,2})\Z", re.ASCII)
_BROKEN = re.compile(r"(?:\x1b\[|\x9b)[ -?]*|\x1b[ -/]*", re.ASCII)
"""What is left out of a sequence that goes on with something that has no place there."""


class Parser:
    """The state between two pieces of output: at most the beginning of one sequence."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_string = False

    def forget(self) -> None:
        """What comes next does not follow what came before."""
        self._rest = ""
        self._in_string = False

    def orders(self, data: str) -> Iterator[Order]:
        """What `data` orders. To be used up before the next piece."""
        data = self._rest + data
        self._rest = ""
        position, end = 0, len(data)
        while position < end:
            if self._in_string:
                position = self._skip_string(data, position)
            elif found := _TEXT.match(data, position):
                position = found.end()
                yield Text(found[0])
            elif data[position] == "\x1b" or data[position] >= "\x80":
                if _STRING.match(data, position):
                    # the one character of its beginning that may stand for two is no end of it
                    position += 2 if data[position] == "\x1b" else 1
                    self._in_string = True
                elif found := _CONTROL_SEQUENCE.match(data, position):
                    position = found.end()
                    if len(found[0]) <= LONGEST_SEQUENCE:
                        yield Sequence(found[1], _parameters(found[2]), found[3])
                elif found := _ESCAPE.match(data, position):
                    position = found.end()
                    yield Escape(found[1])
                elif _UNFINISHED.match(data, position):
                    # of one that is too long, the beginning says enough
                    self._rest = data[position : position + LONGEST_SEQUENCE + 1]
                    return
                else:
                    broken = _BROKEN.match(data, position)
                    position = broken.end() if broken else position + 1
            else:
                position += 1
                if data[position - 1] not in "\x00\x7f":
                    yield Control(data[position - 1])

    def _skip_string(self, data: str, position: int) -> int:
        """Where what comes after the string begins; the end of `data` while it lasts."""
        found = _END_OF_STRING.search(data, position)
        if found is None:
            return len(data)
        if found[0] != "\x1b":
            self._in_string = False
            return found.end()
        if found.end() == len(data):
            self._rest = "\x1b"
            return len(data)
        self._in_string = False
        # with anything but a backslash it begins another sequence
        return found.end() + 1 if data[found.end()] == "\\" else found.start()


def _parameters(text: str) -> tuple[tuple[int | None, ...], ...]:
    if not text:
        return ()
    groups = text.split(";", MAX_PARAMETERS)[:MAX_PARAMETERS]
    return tuple(tuple(_number(part) for part in group.split(":", 8)[:8]) for group in groups)


def _number(text: str) -> int | None:
    # the length of `text` is bounded by that of a sequence
    return min(int(text), MAX_PARAMETER) if text else None
