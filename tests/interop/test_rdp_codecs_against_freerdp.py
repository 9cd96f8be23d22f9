"""What the RDP encoders write is what FreeRDP's own decoders draw, pixel by pixel."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from support import rdp_decoders
from support.freerdp_codecs import FreerdpCodecs, library_names
from support.screens import KINDS, screen, screens

from sidecar.encode.encoders import encode
from sidecar.encode.form import Codec, Form
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.raw_bitmap import padded_width
from sidecar.encode.rdp_colours import RGB555, RGB565, RGB888, XRGB8888
from sidecar.screen.rectangle import Rectangle

INTERLEAVED = (RGB555, RGB565, RGB888)
PLANAR = (RGB888, XRGB8888)


@pytest.fixture(scope="module")
def codecs() -> Iterator[list[FreerdpCodecs]]:
    """Those of every FreeRDP that is installed: one at least."""
    names = library_names()
    assert names, "libfreerdp is missing: ./dev setup installs it"
    opened = [FreerdpCodecs(name) for name in names]
    yield opened
    for each in opened:
        each.close()


class ClearCodecClient:
    """Gives each segment its flags and sequence number, and draws it."""

    def __init__(self) -> None:
        self.codecs = [FreerdpCodecs(name) for name in library_names()]
        self.sequence_number = 0

    def check(self, pixels: np.ndarray) -> None:
        height, width = pixels.shape
        data = bytes((0, self.sequence_number)) + encoded(pixels, Form(Codec.CLEARCODEC))
        self.sequence_number = (self.sequence_number + 1) % 256
        for each in self.codecs:
            np.testing.assert_array_equal(each.clear_codec(data, width, height), pixels)

    def close(self) -> None:
        for each in self.codecs:
            each.close()


@pytest.fixture(scope="module")
def clear_client(codecs: list[FreerdpCodecs]) -> Iterator[ClearCodecClient]:
    """One for all tests: segments of any kind follow each other on a connection."""
    client = ClearCodecClient()
    yield client
    client.close()


def encoded(pixels: np.ndarray, form: Form) -> bytes:
    height, width = pixels.shape
    return encode(Rectangle(0, 0, width, height), pixels, form).body


def check_planar(codecs: list[FreerdpCodecs], pixels: np.ndarray) -> None:
    height, width = pixels.shape
    body = encoded(pixels, Form(Codec.PLANAR))
    for each in codecs:
        np.testing.assert_array_equal(each.planar(body, width, height, bottom_up=False), pixels)


def check_bitmaps(codecs: list[FreerdpCodecs], pixels: np.ndarray) -> None:
    height, width = pixels.shape
    padded = padded_width(width)
    for colours in PLANAR:
        body = encoded(pixels, Form(Codec.BITMAP_PLANAR, colours))
        for each in codecs:
            drawn = each.planar(body, padded, height, bottom_up=True)
            np.testing.assert_array_equal(drawn[:, :width], pixels)
    for colours in INTERLEAVED:
        body = encoded(pixels, Form(Codec.BITMAP_INTERLEAVED, colours))
        for each in codecs:
            drawn = each.interleaved(body, padded, height, colours.depth)
            np.testing.assert_array_equal(drawn[:, :width], values(pixels, colours))


def values(pixels: np.ndarray, colours: PixelForm) -> np.ndarray:
    """Pixels of 15, 16 or 24 bits."""
    return pixels if colours is RGB888 else colours.pixels(pixels).astype(np.uint32)


@settings(max_examples=400, deadline=None)
@given(pixels=screens())
def test_clear_codec_on_one_connection(clear_client: ClearCodecClient, pixels: np.ndarray) -> None:
    # more examples than there are sequence numbers
    clear_client.check(pixels)


@settings(max_examples=150, deadline=None)
@given(pixels=screens())
def test_planar(codecs: list[FreerdpCodecs], pixels: np.ndarray) -> None:
    check_planar(codecs, pixels)


@settings(max_examples=200, deadline=None)
@given(pixels=screens(largest=64))
def test_bitmaps(codecs: list[FreerdpCodecs], pixels: np.ndarray) -> None:
    check_bitmaps(codecs, pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_segments(codecs: list[FreerdpCodecs], clear_client: ClearCodecClient, kind: str) -> None:
    random = np.random.default_rng(1)
    for width, height in ((2048, 128), (512, 512)):
        pixels = screen(random, width, height, [kind, "soft text", kind])
        clear_client.check(pixels)
        check_planar(codecs, pixels)
    check_bitmaps(codecs, screen(random, 64, 64, [kind]))


@pytest.mark.parametrize("length", [254, 255, 256, 65534, 65535, 65536, 65537, 200000])
@pytest.mark.parametrize("colours", [1, 2, 5, 500])
def test_clear_codec_with_long_runs(clear_client: ClearCodecClient, length: int, colours: int) -> None:
    flat = np.zeros(2048 * 128, np.uint32)
    flat[length : length + 3000] = np.arange(1, 3001) % colours * 7
    flat[2 * length + 3000 :] = 0xABCDEF * (colours > 1)
    clear_client.check(flat.reshape(128, 2048))


def test_the_decoders_of_the_unit_tests_draw_what_freerdp_draws(codecs: list[FreerdpCodecs]) -> None:
    # what they are given here no encoder of the server writes: suites of any depth in palettes of any size
    random = np.random.default_rng(2)
    for entries in (1, 2, 3, 7, 16, 17, 64, 65, 127):
        colours = random.integers(0, 1 << 24, entries)
        bits = max((entries - 1).bit_length(), 1)
        segments, pixels = b"", 0
        while pixels < 4000:
            stop = int(random.integers(0, entries))
            depth = int(random.integers(0, min(stop, (1 << 8 - bits) - 1) + 1))
            run = int(random.integers(0, 255))
            segments += bytes((depth << bits | stop, run))
            pixels += run + depth + 1
        palette = b"".join(int(colour).to_bytes(3, "little") for colour in colours)
        part = bytes((entries,)) + palette + segments
        size = pixels.to_bytes(2, "little") + b"\1\0" + len(part).to_bytes(4, "little") + b"\2"
        layers = bytes(8) + (len(part) + 13).to_bytes(4, "little") + bytes(4) + size + part
        # a palette may take more than raw pixels would: neither decoder minds here
        expected = rdp_decoders.ClearCodec().decode_payload(layers, pixels, 1)
        for name in library_names():
            fresh = FreerdpCodecs(name)
            np.testing.assert_array_equal(fresh.clear_codec(b"\0\0" + layers, pixels, 1), expected)
            fresh.close()
