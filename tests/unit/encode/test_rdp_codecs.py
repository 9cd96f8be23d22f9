from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import pictures
from support import rdp_decoders
from support.screens import KINDS, screen, screens

from sidecar.encode.encoders import EXACT_ENCODERS, encode
from sidecar.encode.form import Codec, Form
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.raw_bitmap import padded_width
from sidecar.encode.rdp_colours import COLOURS, RGB555, RGB565, RGB888, XRGB8888
from sidecar.screen.rectangle import Rectangle

GRAPHICS_PIPELINE = (Codec.CLEARCODEC, Codec.PLANAR, Codec.UNCOMPRESSED)
BITMAPS = (
    *((Codec.BITMAP_INTERLEAVED, colours) for colours in (RGB555, RGB565, RGB888)),
    *((Codec.BITMAP_RAW, colours) for colours in (RGB555, RGB565, RGB888, XRGB8888)),
    (Codec.BITMAP_PLANAR, RGB888),
    (Codec.BITMAP_PLANAR, XRGB8888),
)
MAX_BITMAP = 16000
"""Bytes that fit a fast-path fragment of any client, with room for its headers."""


def encoded(pixels: np.ndarray, form: Form) -> bytes:
    height, width = pixels.shape
    segment = encode(Rectangle(64, 128, width, height), pixels, form)
    assert not segment.lossy
    assert segment.encoding is form.encoding
    return segment.body


def of_graphics_pipeline(body: bytes, codec: Codec, width: int, height: int) -> np.ndarray:
    if codec is Codec.CLEARCODEC:
        return rdp_decoders.ClearCodec().decode_payload(body, width, height)
    if codec is Codec.PLANAR:
        return rdp_decoders.planar(body, width, height)
    assert len(body) == 4 * width * height
    return np.frombuffer(body, "<u4").reshape(height, width)


def of_bitmap(body: bytes, codec: Codec, bits: int, width: int, height: int) -> np.ndarray:
    """What is shown of a bitmap as wide as `padded_width` says."""
    padded = padded_width(width)
    if codec is Codec.BITMAP_PLANAR:
        return rdp_decoders.planar(body, padded, height, bottom_up=True)[:, :width]
    decoder = rdp_decoders.interleaved if codec is Codec.BITMAP_INTERLEAVED else rdp_decoders.raw_bitmap
    return decoder(body, padded, height, bits)[:, :width]


def values(pixels: np.ndarray, bits: int) -> np.ndarray:
    """What pixels of so many bits are: of each channel the upper ones."""
    red, green, blue = pixels >> 16 & 255, pixels >> 8 & 255, pixels & 255
    if bits == 15:
        return red >> 3 << 10 | green >> 3 << 5 | blue >> 3
    if bits == 16:
        return red >> 3 << 11 | green >> 2 << 5 | blue >> 3
    return pixels


def check_bitmap(pixels: np.ndarray, codec: Codec, colours: PixelForm) -> None:
    height, width = pixels.shape
    body = encoded(pixels, Form(codec, colours))
    bits = colours.depth
    if codec is Codec.BITMAP_PLANAR:
        # whether there is an alpha plane is the client's wish
        assert bool(body[0] & 0x20) == (bits == 24)
        bits = 32
    np.testing.assert_array_equal(of_bitmap(body, codec, bits, width, height), values(pixels, bits))
    if codec is not Codec.BITMAP_RAW:
        assert len(body) < MAX_BITMAP


@pytest.mark.parametrize("codec", GRAPHICS_PIPELINE, ids=lambda codec: codec.value)
@settings(max_examples=150, deadline=None)
@given(pixels=st.one_of(pictures(), screens()))
def test_a_client_decodes_exactly_what_the_graphics_pipeline_sent(codec, pixels):
    height, width = pixels.shape
    body = encoded(pixels, Form(codec))
    np.testing.assert_array_equal(of_graphics_pipeline(body, codec, width, height), pixels)


@pytest.mark.parametrize(
    ("codec", "colours"), BITMAPS, ids=[f"{codec.value}-{colours.depth}" for codec, colours in BITMAPS]
)
@settings(max_examples=100, deadline=None)
@given(pixels=screens(largest=64))
def test_a_client_decodes_exactly_what_bitmaps_show(codec, colours, pixels):
    check_bitmap(pixels, codec, colours)


@pytest.mark.parametrize(
    ("codec", "colours"), BITMAPS, ids=[f"{codec.value}-{colours.depth}" for codec, colours in BITMAPS]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_tile_of_every_kind_fits_a_bitmap(kind, codec, colours):
    pixels = screen(np.random.default_rng(1), 64, 64, [kind])
    check_bitmap(pixels, codec, colours)


@pytest.mark.parametrize(
    ("codec", "colours"), BITMAPS, ids=[f"{codec.value}-{colours.depth}" for codec, colours in BITMAPS]
)
@pytest.mark.parametrize("ground", [0, 0xFFFFFF, 0x123456])
def test_bitmaps_of_every_small_size_are_exact(ground, codec, colours):
    random = np.random.default_rng(2)
    for height in (1, 2, 3, 5):
        for width in range(1, 14):
            pixels = np.where(random.random((height, width)) < 0.3, 0xABCDEF, ground).astype(np.uint32)
            check_bitmap(pixels, codec, colours)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", GRAPHICS_PIPELINE, ids=lambda codec: codec.value)
def test_the_largest_segments_of_the_graphics_pipeline_are_exact_and_no_larger_than_pixels(codec, kind):
    random = np.random.default_rng(3)
    for width, height in ((2048, 128), (512, 512)):
        pixels = screen(random, width, height, [kind, "soft text", kind])
        body = encoded(pixels, Form(codec))
        if codec is not Codec.UNCOMPRESSED:
            assert len(body) <= 3 * pixels.size + 25
        np.testing.assert_array_equal(of_graphics_pipeline(body, codec, width, height), pixels)


def test_threads_that_encode_at_once_do_not_disturb_each_other():
    random = np.random.default_rng(4)
    many = [screen(random, 320, 192, [first, second]) for first in KINDS for second in ("soft text", "rows")]
    jobs = [(pixels, codec) for pixels in many for codec in (Codec.CLEARCODEC, Codec.PLANAR)]
    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(lambda job: encoded(job[0], Form(job[1])), jobs))
    for (pixels, codec), body in zip(jobs, bodies, strict=True):
        np.testing.assert_array_equal(of_graphics_pipeline(body, codec, 320, 192), pixels)


def test_every_codec_but_video_has_an_encoder():
    assert {codec for codec in Codec if not codec.is_video} == set(EXACT_ENCODERS) & set(Codec)


def test_bits_per_pixel_name_the_colours_of_bitmaps():
    assert {bits: colours.cpixel_size for bits, colours in COLOURS.items()} == {15: 2, 16: 2, 24: 3, 32: 4}
    assert all(colours.depth == bits for bits, colours in COLOURS.items())


@pytest.mark.parametrize(("width", "padded"), [(1, 4), (3, 4), (4, 4), (5, 8), (22, 24), (64, 64)])
def test_bitmaps_are_a_multiple_of_four_pixels_wide(width, padded):
    assert padded_width(width) == padded
    pixels = np.arange(2 * width, dtype=np.uint32).reshape(2, width)
    body = encoded(pixels, Form(Codec.BITMAP_RAW, RGB888))
    rows = np.frombuffer(body, np.uint8).reshape(2, padded, 3)
    # the lower row first
    assert rows[:, :width, 0].tolist() == pixels[::-1].tolist()
