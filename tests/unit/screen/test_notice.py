"""A notice on a screen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.screen.font import GLYPH_HEIGHT, GLYPH_WIDTH, glyphs
from sidecar.screen.notice import FRAME, INK, PADDING, PAPER, draw_notice, notice_box
from sidecar.screen.surface import Surface


def test_the_font_has_every_printable_ascii_character_once() -> None:
    cells = glyphs()
    assert cells.shape == (95, GLYPH_HEIGHT, GLYPH_WIDTH)
    assert not cells[0].any()
    assert cells[1:].any(axis=(1, 2)).all()
    assert len({cell.tobytes() for cell in cells}) == 95


def test_the_letter_of_the_font_is_legible() -> None:
    rows = ["".join("#" if ink else "." for ink in row) for row in glyphs()[ord("W") - 0x20][3:15]]
    assert rows == [
        ".##....##.",
        ".##....##.",
        ".##....##.",
        ".##....##.",
        ".##....##.",
        ".##.##.##.",
        ".##.##.##.",
        ".##.##.##.",
        ".##.##.##.",
        ".###..###.",
        ".###..###.",
        ".##....##.",
    ]


def test_the_last_picture_stays_dimmed_behind_the_box() -> None:
    surface = Surface(640, 480)
    surface.write(0, 0, np.full((480, 640), 0x80FF40, np.uint32))
    draw_notice(surface, "Gone.", keep_picture=True)
    assert surface.frame.pixels[0, 0] == 0x203F10
    assert surface.frame.pixels[479, 639] == 0x203F10


def test_the_picture_is_wiped_when_it_is_not_to_be_kept() -> None:
    surface = Surface(640, 480)
    surface.write(0, 0, np.full((480, 640), 0x80FF40, np.uint32))
    draw_notice(surface, "Off.", keep_picture=False)
    assert surface.frame.pixels[0, 0] == 0


def test_the_box_with_its_text_stands_in_the_middle() -> None:
    surface = Surface(640, 480)
    draw_notice(surface, "Waiting", keep_picture=False)
    pixels = surface.frame.pixels
    rows, columns = np.nonzero(pixels == FRAME)
    assert abs((rows.min() + rows.max()) / 2 - 239.5) <= 1
    assert abs((columns.min() + columns.max()) / 2 - 319.5) <= 1
    assert (pixels == INK).sum() == sum(glyphs()[ord(c) - 0x20].sum() for c in "Waiting")
    assert set(np.unique(pixels)) == {0, INK, PAPER, FRAME}


def test_text_grows_with_the_screen() -> None:
    small, large = Surface(800, 600), Surface(1600, 1200)
    for surface in (small, large):
        draw_notice(surface, "Waiting", keep_picture=False)
    assert (large.frame.pixels == INK).sum() == 4 * (small.frame.pixels == INK).sum()


def test_letters_with_marks_and_quotes_are_shown_as_the_nearest_that_the_font_has() -> None:
    for text, plain in (
        ("Größe: \u201eČeština\u201c \u2013 l\u2019été\u2026", 'Grosse: "Cestina" - l\'ete...'),
        ("Œuvre, Øre, Łódź, Æ", "OEuvre, Ore, Lodz, AE"),
        ("終わり", "???"),
    ):
        assert np.array_equal(notice_box(800, 600, text)[1], notice_box(800, 600, plain)[1])


def test_a_long_text_is_smaller_before_any_of_it_is_cut_off() -> None:
    words = "word " * 100
    small = notice_box(800, 400, words)
    assert np.array_equal(notice_box(1600, 400, words)[1], small[1])
    # on a screen with room for it, it grows
    assert notice_box(1600, 800, words)[1].shape == tuple(2 * edge for edge in small[1].shape)


def test_what_is_cut_off_is_said() -> None:
    lines = ["12345678"] * 20
    cut = ["12345678"] * 4 + ["12345..."]
    tall = 2 * PADDING + 5 * GLYPH_HEIGHT
    wide = 2 * PADDING + 8 * GLYPH_WIDTH
    assert np.array_equal(
        notice_box(wide, tall, "\n".join(lines))[1], notice_box(wide, tall, "\n".join(cut))[1]
    )


def test_a_viewer_is_sent_the_notice() -> None:
    surface = Surface(640, 480)
    before = surface.frame.versions.copy()
    draw_notice(surface, "Gone.", keep_picture=True)
    assert (surface.frame.versions > before).any()


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (60, 30), (720, 400), (3840, 2160)])
def test_any_screen_can_carry_a_notice(size: tuple[int, int]) -> None:
    surface = Surface(*size)
    draw_notice(surface, "The virtual machine is not running.", keep_picture=True)
    assert (surface.frame.width, surface.frame.height) == size
    assert surface.frame.pixels.any()


@settings(max_examples=30)
@given(text=st.text(max_size=700), width=st.integers(1, 300), height=st.integers(1, 300))
def test_any_text_can_be_a_notice(text: str, width: int, height: int) -> None:
    draw_notice(Surface(width, height), text, keep_picture=True)
