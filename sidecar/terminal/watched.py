"""Observers whose owner works only while there are any."""

from collections.abc import Callable
from typing import ParamSpec

from sidecar.observers import Observers

P = ParamSpec("P")


class WatchedObservers(Observers[P]):
    """Calls `begun` when the first has subscribed, and `ended` when the last has left."""

    __slots__ = ("_begun", "_ended")

    def __init__(self, begun: Callable[[], None], ended: Callable[[], None]) -> None:
        super().__init__()
        self._begun = begun
        self._ended = ended

    def subscribe(self, callback: Callable[P, None]) -> Callable[[], None]:
        """Adds `callback`; the function returned takes it away again and may be called twice."""
        leave = super().subscribe(callback)
        if len(self) == 1:
            self._begun()

        def unsubscribe() -> None:
            before = len(self)
            leave()
            if before and not len(self):
                self._ended()

        return unsubscribe
