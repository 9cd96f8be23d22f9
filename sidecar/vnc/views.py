"""The consoles that one session can look at, and what it needs to look at one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.broadcast.broadcast import Broadcast, Broadcasts
from sidecar.guest import Console
from sidecar.input.session_input import SessionInput


@dataclass(frozen=True, slots=True)
class View:
    """One console with who sends its picture, and this session's keyboard and mouse there."""

    console: Console
    broadcast: Broadcast
    input: SessionInput


class Views:
    """`consoles`: those that the session may see, as they are now. `switching`: whether it may choose.
    `shown` is called when it sees another console.
    """

    def __init__(
        self,
        consoles: Callable[[], Sequence[Console]],
        broadcasts: Broadcasts,
        session_input: Callable[[Console], SessionInput],
        *,
        switching: bool,
        shown: Callable[[Console], None],
    ) -> None:
        self._consoles = consoles
        self._broadcasts = broadcasts
        self._session_input = session_input
        self._switching = switching
        self.shown = shown

    @property
    def count(self) -> int:
        """How many consoles there are to choose from, now."""
        return len(self._consoles()) if self._switching else 1

    def numbered(self, number: int) -> Console:
        """The console that is the `number`th of those now, from 1 to `count`."""
        return self._consoles()[number - 1]

    def of(self, console: Console) -> View:
        """What a session needs to look at a console, with nothing held there."""
        return View(console, self._broadcasts.of(console), self._session_input(console))
