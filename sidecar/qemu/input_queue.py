"""Keys and pointer events on their way to QEMU: in order, bounded, motion merged."""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from sidecar.guest import Button
from sidecar.log import get_logger

log = get_logger(__name__)

MAX_WAITING: Final = 4096
"""Events that wait at most. Frontends that heed the backlog stay far below it."""

IN_FLIGHT: Final = 16
"""Calls that are sent before the first of them is answered."""

_MAX_MOTION: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Key:
    """A key goes down or up."""

    qnum: int
    down: bool


@dataclass(frozen=True, slots=True)
class Click:
    """A button goes down or up."""

    button: Button
    down: bool


@dataclass(frozen=True, slots=True)
class Position:
    """The pointer stands at a pixel."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Motion:
    """The pointer moves."""

    dx: int
    dy: int


InputEvent = Key | Click | Position | Motion


class InputQueue:
    """Events that wait, in order; closed until `open` is called. Belongs to the main loop.

    When it is full a press and a motion are dropped, never the release of what was pressed.
    """

    def __init__(self) -> None:
        self._waiting: deque[InputEvent] = deque()
        self._held: set[Key | Click] = set()
        self._ready = asyncio.Event()
        self._taken = 0
        self._is_open = False
        self._full_told = False

    def __len__(self) -> int:
        """Events that wait, and those taken that are not done."""
        return len(self._waiting) + self._taken

    def open(self) -> None:
        """Takes events from now on."""
        self._is_open = True

    def close(self) -> None:
        """Drops what waits, and everything that comes."""
        self._is_open = False
        self._waiting.clear()
        self._held.clear()
        self._taken = 0
        self._ready.clear()

    def put(self, event: InputEvent) -> None:
        """Adds an event, or merges it with the last one."""
        if not self._is_open:
            return
        if isinstance(event, Key | Click):
            press = replace(event, down=True)
            if event.down and self._has_room():
                self._held.add(press)
            elif not event.down and press in self._held:
                self._held.discard(press)
            else:
                return
            self._waiting.append(event)
        elif not self._merge(event):
            if not self._has_room():
                return
            self._waiting.append(event)
        self._ready.set()

    def _merge(self, event: Position | Motion) -> bool:
        last = self._waiting[-1] if self._waiting else None
        if isinstance(event, Position) and isinstance(last, Position):
            self._waiting[-1] = event
            return True
        if isinstance(event, Motion) and isinstance(last, Motion):
            self._waiting[-1] = replace(
                last, dx=_bounded(last.dx + event.dx), dy=_bounded(last.dy + event.dy)
            )
            return True
        return False

    def _has_room(self) -> bool:
        if len(self._waiting) < MAX_WAITING:
            return True
        if not self._full_told:
            self._full_told = True
            log.warning("input is dropped, the machine takes it too slowly", waiting=len(self._waiting))
        return False

    async def take(self) -> list[InputEvent]:
        """The next events, at least one; `done` is to be called when they are delivered."""
        await self._ready.wait()
        events = [self._waiting.popleft() for _ in range(min(IN_FLIGHT, len(self._waiting)))]
        self._taken = len(events)
        if not self._waiting:
            self._ready.clear()
        return events

    def done(self) -> None:
        """What was taken is delivered."""
        self._taken = 0


def _bounded(distance: int) -> int:
    return max(-_MAX_MOTION, min(_MAX_MOTION, distance))
