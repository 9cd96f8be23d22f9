"""Pictures of what consoles show, as files, where the policy allows it."""

import asyncio
import secrets
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sidecar.control.settings import ScreenshotPolicy
from sidecar.errors import NotReady, SidecarError
from sidecar.guest import Console, ConsoleChange, Guest, GuestState
from sidecar.observers import WatchedObservers
from sidecar.screen.cursor import Cursor
from sidecar.screen.png import png
from sidecar.screen.snapshot import snapshot
from sidecar.screen.surface import Frame
from sidecar.session.registry import Registry
from sidecar.session.sight import Sight

MOST_WAITING: Final = 8
"""Screenshots at once; they are made one after the other."""

MOST_PIXELS: Final = 8192 * 8192
"""Of a console: more than any display has, and a file of at most 200 MB."""

PAUSE: Final = 0.06
"""Seconds: a little more than lie between two pictures of a console that draws itself."""

MOST_PAUSES: Final = 20


class NoSuchConsole(SidecarError):
    """The machine has no console of that number."""


class ScreenWatched(SidecarError):
    """The policy allows screenshots only while nobody is connected."""


class ScreenshotsOff(SidecarError):
    """The policy allows none."""


class NotToBeSeen(SidecarError):
    """Whoever asks may not see that console."""


class NoScreenshotNow(NotReady):
    """There is no machine, or there are too many screenshots already."""


@dataclass(frozen=True, slots=True)
class Screenshot:
    """`png`: the file. `tag`: the same for the same picture, as `Screenshots.tag` gives it."""

    png: bytes
    width: int
    height: int
    tag: str


class Screenshots:
    """Takes screenshots of `guest` for whoever may have them. Belongs to the main loop.

    `policy` tells the policy of the moment; it counts the sessions of `registry`. `names` of who asks: see
    `sidecar.session.sight`.
    """

    def __init__(
        self, guest: Guest, registry: Registry, policy: Callable[[], ScreenshotPolicy] = lambda: "always"
    ) -> None:
        self._guest = guest
        self._registry = registry
        self._policy = policy
        self._origin = secrets.token_hex(4)
        """What tells this daemon's versions from those of the one before."""
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    def tag(self, index: int, *, cursor: bool = False, names: frozenset[str] | None = None) -> str:
        """What names the picture that `take` would make now: letters, digits and hyphens.

        Raises like `take`. Another picture has another tag; the tag of a picture that is not the newest any
        more is never used again.
        """
        console = self._allowed(index, names)
        return self._tag(console, console.surface.frame, _shown_cursor(console) if cursor else None)

    async def take(
        self, index: int, *, cursor: bool = False, names: frozenset[str] | None = None
    ) -> Screenshot:
        """What the console of that number shows now; with `cursor`, the guest's pointer where it has one.

        Raises NoSuchConsole, NotToBeSeen, ScreenWatched, ScreenshotsOff, NoScreenshotNow.
        """
        self._allowed(index, names)
        if self._waiting >= MOST_WAITING:
            raise NoScreenshotNow("too many screenshots are taken at once: try again")
        self._waiting += 1
        try:
            async with self._one_at_a_time, _drawn(self._allowed(index, names)):
                # again: somebody may have come
                console = self._allowed(index, names)
                frame = console.surface.frame
                if frame.width * frame.height > MOST_PIXELS:
                    raise NoScreenshotNow(f"a screen of {frame.width}x{frame.height} is too large")
                shown, position = _shown_cursor(console) if cursor else None, console.cursor_position
                tag = self._tag(console, frame, shown)
                file = await asyncio.to_thread(_file, frame, shown, position)
        finally:
            self._waiting -= 1
        return Screenshot(file, frame.width, frame.height, tag)

    def _allowed(self, index: int, names: frozenset[str] | None) -> Console:
        """The console, if a screenshot of it may be taken now."""
        policy = self._policy()
        if policy == "never":
            raise ScreenshotsOff("screenshots are switched off (--screenshots)")
        if policy == "unwatched" and self._registry.count():
            raise ScreenWatched("somebody is connected, and screenshots are taken only while nobody is")
        if self._guest.state is not GuestState.ATTACHED:
            raise NoScreenshotNow("no virtual machine is there")
        console = self._guest.consoles.get(index)
        if console is None:
            raise NoSuchConsole(
                f"there is no console {index}, only {', '.join(map(str, self._guest.consoles))}"
            )
        if not Sight(self._guest, names).allows(console):
            raise NotToBeSeen(f"console {index} is none of those that this login may see")
        return console

    def _tag(self, console: Console, frame: Frame, cursor: Cursor | None) -> str:
        # versions never repeat, and are taken before the pixels (sidecar.screen.surface)
        tag = f"{self._origin}-{console.index}-{int(frame.versions.max())}"
        if cursor is not None:
            x, y = console.cursor_position
            tag += f"-{zlib.crc32(cursor.pixels.tobytes()):x}-{x}-{y}-{cursor.hot_x}-{cursor.hot_y}"
        return tag


def _file(frame: Frame, cursor: Cursor | None, position: tuple[int, int]) -> bytes:
    return png(snapshot(frame, cursor, position))


def _shown_cursor(console: Console) -> Cursor | None:
    return console.cursor if console.cursor_visible else None


@asynccontextmanager
async def _drawn(console: Console) -> AsyncIterator[None]:
    """Has a console that draws itself only while it is watched show what came meanwhile."""
    if not isinstance(console.changes, WatchedObservers) or len(console.changes):
        yield
        return
    changes = 0

    def heard(_change: ConsoleChange) -> None:
        nonlocal changes
        changes += 1

    leave = console.changes.subscribe(heard)
    try:
        rests = 0
        for _ in range(MOST_PAUSES):
            before = changes
            await asyncio.sleep(PAUSE)
            rests = rests + 1 if changes == before else 0
            # at the end of the first it may have been about to go on
            if rests == 2:
                break
        yield
    finally:
        leave()
