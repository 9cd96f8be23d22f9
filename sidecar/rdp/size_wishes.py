"""The sizes that one client wants its monitors served in, and what the guest makes of that."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sidecar.guest import Console, ResizeRefused
from sidecar.log import get_logger
from sidecar.rdp.display_control import MonitorWish
from sidecar.screen.surface import Frame

log = get_logger(__name__)

RESIZE_TIME = 2.0
"""Seconds that the guest has to take the size that was asked for; its own is scaled then."""

PAUSE = 0.1
"""Seconds between two requests to a console: each makes the guest draw everything anew."""

Size = tuple[int, int]


class SizeWishes:
    """Carries a client's wishes to the consoles: one request at a time for each, and the latest wish next,
    after a while.

    `changed` is called when `unmet` has changed other than by `settle`.
    """

    def __init__(
        self,
        session_id: str,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        changed: Callable[[], None],
    ) -> None:
        self.unmet: Size | None = None
        """The desktop that the client wants and the guest does not give it: the latest about which that is
        certain. Only for a client with a single monitor."""
        self._session_id = session_id
        self._spawn = spawn
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._wanted: Size | None = None
        """What the guest has not answered yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._latest: dict[int, MonitorWish] = {}
        """By console, while a request to it is under way or was just now."""
        self._asked: dict[int, Size] = {}
        """What each console was asked for last."""

    def wish(self, consoles: Sequence[Console], monitors: Sequence[MonitorWish]) -> None:
        """Asks each console for the size of the monitor that shows it, in place of what was wished before."""
        before = self.unmet
        self._forget_wanted()
        if len(consoles) == len(monitors) == 1:
            frame, size = consoles[0].surface.frame, monitors[0].area[2:]
            if size == (frame.width, frame.height):
                self.unmet = None
            elif size != self.unmet:
                self._wanted = size
                self._timer = self._loop.call_later(RESIZE_TIME, self._not_heard)
        else:
            self.unmet = None
        for console, monitor in zip(consoles, monitors, strict=False):
            self._ask(console, monitor)
        if self.unmet != before:
            self._changed()

    def settle(self, frame: Frame) -> None:
        """Takes note that the client's only console has this frame now."""
        size = (frame.width, frame.height)
        if self._wanted == size:
            self._forget_wanted()
            self.unmet = None
        elif self.unmet == size:
            self.unmet = None

    def close(self) -> None:
        """Wishes nothing more."""
        self._forget_wanted()
        self._latest.clear()

    def _ask(self, console: Console, monitor: MonitorWish) -> None:
        frame, size = console.surface.frame, monitor.area[2:]
        if size == (frame.width, frame.height) and self._asked.get(console.index, size) == size:
            return
        self._asked[console.index] = size
        is_busy = console.index in self._latest
        self._latest[console.index] = monitor
        if not is_busy:
            self._spawn(self._request(console))

    async def _request(self, console: Console) -> None:
        """Asks until the wish that is told is still the latest one afterwards."""
        told: MonitorWish | None = None
        try:
            while (latest := self._latest.get(console.index)) is not None and latest is not told:
                told = latest
                await self._tell(console, latest)
                await asyncio.sleep(PAUSE)
        finally:
            self._latest.pop(console.index, None)

    async def _tell(self, console: Console, monitor: MonitorWish) -> None:
        size = monitor.area[2:]
        try:
            await console.request_size(*size, *(monitor.physical_size or (0, 0)))
        except ResizeRefused as refusal:
            log.debug("resize refused", session=self._session_id, cause=str(refusal))
            if self._wanted == size:
                self._not_heard()

    def _not_heard(self) -> None:
        """The guest stays as it is."""
        wanted = self._wanted
        self._forget_wanted()
        self.unmet = wanted
        self._changed()

    def _forget_wanted(self) -> None:
        self._wanted = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
