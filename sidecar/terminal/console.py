"""A serial line as a console that every frontend can show."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from sidecar.guest import Button, ConsoleChange, ResizeRefused
from sidecar.input.layout import Layout
from sidecar.log import get_logger
from sidecar.observers import Observers, WatchedObservers
from sidecar.screen.cursor import Cursor
from sidecar.screen.surface import Surface
from sidecar.serial.history import after_line
from sidecar.serial.line import SerialLine, SerialSeat
from sidecar.terminal.keyboard import TerminalKeyboard
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

if TYPE_CHECKING:
    from sidecar.terminal.emulator import Emulator

log = get_logger(__name__)

INTERVAL: Final = 0.05
"""Fewest seconds between two pictures."""

SLICE: Final = 0.005
"""Most seconds of one turn in which output is followed; a picture comes on top of it."""

MOST_WAITING: Final = 64 * 1024
"""Bytes of output that wait to be followed; when there are more, all but the last are skipped."""

KEPT: Final = 16 * 1024
"""Bytes that are followed then: some screenfuls, since a terminal shows only the end."""

GLYPH: Final = 8, 16
"""Width and height of a character in pixels."""


class NoPointer:
    """A terminal has no mouse: whatever it does is ignored."""

    @property
    def is_absolute(self) -> bool:
        """Positions are what clients like best."""
        return True

    def move_to(self, x: int, y: int) -> None:
        """Does nothing."""

    def move_by(self, dx: int, dy: int) -> None:
        """Does nothing."""

    def press(self, button: Button) -> None:
        """Does nothing."""

    def release(self, button: Button) -> None:
        """Does nothing."""


class TerminalConsole:
    """Implements `sidecar.guest.Console` for a line.

    While nobody observes `changes`, output is only counted: the line keeps it, and it is followed when
    somebody comes. Belongs to the main loop.
    """

    def __init__(
        self,
        index: int,
        line: SerialLine,
        layout: Layout,
        *,
        size: TerminalSize | None = None,
        encoding: TextEncoding = TextEncoding.UTF_8,
    ) -> None:
        """`layout`: of the guest's keyboard, by which frontends make keys of characters."""
        self._index = index
        self._size = size or TerminalSize()
        self._encoding = encoding
        self._surface = Surface(self._size.columns * GLYPH[0], self._size.rows * GLYPH[1])
        self._keyboard = TerminalKeyboard(
            layout,
            send=self._send,
            send_break=self._send_break,
            application_cursor=lambda: self._emulator is not None and self._emulator.application_cursor,
            lights_changed=lambda: self._changes.notify(ConsoleChange.LEDS),
        )
        self._pointer = NoPointer()
        self._changes: WatchedObservers[[ConsoleChange]] = WatchedObservers(self._watched, self._left_alone)
        self._emulator: Emulator | None = None
        self._waiting = bytearray()
        """Output that is still to be followed."""
        self._missed = len(line.history)
        """Bytes that came while nobody observed, of which the last are in the line's history."""
        self._timer: asyncio.TimerHandle | None = None
        self._last_turn = 0.0
        self._line = line
        self._seat = self._join(line)

    def _join(self, line: SerialLine) -> SerialSeat:
        return line.join(None, self._received, lambda: None)

    def follow(self, line: SerialLine) -> None:
        """Shows this line from now on, in place of one of the same name that is gone; its text stays."""
        if line is not self._line:
            self._seat.leave()
            self._line = line
            self._seat = self._join(line)
            self._received(line.history)

    def close(self) -> None:
        """Leaves the line for good; what is shown stays."""
        self._seat.leave()
        self._stop()

    def text(self) -> list[str]:
        """What it shows, row by row, without blanks at the end; nothing before anybody has watched."""
        return [] if self._emulator is None else self._emulator.text()

    # Console

    @property
    def index(self) -> int:
        """A number after those of the guest's own consoles."""
        return self._index

    @property
    def label(self) -> str:
        """QEMU's label of the port."""
        return self._line.label

    @property
    def surface(self) -> Surface:
        """The pixels; always the same object and size."""
        return self._surface

    @property
    def cursor(self) -> Cursor:
        """A pointer of text, so that a viewer's is not that of the console before."""
        return _pointer_of_text()

    @property
    def cursor_visible(self) -> bool:
        """It always is."""
        return True

    @property
    def cursor_position(self) -> tuple[int, int]:
        """The guest puts it nowhere."""
        return 0, 0

    @property
    def keyboard(self) -> TerminalKeyboard:
        """What is typed goes into the line."""
        return self._keyboard

    @property
    def pointer(self) -> NoPointer:
        """Ignored."""
        return self._pointer

    @property
    def touch(self) -> None:
        """There is none."""
        return

    @property
    def input_backlog(self) -> int:
        """None: what the line does not take at once is lost, as with a real one."""
        return 0

    @property
    def changes(self) -> Observers[[ConsoleChange]]:
        """Called on the main loop, at most some twenty times a second."""
        return self._changes

    async def request_size(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
        """Raises ResizeRefused: nobody could tell the guest."""
        raise ResizeRefused("a text console keeps its size")

    # What is typed

    def _send(self, text: str) -> None:
        self._seat.write(text.encode(self._encoding.value, "ignore"))

    def _send_break(self) -> None:
        self._seat.send_break()

    # What comes out

    def _received(self, data: bytes) -> None:
        if not len(self._changes):
            self._missed += len(data)
            return
        self._waiting += data
        if len(self._waiting) > MOST_WAITING:
            self._skip_to_the_end()
        self._have_a_turn()

    def _watched(self) -> None:
        """Follows what came meanwhile."""
        missed, self._missed = self._missed, 0
        history = self._line.history
        emulator = self._terminal()
        if missed > len(history):
            # what was forgotten may have changed everything
            emulator.restart()
            self._waiting.clear()
        if missed:
            self._waiting += history[-missed:]
        if len(self._waiting) > MOST_WAITING:
            self._skip_to_the_end()
        self._have_a_turn()

    def _left_alone(self) -> None:
        # what waits comes first when somebody watches again
        self._stop()

    def _terminal(self) -> "Emulator":
        if self._emulator is None:
            from sidecar.terminal.emulator import Emulator

            self._emulator = Emulator(self._surface, self._size, self._encoding)
        return self._emulator

    def _skip_to_the_end(self) -> None:
        log.debug("terminal output skipped", line=self._line.name, bytes=len(self._waiting) - KEPT)
        del self._waiting[:-KEPT]
        # the rest of a line would be shown at a wrong place
        del self._waiting[: after_line(self._waiting)]
        self._terminal().skip()

    def _have_a_turn(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._last_turn + INTERVAL), self._turn)

    def _turn(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        emulator = self._terminal()
        now = self._last_turn = loop.time()
        try:
            emulator.feed(self._waiting, now + SLICE, loop.time)
            changed = emulator.draw()
        except Exception as error:
            # what the guest writes must not be able to stop its console for good
            log.warning("terminal begun anew", line=self._line.name, cause=repr(error))
            emulator.restart()
            changed = emulator.draw()
        if changed:
            self._changes.notify(ConsoleChange.DAMAGE)
        if (self._waiting or emulator.is_behind) and len(self._changes):
            self._have_a_turn()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@cache
def _pointer_of_text() -> Cursor:
    """A vertical bar with a light edge, 5x16 pixels."""
    pixels = np.full((16, 5), 0xFFFFFFFF, np.uint32)
    pixels[1:-1, 2] = 0xFF000000
    pixels[3:-3, [0, 4]] = 0
    return Cursor(pixels, 2, 8)
