"""Serial lines of a synthetic guest, and text consoles on them."""

import contextlib
from collections.abc import Iterator

from support.synthetic_guest import SyntheticGuest, SyntheticPort

from sidecar.input.layout import Layout
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.terminal.guest import TerminalGuest
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding


@contextlib.contextmanager
def terminal_guest(
    *ports: SyntheticPort,
    layout: str = "us",
    write: WritePolicy = WritePolicy.EVERYBODY,
    monitors: bool = False,
    size: TerminalSize | None = None,
    encoding: TextEncoding = TextEncoding.UTF_8,
) -> Iterator[tuple[SyntheticGuest, TerminalGuest]]:
    """A guest with these ports, and the same with its text consoles."""
    guest = SyntheticGuest()
    for port in ports:
        guest.add_port(port)
    with contextlib.closing(SerialLines(guest, write=write, monitors=monitors)) as lines:
        wrapped = TerminalGuest(guest, lines, Layout(layout), size=size, encoding=encoding)
        with contextlib.closing(wrapped):
            yield guest, wrapped
    assert len(guest.lifecycle) == 0
    assert not any(len(port.output) for port in ports)
