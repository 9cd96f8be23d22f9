"""A guest with one more console for each of its serial lines."""

from collections.abc import Mapping
from typing import Final

from sidecar.guest import Console, Guest, GuestState, PortKind
from sidecar.guest_wrapper import GuestWrapper
from sidecar.input.layout import Layout
from sidecar.observers import Observers
from sidecar.serial.line import SerialLine, SerialLines
from sidecar.terminal.console import TerminalConsole
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

FIRST_NUMBER: Final = 16
"""Of a text console; QEMU's displays have smaller ones."""

_TEXT: Final = {PortKind.SERIAL, PortKind.MONITOR}


class TerminalGuest(GuestWrapper):
    """`guest`, with the consoles of `lines` after its own.

    A line has the same console and number for as long as the daemon lives; one that is closed keeps its text,
    and one that is gone has no console until it is back. `layout`: of the guest's keyboard.
    """

    def __init__(
        self,
        guest: Guest,
        lines: SerialLines,
        layout: Layout,
        *,
        size: TerminalSize | None = None,
        encoding: TextEncoding = TextEncoding.UTF_8,
    ) -> None:
        super().__init__(guest)
        self._lines = lines
        self._layout = layout
        self._size = size
        self._encoding = encoding
        self._lifecycle: Observers[[GuestState]] = Observers()
        self._known: dict[str, TerminalConsole] = {}
        """Every text console that there was, by the name of its line."""
        self._shown: dict[int, TerminalConsole] = {}
        self._unsubscribe = (
            guest.lifecycle.subscribe(self._guest_changed),
            lines.changes.subscribe(self._lines_changed),
        )
        self._shown = self._there()

    def close(self) -> None:
        """Leaves the lines; what the consoles show stays."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for console in self._known.values():
            console.close()

    def _guest_changed(self, state: GuestState) -> None:
        if state is not GuestState.ATTACHED:
            # those who hold keys are told to forget them
            for console in self._known.values():
                console.keyboard.forget()
        self._lifecycle.notify(state)

    def _lines_changed(self) -> None:
        before, self._shown = self._shown, self._there()
        if self._shown != before:
            self._lifecycle.notify(self._guest.state)

    def _there(self) -> dict[int, TerminalConsole]:
        consoles = [self._of(line) for line in self._lines.by_name.values() if line.kind in _TEXT]
        return {console.index: console for console in sorted(consoles, key=lambda console: console.index)}

    def _of(self, line: SerialLine) -> TerminalConsole:
        console = self._known.get(line.name)
        if console is None:
            console = self._known[line.name] = TerminalConsole(
                FIRST_NUMBER + len(self._known), line, self._layout, size=self._size, encoding=self._encoding
            )
        else:
            console.follow(line)
        return console

    @property
    def consoles(self) -> Mapping[int, Console]:
        """The guest's own, then the lines'."""
        return {**self._guest.consoles, **self._shown}

    @property
    def lifecycle(self) -> Observers[[GuestState]]:
        """Called when `state`, `name` or the set of consoles has changed."""
        return self._lifecycle
