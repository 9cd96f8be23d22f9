"""Which tiles of a screen move, and which have come to rest."""

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.surface import Frame, Versions

MEMORY = 0.5
"""Seconds after which a change counts only a third."""

MOVING = 3.0
"""Remembered changes from which on a tile is said to move: about six changes a second that go on."""

REST = 0.3
"""Seconds without a change after which a tile is at rest."""


class Activity:
    """How often the tiles of one frame change, as seen by whoever calls `observe`; time is passed in."""

    __slots__ = ("_changed_at", "_heat", "_observed_at", "_versions")

    def __init__(self, frame: Frame, now: float) -> None:
        shape = frame.versions.shape
        self._heat = np.zeros(shape, np.float32)
        self._changed_at = np.full(shape, -np.inf, np.float64)
        self._versions: Versions = frame.versions.copy()
        self._observed_at = now

    def observe(self, versions: Versions, now: float) -> None:
        """Takes note of the versions at `now` (seconds, monotonic)."""
        changed = versions != self._versions
        self._heat *= np.float32(np.exp((self._observed_at - now) / MEMORY))
        self._heat += changed
        self._changed_at[changed] = now
        self._versions = versions
        self._observed_at = now

    def moving(self, now: float) -> NDArray[np.bool_]:
        """The tiles that change often and have not come to rest."""
        return (self._heat >= MOVING) & (now - self._changed_at < REST)
