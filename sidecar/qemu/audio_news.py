"""What QEMU says of its voices, on its way from the listener's thread to the main loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST_SOUND: Final = 1 << 21
"""Bytes that wait for a main loop that is busy: ten seconds of a usual voice. Then all of it is too old."""

MOST_MESSAGES: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Played:
    """A voice plays this; `time`: when it came, in seconds of the monotonic clock."""

    voice: int
    data: bytes
    time: float


News = Played | Callable[[], None]
"""Sound, or else what is to be done."""


class NewsQueue:
    """Everything in the order in which it came; `put` may be called by any thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake`: called on the loop that runs now when there is something, once until it is taken."""
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[News] = deque()
        self._sound = 0
        self._dropped = 0
        self._is_closed = False

    @property
    def dropped(self) -> int:
        """Bytes of sound that waited for too long."""
        return self._dropped

    def put(self, news: News) -> None:
        """Adds to the end. Raises OverflowError when far too much is there."""
        with self._lock:
            if self._is_closed:
                return
            is_first = not self._waiting
            self._waiting.append(news)
            if isinstance(news, Played):
                self._sound += len(news.data)
            if self._sound > MOST_SOUND:
                self._waiting = deque(other for other in self._waiting if not isinstance(other, Played))
                self._dropped += self._sound
                self._sound = 0
            if len(self._waiting) > MOST_MESSAGES:
                raise OverflowError("QEMU says more of its sound than can be listened to")
        if is_first:
            self._loop.call_soon_threadsafe(self._wake)

    def take(self) -> deque[News]:
        """All that is there."""
        with self._lock:
            taken, self._waiting, self._sound = self._waiting, deque(), 0
        return taken

    def close(self) -> None:
        """Nothing is taken any more."""
        with self._lock:
            self._is_closed = True
            self._waiting.clear()
