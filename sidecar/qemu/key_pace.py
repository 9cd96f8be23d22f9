"""How fast a guest's keyboard takes keys."""

import asyncio
from collections.abc import Callable
from typing import Final

BURST: Final = 6
"""Keys at once, presses and releases counted one by one. QEMU's PS/2 keyboard remembers 16 bytes, of which a
release takes up to three."""

INTERVAL: Final = 0.01
"""Seconds for one more. A guest asks QEMU's USB keyboard every 8 to 10 ms and gets one change each time;
QEMU's own VNC server waits as long between the keys that it makes up (its option key-delay-ms)."""

_TINY: Final = 1e-6
"""By so much of a key a timer may be early."""


class KeyPace:
    """The keys that a keyboard can take without losing any.

    Nobody types as fast, but a text that is sent at once comes so. What does not fit is lost, and a lost
    release leaves its key stuck.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """`clock`: seconds, never going back; None: the running loop's."""
        self._clock = clock
        self._room = float(BURST)
        self._as_of: float | None = None

    @property
    def room(self) -> int:
        """Keys that it takes now."""
        now = self._clock() if self._clock else asyncio.get_running_loop().time()
        if self._as_of is not None:
            self._room = min(float(BURST), self._room + (now - self._as_of) / INTERVAL)
        self._as_of = now
        return int(self._room + _TINY)

    def spend(self, keys: int) -> None:
        """Takes note that so many were sent."""
        self._room -= keys

    @property
    def wait(self) -> float:
        """Seconds until it takes one more; 0 when it does."""
        return max(0.0, (1 - self._room) * INTERVAL)
