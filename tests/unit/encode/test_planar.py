import numpy as np
import pytest
from support import rdp_decoders
from support.screens import content

from sidecar.encode import planar
from sidecar.encode.form import Codec, Form
from sidecar.encode.rdp_colours import RGB888, XRGB8888

FORM = Form(Codec.PLANAR)


def grey(rows) -> np.ndarray:
    """Pixels whose red, green and blue are all alike."""
    return np.array(rows, np.uint32) * 0x010101


def encoded(pixels: np.ndarray) -> bytes:
    """What `pixels` become; it is checked."""
    body = planar.encode(pixels, FORM)
    height, width = pixels.shape
    np.testing.assert_array_equal(rdp_decoders.planar(body, width, height), pixels)
    return body


def test_the_first_row_of_the_specification_becomes_its_segments():
    # MS-RDPEGDI 3.1.9.2: AAAABBCCCCCD is RAW [A] RUN 3, RAW [BBC] RUN 4, RAW [D] RUN 0
    body = encoded(grey([list(b"AAAABBCCCCCD")]))
    assert body == b"\x30" + 3 * (b"\x13A" + b"\x34BBC" + b"\x10D")


def test_the_rows_of_the_specification_become_its_segments():
    # MS-RDPEGDI 3.1.9.2: 10..60, then 5 less, then the same; a sixth row makes it shorter than raw
    rows = [[10, 20, 30, 40, 50, 60], *[[5, 15, 25, 35, 45, 55]] * 5]
    body = encoded(grey(rows))
    assert body[:8] == b"\x30" + b"\x60" + bytes(rows[0])
    # -5 is written 9: once, and a run of five; then runs of six zeros
    assert body[8:14] == b"\x15\x09\x06\x06\x06\x06"
    assert len(body) == 1 + 3 * 13


@pytest.mark.parametrize(
    ("length", "segments"),
    [
        (3, "03"),
        (15, "0f"),
        (16, "01"),
        (31, "f1"),
        (32, "02"),
        (47, "f2"),
        (48, "c2 04"),
        (49, "c2 05"),
        (50, "f2 03"),
        (64, "f2 11"),
        (94, "f2 f2"),
        (95, "f2 c2 04"),
    ],
)
def test_runs_of_zeros_are_cut_so_that_none_is_too_short(length, segments):
    body = encoded(np.zeros((2, length), np.uint32))
    assert body == b"\x30" + 6 * bytes.fromhex(segments)


@pytest.mark.parametrize("run", [*range(20), 30, 31, 32, 46, 47, 48, 49, 50, 61, 62, 63, 64, 65, 110])
@pytest.mark.parametrize("raw", [0, 1, 2, 14, 15, 16, 29, 30, 31, 45])
def test_raw_values_and_runs_of_every_length_are_exact(raw, run):
    random = np.random.default_rng(raw)
    start = random.permutation(np.arange(1, 256))[:raw]
    row = np.concatenate((start, np.full(run, start[-1] if raw else 0), [7, 8]))
    below = np.concatenate((np.full(run, 9), start, [7, 8]))
    # many rows alike, so that coded planes are shorter than raw ones
    encoded(grey([row, below, *[below] * 8]))
    encoded(grey([row, below, *[below] * 8]) & np.uint32(0xFF00FF))


def test_every_difference_between_rows_is_exact():
    pairs = np.array(np.meshgrid(np.arange(256), np.arange(256))).reshape(2, -1)
    pixels = grey(np.concatenate((pairs, np.repeat(pairs[1:], 6, axis=0))))
    assert encoded(pixels)[0] == 0x30


def test_flat_pictures_take_few_bytes():
    assert len(encoded(np.full((64, 64), 0x102030, np.uint32))) < 400
    assert len(encoded(np.full((128, 2048), 0x102030, np.uint32))) < 18000


def test_shades_from_top_to_bottom_take_few_bytes():
    assert len(encoded(content(np.random.default_rng(1), "rows", 64, 64))) < 800


def test_noise_stays_raw_and_is_padded():
    pixels = content(np.random.default_rng(2), "noise", 20, 10)
    body = encoded(pixels)
    assert len(body) == 1 + 3 * 200 + 1
    assert body[0] == 0x20
    assert body[-1] == 0


def test_bitmaps_of_depth_32_have_an_alpha_plane_and_are_never_raw():
    # rdesktop takes these only: it looks for a header of 0x10
    noise = content(np.random.default_rng(3), "noise", 64, 64)
    for pixels in (noise, np.full((64, 64), 0xFF8040, np.uint32)):
        body = planar.encode_bitmap(pixels, Form(Codec.BITMAP_PLANAR, XRGB8888))
        assert body[0] == 0x10
        assert len(body) < 13400
        np.testing.assert_array_equal(rdp_decoders.planar(body, 64, 64, bottom_up=True), pixels)
    assert planar.encode_bitmap(noise, Form(Codec.BITMAP_PLANAR, RGB888))[0] == 0x20
