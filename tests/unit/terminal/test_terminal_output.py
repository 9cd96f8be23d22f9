"""What a guest writes is shown as a terminal shows it, and nothing that it writes does any harm."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.screen.surface import Surface
from sidecar.terminal.emulator import Emulator
from sidecar.terminal.glyphs import GLYPH_HEIGHT, GLYPH_WIDTH, glyphs
from sidecar.terminal.parser import LONGEST_SEQUENCE, Control, Escape, Parser, Sequence, Text
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

INK, PAPER = 0xAAAAAA, 0
SIZE = TerminalSize(40, 10)


class Terminal:
    """An emulator that is told everything at once."""

    def __init__(self, encoding: TextEncoding = TextEncoding.UTF_8) -> None:
        self.surface = Surface(SIZE.columns * GLYPH_WIDTH, SIZE.rows * GLYPH_HEIGHT)
        self._emulator = Emulator(self.surface, SIZE, encoding)

    def say(self, *pieces: bytes) -> "Terminal":
        for piece in pieces:
            self._emulator.feed(bytearray(piece), 1.0, lambda: 0.0)
        self._emulator.draw()
        return self

    def draw(self) -> bool:
        return self._emulator.draw()

    def skip(self) -> None:
        self._emulator.skip()

    @property
    def application_cursor(self) -> bool:
        return self._emulator.application_cursor

    @property
    def text(self) -> str:
        return "\n".join(self._emulator.text()).rstrip()

    def cell(self, row: int, column: int) -> np.ndarray:
        """The pixels of one character."""
        y, x = row * GLYPH_HEIGHT, column * GLYPH_WIDTH
        return self.surface.frame.pixels[y : y + GLYPH_HEIGHT, x : x + GLYPH_WIDTH]

    def colours(self, row: int, column: int) -> tuple[int, int]:
        """Ink and paper of a character that has both."""
        shape = glyphs().atlas[glyphs().place("A", bold=False)]
        cell = self.cell(row, column)
        (ink,), (paper,) = set(cell[shape].tolist()), set(cell[~shape].tolist())
        return ink, paper


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (b"one\r\ntwo", "one\ntwo"),
        (b"one\ntwo", "one\n   two"),
        (b"abc\b\bX", "aXc"),
        (b"a\tb\x1b[Zc", "a       c"),
        (b"\x1b[3;5Hx\x1b[Hy", "y\n\n    x"),
        (b"abc\x1b[2Jx", "   x"),
        (b"abcdef\x1b[3D\x1b[K", "abc"),
        (b"abcdef\x1b[3D\x1b[1K", "    ef"),
        (b"abcdef\r\x1b[2@\x1b[1X", "  abcdef"),
        (b"abcdef\r\x1b[2P", "cdef"),
        (b"a\r\nb\r\nc\x1b[2H\x1b[L", "a\n\nb\nc"),
        (b"a\r\nb\r\nc\x1b[2H\x1b[M", "a\nc"),
        (b"a\r\nb\x1b[S", "b"),
        (b"a\r\nb\x1b[Tc", "\nac\nb"),
        (b"a\x1b[5b", "aaaaaa"),
        (b"a\x1b7b\x1b8c\x1b8d", "ad"),
        (b"a\x1bEb\x1bDc\x1bMd", "a\nb d\n c"),
        (b"x" * 41, "x" * 40 + "\nx"),
        (b"\x1b[?7l" + b"x" * 41 + b"y", "x" * 39 + "y"),
        (b"\x1b[4hab\rc\x1b[4l\rd", "dab"),
        (b"main\x1b[?1049h\x1b[Hother", "other"),
        (b"main\x1b[?1049h\x1b[Hother\x1b[?1049l!", "main!"),
        (b"a\x1b[?6h\x1b[3db", "a\n\nb"),
        (b"\x1b[2;9r\x1b[?6h\x1b[2db", "\n\nb"),
        (b"\x1b(0lqk\x1b(Bq", "┌─┐q"),
        (b"\x1b)0\x0elqk\x0fq", "┌─┐q"),
        (b"\x1b(0\x1b(Ax", "x"),
        ("äöü€ 漢字!".encode(), "äöü€ 漢字!"),
        ("e\u0301a\u0300\u0300\u200b!".encode(), "éà!"),
        (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
        (b"\x1b]0;title\x07a\x1b]2;other\x1b\\b", "ab"),
        (b"\x1bP1$r\x1b\\a\x1b_x\x1b\\b\x1b^y\x1b\\c", "abc"),
        (b"abc\x1bcd", "d"),
    ],
)
def test_output_is_shown_as_a_terminal_shows_it(output: bytes, text: str) -> None:
    assert Terminal().say(output).text == text
    assert Terminal().say(*(bytes([byte]) for byte in output)).text == text


def test_ten_lines_are_kept_and_the_margins_scroll() -> None:
    lines = b"\r\n".join(b"%d" % number for number in range(12))
    assert Terminal().say(lines).text == "\n".join(str(number) for number in range(2, 12))
    terminal = Terminal().say(b"\x1b[2;4r\x1b[Htop\x1b[2H" + lines + b"\x1b[10Hend")
    assert terminal.text.split("\n") == ["top", "9", "10", "11", *[""] * 5, "end"]


def test_code_page_437_can_be_chosen() -> None:
    assert Terminal(TextEncoding.CP437).say(b"\xda\xc4\xbf\x81\x9b").text == "┌─┐ü¢"


@pytest.mark.parametrize(
    ("rendition", "ink", "paper"),
    [
        (b"", INK, PAPER),
        (b"31", 0xAA0000, PAPER),
        (b"33;44", 0xAA5500, 0x0000AA),
        (b"91;105", 0xFF5555, 0xFF55FF),
        (b"7", PAPER, INK),
        (b"7;27", INK, PAPER),
        (b"38;5;16;48;5;231", 0x000000, 0xFFFFFF),
        (b"38;2;1;2;3", 0x010203, PAPER),
        (b"48:2:1:2:3;38:2::4:5:6", 0x040506, 0x010203),
        (b"38:5:21", 0x0000FF, PAPER),
        (b"38;2;999;9999;300", 0xFFFFFF, PAPER),
        (b"38;5;9999", 0xEEEEEE, PAPER),
        (b"31;38;5", 0xAA0000, PAPER),
        (b"31;38;7;32", 0xAA0000, PAPER),
        (b"31;0", INK, PAPER),
        (b"31;", INK, PAPER),
        (b"?31", INK, PAPER),
        (b"31;12345678901234567890", 0xAA0000, PAPER),
    ],
)
def test_colours(rendition: bytes, ink: int, paper: int) -> None:
    assert Terminal().say(b"\x1b[" + rendition + b"mA").colours(0, 0) == (ink, paper)


def test_bold_underlined_and_struck_out() -> None:
    terminal = Terminal().say(b"A\x1b[1mA\x1b[0;4mA\x1b[0;9mA\x1b[0;4:3mA\x1b[0;4:0mA")
    plain, bold, underlined, struck, curled, not_underlined = (
        terminal.cell(0, column) != PAPER for column in range(6)
    )
    atlas = glyphs().atlas
    assert np.array_equal(plain, atlas[glyphs().place("A", bold=False)])
    assert np.array_equal(bold, atlas[glyphs().place("A", bold=True)])
    assert underlined[14].all()
    assert struck[8].all()
    assert np.array_equal(curled, underlined)
    assert np.array_equal(not_underlined, plain)


def test_what_is_erased_has_the_papers_colour_and_nothing_else_of_its_looks() -> None:
    terminal = Terminal().say(b"\x1b[44;4;7;1mA\x1b[2J\x1b[H\x1b[44mA")
    assert (terminal.cell(5, 5) == 0x0000AA).all()
    assert (terminal.cell(0, 20) == 0x0000AA).all()


def test_the_cursor_is_a_block_and_can_be_hidden() -> None:
    terminal = Terminal().say(b"A\x1b[H")
    assert terminal.colours(0, 0) == (PAPER, INK)
    assert terminal.say(b"\x1b[?25l").colours(0, 0) == (INK, PAPER)
    assert terminal.say(b"\x1b[?25h\x1b[2H").colours(0, 0) == (INK, PAPER)
    assert (terminal.cell(1, 0) == INK).all()
    # at the end of a line it stays on the last character
    assert (terminal.say(b"\x1b[H" + b" " * 40).cell(0, 39) == INK).all()


def test_the_whole_screen_can_be_reversed() -> None:
    terminal = Terminal().say(b"A\x1b[?5h")
    assert terminal.colours(0, 0) == (PAPER, INK)
    assert (terminal.cell(9, 39) == INK).all()
    assert terminal.say(b"\x1b[?5l").colours(0, 0) == (INK, PAPER)


def test_arrow_keys_have_another_form_while_the_guest_wants_it() -> None:
    terminal = Terminal()
    assert terminal.say(b"\x1b[?1h").application_cursor
    assert not terminal.say(b"\x1b[?1l").application_cursor
    assert not terminal.say(b"\x1b[?1h\x1bc").application_cursor


def test_only_what_has_changed_is_drawn() -> None:
    terminal = Terminal().say(b"one\r\ntwo\r\n\x1b[?25l")
    assert not terminal.draw()
    versions = terminal.surface.frame.versions.copy()
    terminal.say(b"\x1b[10;40Hx")
    assert (terminal.surface.frame.versions != versions).sum() == 1


def test_after_a_skip_nothing_of_what_came_before_is_gone_on_with() -> None:
    for unfinished in (b"\x1b[3", b"\x1b]0;title", b"\xe6\xbc", b"\x1bP"):
        terminal = Terminal().say(b"ok ", unfinished)
        terminal.skip()
        assert terminal.say(b"1m").text == "ok 1m"


def test_a_sequence_in_pieces_is_one_and_a_broken_one_is_left_out() -> None:
    parser = Parser()
    orders = [order for piece in ("a\x1b", "[1;", ":2", "$p\x1b", "(0\n") for order in parser.orders(piece)]
    assert orders == [Text("a"), Sequence("", ((1,), (None, 2)), "$p"), Escape("(0"), Control("\n")]


def test_what_is_broken_is_left_out() -> None:
    assert list(Parser().orders("\x1b[3\nc")) == [Control("\n"), Text("c")]
    assert list(Parser().orders("\x1b\x1b[2Jc")) == [Sequence("", ((2,),), "J"), Text("c")]
    assert list(Parser().orders("\x85\x00\x7fc")) == [Text("c")]
    assert list(Parser().orders("\x1b[" + "1" * LONGEST_SEQUENCE + "mc")) == [Text("c")]


@pytest.mark.parametrize("beginning", [b"\x1b[", b"\x1b]0;", b"\x1bP", b"\x1b[1;"])
def test_a_sequence_without_end_takes_no_memory(beginning: bytes) -> None:
    terminal = Terminal().say(beginning)
    tracemalloc.start()
    try:
        for _ in range(100):
            terminal.say(b"1;" * 2000)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    assert terminal.say(b"\x1b\\\x18\x1bcgood").text == "good"


@pytest.mark.parametrize(
    "flood",
    [
        b"\x1b7",
        b"\x1b[s",
        "e\u0301\u0301\u0301".encode(),
        "\u0301".encode(),
        b"\x1b[?1049h",
        b"\x1bH\x1b[C",
        b"\x1b[?3h\x1b[?1234h\x1b[9999h",
        b"\x1b]2;title\x07",
        b"\x1b[38;2;1;2;%dm#",
    ],
)
def test_a_flood_of_orders_takes_no_memory(flood: bytes) -> None:
    terminal = Terminal().say(flood * 500)
    tracemalloc.start()
    try:
        for _ in range(10):
            terminal.say(flood * 500)
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
    frame = terminal.surface.frame
    assert (frame.width, frame.height) == (SIZE.columns * GLYPH_WIDTH, SIZE.rows * GLYPH_HEIGHT)


NUMBERS = st.lists(
    st.sampled_from(["", *"0124567", "20", "25", "38", "48", "1049", "9999", "99999999", "1:2", ":"]),
    max_size=5,
)
ORDERS = st.one_of(
    st.builds(
        lambda prefix, numbers, final: f"\x1b[{prefix}{';'.join(numbers)}{final}".encode(),
        st.sampled_from(["", "", "", "?", ">", "="]),
        NUMBERS,
        st.sampled_from([chr(code) for code in range(0x40, 0x7F)] + ["!p", "$p", " q"]),
    ),
    st.sampled_from([f"\x1b{chr(code)}".encode() for code in range(0x20, 0x7F)]),
    st.sampled_from([bytes([code]) for code in range(0x20)] + [b"\x7f", b"\xc2\x9b", b"\xc2\x90"]),
    st.sampled_from(["x" * 39, "漢", "漢" * 20, "e\u0301", "\u0301", "\u200d", "\U0001f600"]).map(str.encode),
    st.binary(max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ORDERS, max_size=60), st.integers(1, 50))
def test_whatever_the_guest_writes_a_screen_of_the_same_size_is_shown(orders: list[bytes], cut: int) -> None:
    data = b"".join(orders)
    terminal = Terminal().say(*(data[start : start + cut] for start in range(0, len(data), cut)))
    rows = terminal.text.split("\n")
    assert len(rows) <= SIZE.rows
    assert all(len(row) <= SIZE.columns for row in rows)
    # and it is still of use
    assert terminal.say(b"\x18\x1b\\\x1bc\x1bcgood").text == "good"
