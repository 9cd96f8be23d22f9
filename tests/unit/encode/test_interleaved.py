import numpy as np
import pytest
from support import rdp_decoders
from support.screens import content, screen

from sidecar.encode import interleaved
from sidecar.encode.form import Codec, Form
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.rdp_colours import RGB555, RGB565, RGB888, XRGB8888

FORM = Form(Codec.BITMAP_INTERLEAVED, RGB888)
GROUND_RUN, COLOUR_RUN, COLOUR_IMAGE = 0x00, 0x60, 0x80
MEGA_COLOUR_IMAGE, MEGA_SET_FOREGROUND_IMAGE = 0xF4, 0xF7


def encoded(pixels: np.ndarray) -> bytes:
    """What `pixels`, a multiple of four wide, become in 24 bits; it is checked."""
    body = interleaved.encode(pixels, FORM)
    height, width = pixels.shape
    np.testing.assert_array_equal(rdp_decoders.interleaved(body, width, height, 24), pixels)
    return body


def test_black_is_two_background_runs_so_that_none_leaves_the_first_row():
    assert encoded(np.zeros((2, 8), np.uint32)) == bytes((GROUND_RUN | 8, GROUND_RUN | 8))


def test_one_colour_is_a_run_of_it_and_background():
    body = encoded(np.full((3, 8), 0x102030, np.uint32))
    assert body == bytes((COLOUR_RUN | 8, 0x30, 0x20, 0x10, GROUND_RUN | 16))


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (28, bytes((28,))),
        (32, bytes((0, 0))),
        (284, bytes((0, 252))),
        (288, b"\xf0\x20\x01"),
    ],
)
def test_runs_say_their_length_in_as_few_bytes_as_they_can(length, head):
    assert encoded(np.zeros((1, length), np.uint32)) == head


def test_rows_of_two_colours_are_a_mask_that_sets_its_foreground():
    random = np.random.default_rng(1)
    pixels = np.where(random.random((9, 16)) < 0.5, 0x0000FF, 0xFF0000).astype(np.uint32)
    pixels[-1] = 0xFF0000
    body = encoded(pixels)
    assert body[:4] == bytes((COLOUR_RUN | 16, 0x00, 0x00, 0xFF))
    # 128 pixels; the colours differ in red and blue
    assert body[4:10] == bytes((MEGA_SET_FOREGROUND_IMAGE, 128, 0)) + b"\xff\x00\xff"
    assert len(body) == 10 + 16


def test_a_mask_is_cut_where_it_is_all_background_or_all_foreground():
    random = np.random.default_rng(2)
    changes = np.zeros((64, 64), np.bool_)
    changes[10:14] = random.random((4, 64)) < 0.5
    changes[30] = True
    changes[50:52] = random.random((2, 64)) < 0.5
    changes[63, 60:] = True
    # each pixel is what stands below it, changed or not
    pixels = np.ascontiguousarray((np.cumsum(changes, axis=0) % 2 * 0xFFFFFF)[::-1]).astype(np.uint32)
    assert len(encoded(pixels)) < 90


@pytest.mark.parametrize("width", [4, 12, 20, 60])
def test_masks_that_end_within_a_byte_are_exact(width):
    random = np.random.default_rng(width)
    for height in (2, 3, 4, 6):
        for share in (0.02, 0.5, 0.98):
            pixels = np.where(random.random((height, width)) < share, 0x123456, 0).astype(np.uint32)
            encoded(pixels)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 30, 31, 32, 33, 286, 287, 288, 289, 600])
def test_runs_and_images_of_every_length_are_exact(length):
    random = np.random.default_rng(length)
    parts = [
        np.full(length, 0x111111),
        random.integers(0, 1 << 24, length),
        np.zeros(length, np.int64),
        np.full(length, 0x222222),
        np.full(length, 0x333333),
    ]
    for order in ((0, 1, 2, 3, 4), (1, 0, 3, 2, 4), (2, 1, 3, 4, 0)):
        flat = np.concatenate([parts[number] for number in order])
        for width in (64, 252):
            rest = -flat.size % width
            pixels = np.concatenate((flat, np.full(rest, 5))).astype(np.uint32).reshape(-1, width)
            encoded(pixels)
            encoded(np.ascontiguousarray(pixels[::-1]))


def test_no_background_run_follows_another_below_the_first_row():
    # the row above ends as this one begins, so runs of background meet at the rows' ends
    pixels = screen(np.random.default_rng(3), 64, 64, ["columns", "text", "solid"])
    encoded(pixels)


def test_text_of_two_colours_takes_a_bit_for_each_pixel_and_noise_no_more_than_pixels():
    random = np.random.default_rng(4)
    assert len(encoded(content(random, "text", 64, 64).astype(np.uint32))) < 64 * 64 / 8 + 220
    body = encoded(content(random, "noise", 64, 64))
    assert body[0] == MEGA_COLOUR_IMAGE
    assert len(body) == 3 + 3 * 64 * 64


@pytest.mark.parametrize("colours", [RGB555, RGB565], ids=lambda colours: str(colours.depth))
def test_two_bytes_make_a_pixel_of_15_or_16_bits(colours):
    body = interleaved.encode(np.full((2, 8), 0xFFFFFF, np.uint32), Form(Codec.BITMAP_INTERLEAVED, colours))
    white = (1 << colours.depth) - 1
    assert body == bytes((COLOUR_RUN | 8,)) + white.to_bytes(2, "little") + bytes((GROUND_RUN | 8,))


@pytest.mark.parametrize("colours", [XRGB8888, PixelForm.indexed()], ids=["32", "8"])
def test_other_depths_are_refused(colours):
    with pytest.raises(ValueError, match="no interleaved RLE of"):
        interleaved.encode(np.zeros((4, 4), np.uint32), Form(Codec.BITMAP_INTERLEAVED, colours))


def test_more_pixels_than_an_order_can_draw_are_refused():
    with pytest.raises(ValueError, match="too many"):
        interleaved.encode(np.zeros((256, 256), np.uint32), FORM)
