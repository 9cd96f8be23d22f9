"""Callbacks that hear of a change, in the order in which they were added."""

from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Observers(Generic[P]):
    """Callbacks of one signature; one that subscribes or leaves during a call counts from the next.

    Not thread-safe: it belongs to the loop that calls it. A callback must not raise.
    """

    __slots__ = ("_callbacks",)

    def __init__(self) -> None:
        self._callbacks: tuple[Callable[P, None], ...] = ()

    def subscribe(self, callback: Callable[P, None]) -> Callable[[], None]:
        """Adds `callback`; the function returned takes it away again and may be called twice."""
        self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            # compared with ==: a bound method is a new object at every access
            self._callbacks = tuple(kept for kept in self._callbacks if kept != callback)

        return unsubscribe

    def notify(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls every callback."""
        for callback in self._callbacks:
            callback(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._callbacks)


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
