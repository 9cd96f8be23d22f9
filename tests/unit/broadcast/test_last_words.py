"""The box that tells people why their session has ended."""

import numpy as np
import pytest

from sidecar.broadcast.last_words import cut, last_words, pieces
from sidecar.screen.notice import FRAME, draw_notice
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Surface
from sidecar.session.state import EndReason


@pytest.mark.parametrize("reason", EndReason, ids=lambda reason: reason.code)
def test_the_box_is_that_of_a_notice_and_nothing_else(reason: EndReason) -> None:
    area, pixels = last_words(1024, 768, reason.text)
    surface = Surface(1024, 768)
    draw_notice(surface, f"{reason.text[0].upper()}{reason.text[1:]}.", keep_picture=False)
    assert np.array_equal(pixels, surface.frame.snapshot(area))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == FRAME).all()
    surface.write(area.x, area.y, np.zeros_like(pixels))
    assert not surface.frame.pixels.any()


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (320, 200), (3840, 2160)])
def test_it_lies_on_the_screen_however_small_that_is(size: tuple[int, int]) -> None:
    area, pixels = last_words(*size, EndReason.GONE.text)
    assert area.intersect(Rectangle(0, 0, *size)) == area
    assert pixels.shape == (area.height, area.width)


def test_its_pieces_make_the_whole() -> None:
    area, pixels = last_words(1024, 768, EndReason.GONE.text)
    together = np.zeros((768, 1024), np.uint32)
    for piece in pieces(area, 64, 48):
        assert piece.width <= 64
        assert piece.height <= 48
        part = cut(pixels, area, piece)
        assert part.flags.c_contiguous
        together[piece.y : piece.bottom, piece.x : piece.right] = part
    assert np.array_equal(together[area.y : area.bottom, area.x : area.right], pixels)
