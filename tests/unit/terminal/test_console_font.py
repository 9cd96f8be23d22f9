"""The font of text consoles, and the reader of its file."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import sidecar.terminal
from sidecar.terminal.glyphs import GLYPH_HEIGHT, GLYPH_WIDTH, glyphs
from sidecar.terminal.psf import BrokenFont, read_font

DIRECTORY = Path(sidecar.terminal.__file__).parent


def font_file(name: str = "Uni2-Terminus16.psf.gz") -> bytes:
    return gzip.decompress((DIRECTORY / name).read_bytes())


def test_a_glyph_is_where_the_table_says() -> None:
    font = read_font(font_file())
    assert font.glyphs.shape == (512, 16, 8)
    rows = ["".join("#" if dot else "." for dot in row) for row in font.glyphs[font.places["T"]]]
    assert rows[:4] == ["........"] * 2 + ["#######.", "...#...."]
    assert rows[-4:] == ["........"] * 4
    assert not font.glyphs[font.places[" "]].any()
    assert font.glyphs[font.places["█"]].all()


def test_the_licence_is_beside_the_fonts() -> None:
    licence = (DIRECTORY / "LICENSE.terminus").read_text()
    for path in DIRECTORY.glob("*.psf.gz"):
        assert path.name in licence
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence


@pytest.mark.parametrize("bold", [False, True])
def test_every_character_has_a_picture_of_its_own_or_one_that_is_near(bold: bool) -> None:
    font = glyphs()
    assert font.atlas.shape[1:] == (GLYPH_HEIGHT, GLYPH_WIDTH)
    ascii_places = {font.place(chr(code), bold=bold) for code in range(0x20, 0x7F)}
    assert len(ascii_places) == 0x7F - 0x20
    for character in "äß€ñçéŁ│─┌┐└┘├┤┬┴┼░▒▓█▀▄▌▐←↑→↓λπЖ":
        assert font.place(character, bold=bold) not in ascii_places
    unknown = font.place("\N{REPLACEMENT CHARACTER}", bold=bold)
    assert font.place("漢", bold=bold) == unknown
    assert font.place("\N{FULLWIDTH LATIN CAPITAL LETTER A}", bold=bold) == font.place("A", bold=bold)
    assert font.place("", bold=bold) == font.place(" ", bold=bold)


def test_halves_are_drawn_that_the_font_lacks() -> None:
    upper, lower, left, right = (glyphs().atlas[glyphs().place(half, bold=False)] for half in "▀▄▌▐")
    assert np.array_equal(upper, ~lower)
    assert np.array_equal(left, ~right)
    assert upper[:8].all()
    assert left[:, :4].all()


@pytest.mark.parametrize("length", [0, 1, 3, 4, 4 + 512 * 16 - 1])
def test_a_font_that_ends_too_early_is_refused(length: int) -> None:
    with pytest.raises(BrokenFont):
        read_font(font_file()[:length])


@pytest.mark.parametrize("data", [b"\x72\xb5\x4a\x86" + bytes(100), b"\x36\x04\x00\x00" + bytes(100)])
def test_what_is_no_such_font_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenFont):
        read_font(data)


def test_a_table_may_hold_sequences_end_early_or_go_on_too_long() -> None:
    small = b"\x36\x04\x02\x01" + bytes(256)
    assert read_font(small).places == {}
    table = b"A\0\xfe\xffB\0\x01\x03\xff\xff" + b"C\0A\0\xff\xff" + b"\xff\xff" * 300 + b"D\0"
    assert read_font(small + table).places == {"A": 0, "C": 1}
