"""Whether a client's pointer should go where the guest has put its own."""

import asyncio
from collections.abc import Callable

from sidecar.guest import Console
from sidecar.input.seat import Seat
from sidecar.rdp.input_events import InputEvent, MouseEvent, PointerFlags
from sidecar.rdp.views import Layout

SETTLED = 0.2
"""Seconds that the guest's pointer must stay before its place is believed."""

REST = 0.5
"""Seconds after any session has moved the pointer in which the guest's word may be an echo of that."""

Place = tuple[int, int]


class PointerFollower:
    """Moves a client's pointer along with one that the guest moves by itself, and with no other.

    What a session points at comes back some time later as the guest's word of where its pointer is; from many
    guests without the hot spot, so that it also changes with the pointer's picture. Told to a client, that
    would pull the pointer from under its user's hand, or drag it after somebody else's. So a place is told
    once nobody has pointed anywhere for a while, and if it is further from where the last one did than the
    picture is large.

    `layout`: where the consoles are on the client's desktop now. `tell`: sends a place on it.
    """

    def __init__(self, layout: Callable[[], Layout], tell: Callable[[int, int], None]) -> None:
        self._layout = layout
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._told: Place | None = None
        """Where on the desktop the client was told that its pointer is, until it moves it."""

    def moved(self, console: Console, seat: Seat) -> None:
        """The pointer of the console at which the client's is has moved, by whosever doing."""
        self.close()
        # a guest with a relative mouse gets the way that the client's pointer goes: that must not jump
        if console.cursor_visible and console.pointer.is_absolute:
            self._timer = self._loop.call_later(SETTLED, self._settled, console, seat)

    def meant(self, events: tuple[InputEvent, ...]) -> tuple[InputEvent, ...]:
        """`events` without those that only say that the client's pointer went where it was told to.

        Some clients send them. As moves of their own they would take the pointer from whoever moves it.
        """
        if self._told is None:
            return events
        meant = []
        for event in events:
            if isinstance(event, MouseEvent):
                if event.flags == PointerFlags.MOVE and (event.x, event.y) == self._told:
                    continue
                self._told = None
            meant.append(event)
        return tuple(meant)

    def close(self) -> None:
        """Tells nothing of what has happened so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settled(self, console: Console, seat: Seat) -> None:
        self._timer = None
        view = next((view for view in self._layout().views if view.console is console), None)
        if view is None or console.input_backlog or seat.pointer_rest < REST:
            return
        place = view.outside(*console.cursor_position)
        if self._told is None and _is_near(console, seat.pointed_at):
            return
        if place != self._told:
            self._told = place
            self._tell(*place)


def _is_near(console: Console, pointed_at: Place | None) -> bool:
    """Whether the guest's pointer may well be where it was put."""
    if pointed_at is None or console.cursor is None:
        return False
    (x, y), cursor = console.cursor_position, console.cursor
    return max(abs(x - pointed_at[0]), abs(y - pointed_at[1])) <= max(cursor.width, cursor.height)
