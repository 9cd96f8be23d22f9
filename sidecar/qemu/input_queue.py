"""Keys and pointer events on their way to QEMU: in order, bounded, motion merged."""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from sidecar.guest import Button
from sidecar.log import get_logger
from sidecar.qemu.key_pace import KeyPace

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


class FingerChange(Enum):
    """What happens to a finger."""

    DOWN = "down"
    MOVED = "moved"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Finger:
    """A finger goes down, moves or is lifted."""

    slot: int
    change: FingerChange
    x: float
    y: float


InputEvent = Key | Click | Position | Motion | Finger


class InputQueue:
    """Events that wait, in order; closed until `open` is called. Belongs to the main loop.

    When it is full a press and a motion are dropped, never the release of what was pressed.
    """

    def __init__(self, pace: KeyPace | None = None) -> None:
        """`pace`: how fast keys may go; None: as they come."""
        self._pace = pace
        self._waiting: deque[InputEvent] = deque()
        self._held: set[Key | Click | int] = set()
        """Presses that were not released; the slots of fingers that are down."""
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
        if not self._merge(event) and self._takes(event):
            self._waiting.append(event)
            self._ready.set()

    def _takes(self, event: InputEvent) -> bool:
        match event:
            case Key(down=down) | Click(down=down):
                return self._takes_change(replace(event, down=True), down)
            case Finger(slot, FingerChange.MOVED):
                return slot in self._held and self._has_room()
            case Finger(slot, change):
                return self._takes_change(slot, change is FingerChange.DOWN)
            case Position() | Motion():
                return self._has_room()

    def _takes_change(self, press: Key | Click | int, down: bool) -> bool:
        """Whether a press has room, or a release belongs to a press that was taken."""
        if down:
            has_room = self._has_room()
            if has_room:
                self._held.add(press)
            return has_room
        was_held = press in self._held
        self._held.discard(press)
        return was_held

    def _merge(self, event: InputEvent) -> bool:
        last = self._waiting[-1] if self._waiting else None
        match event, last:
            case Position(), Position():
                self._waiting[-1] = event
            case Motion(dx, dy), Motion():
                self._waiting[-1] = Motion(_bounded(last.dx + dx), _bounded(last.dy + dy))
            case Key(down=True), Key():
                # repeats faster than the keyboard takes them must not go on when the key is let go of
                return event == last and self._pace is not None
            case Finger(change=FingerChange.MOVED), Finger():
                return self._merge_finger(event)
            case _:
                return False
        return True

    def _merge_finger(self, event: Finger) -> bool:
        """Fingers move together: the last motion of this one may have those of others behind it."""
        for index in range(len(self._waiting) - 1, -1, -1):
            earlier = self._waiting[index]
            if not isinstance(earlier, Finger) or earlier.change is not FingerChange.MOVED:
                return False
            if earlier.slot == event.slot:
                self._waiting[index] = event
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
        while not (events := self._next()):
            if self._pace:
                await asyncio.sleep(self._pace.wait)
            await self._ready.wait()
        self._taken = len(events)
        if not self._waiting:
            self._ready.clear()
        return events

    def _next(self) -> list[InputEvent]:
        """Those that may go now; none when the first is a key and the keyboard has no room."""
        room = self._pace.room if self._pace else IN_FLIGHT
        events: list[InputEvent] = []
        keys = 0
        while self._waiting and len(events) < IN_FLIGHT:
            is_key = isinstance(self._waiting[0], Key)
            if is_key and keys == room:
                break
            keys += is_key
            events.append(self._waiting.popleft())
        if self._pace:
            self._pace.spend(keys)
        return events

    def done(self) -> None:
        """What was taken is delivered."""
        self._taken = 0


def _bounded(distance: int) -> int:
    return max(-_MAX_MOTION, min(_MAX_MOTION, distance))
