"""How long to wait before the next attempt."""


class BackOff:
    """Waiting times that double from `first` up to `longest` seconds; `reset` begins anew."""

    __slots__ = ("_first", "_longest", "_next")

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def next(self) -> float:
        """The next waiting time."""
        seconds = self._next
        self._next = min(2 * seconds, self._longest)
        return seconds

    def reset(self) -> None:
        """To be called after a success."""
        self._next = self._first
