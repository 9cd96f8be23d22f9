"""The box that tells people why their session has ended."""

import numpy as np
import pytest

from sidecar.broadcast.last_words import encoded_last_words, last_words
from sidecar.encode.encoders import encode
from sidecar.encode.form import Codec, Encoding, Form
from sidecar.encode.pixel_form import CANONICAL
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


@pytest.mark.parametrize("form", [Form.of(Encoding.RAW, CANONICAL), Form(Codec.CLEARCODEC)])
def test_encoded_it_covers_the_box_in_pieces(form: Form) -> None:
    area, pixels = last_words(1024, 768, EndReason.GONE.text)
    together = np.full((768, 1024), -1)
    for segment in encoded_last_words(1024, 768, EndReason.GONE.text, form=form, piece=(64, 48)):
        x, y, width, height = segment.rectangle
        assert width <= 64
        assert height <= 48
        assert (together[y : y + height, x : x + width] == -1).all()
        together[y : y + height, x : x + width] = 0
        part = pixels[y - area.y : y - area.y + height, x - area.x : x - area.x + width]
        assert segment.body == encode(segment.rectangle, np.ascontiguousarray(part), form).body
    assert np.argwhere(together == 0).shape[0] == area.area
    assert (together[area.y : area.bottom, area.x : area.right] == 0).all()


def test_many_who_are_ended_at_once_are_encoded_for_once() -> None:
    form = Form(Codec.CLEARCODEC)
    first, second = (
        encoded_last_words(1024, 768, EndReason.SHUTDOWN.text, form=form, piece=(64, 64)) for _ in range(2)
    )
    assert first is second
