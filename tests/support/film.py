"""The time in which a film is played: however slow the machine is, the film is not."""

import time

PICTURE = 1 / 30
"""Seconds that each picture of a film is shown."""


class FilmTime:
    """A clock, in seconds. It goes as time does until a film is played, which it counts by pictures."""

    def __init__(self) -> None:
        self._before = 0.0
        self._goes_since: float | None = time.monotonic()

    def __call__(self) -> float:
        return self._before + (0.0 if self._goes_since is None else time.monotonic() - self._goes_since)

    def picture(self) -> None:
        """A picture of a film comes now. Until the next one, or the film's end, no time passes."""
        self._before, self._goes_since = self() + PICTURE, None

    def end(self) -> None:
        """The film has ended: time goes on as usual, and what was shown comes to rest."""
        if self._goes_since is None:
            self._goes_since = time.monotonic()
