"""Output that keeps a text console busy does not keep the main loop from everybody else."""

import pytest

from sidecar.screen.surface import Surface
from sidecar.terminal.emulator import PIECE, Emulator
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

ORDERS_NOTHING = {
    "escapes": b"\x1b" * 65536,
    "a title without end": b"\x1b]0;" + b"t" * 65536,
    "a sequence without end": b"\x1b[" + b"9" * 65536,
    "broken sequences": b"\x1b[\xff" * 20_000,
    "what is left out": bytes(65536),
}


def emulator() -> Emulator:
    size = TerminalSize()
    return Emulator(Surface(size.columns * 8, size.rows * 16), size, TextEncoding.UTF_8)


@pytest.mark.parametrize("output", ORDERS_NOTHING.values(), ids=ORDERS_NOTHING.keys())
def test_output_that_orders_nothing_ends_its_turn_in_time(output: bytes) -> None:
    terminal, data = emulator(), bytearray(output)
    turns = 0
    while data or terminal.is_behind:
        before = len(data)
        # its time is over at the first look at the clock
        terminal.feed(data, 0.0, lambda: 1.0)
        assert before - len(data) <= PIECE
        turns += 1
    assert turns >= len(output) // PIECE
