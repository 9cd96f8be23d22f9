import struct

import numpy as np
import pytest
from support import rdp_decoders
from support.screens import content, screen

from sidecar.encode import clear_codec, rlex
from sidecar.encode.form import Codec, Form

FORM = Form(Codec.CLEARCODEC)
RAW, RLEX = 0, 2


def encoded(pixels: np.ndarray) -> bytes:
    """What `pixels` become; it is checked."""
    body = clear_codec.encode(pixels, FORM)
    height, width = pixels.shape
    np.testing.assert_array_equal(rdp_decoders.ClearCodec().decode_payload(body, width, height), pixels)
    return body


def layers(body: bytes) -> tuple[int, list[tuple[tuple[int, int, int, int], int, bytes]]]:
    """Bytes of the residual layer; of each part over it where it is, its subcodec and its data."""
    residual, bands, subcodecs = struct.unpack("<III", body[:12])
    assert not bands
    assert len(body) == 12 + residual + subcodecs
    parts = []
    place = 12 + residual
    while place < len(body):
        *area, size, subcodec = struct.unpack("<HHHHIB", body[place : place + 13])
        parts.append((tuple(area), subcodec, body[place + 13 : place + 13 + size]))
        place += 13 + size
    return residual, parts


def in_runs(lengths: list[int], colours: list[int], width: int) -> np.ndarray:
    """Runs of these lengths, the colours in turn, and the rest of the last row in a last colour."""
    flat = np.repeat([colours[number % len(colours)] for number in range(len(lengths))], lengths)
    rest = -flat.size % width
    return np.concatenate((flat, np.full(rest, 0x777777))).astype(np.uint32).reshape(-1, width)


def test_one_colour_is_one_run_whatever_its_length():
    assert (
        encoded(np.full((1, 254), 0x102030, np.uint32)) == struct.pack("<III", 4, 0, 0) + b"\x30\x20\x10\xfe"
    )
    for width, height, length in (
        (255, 1, b"\xff\xff\x00"),
        (2, 128, b"\xff\x00\x01"),
        (65534, 1, b"\xff\xfe\xff"),
        (65535, 1, b"\xff\xff\xff\xff\xff\x00\x00"),
        (2048, 128, b"\xff\xff\xff\x00\x00\x04\x00"),
    ):
        body = encoded(np.full((height, width), 0x102030, np.uint32))
        assert body[12:] == b"\x30\x20\x10" + length


@pytest.mark.parametrize("colours", [[0, 0xFFFFFF], [1, 2, 3], list(range(40))], ids=len)
@pytest.mark.parametrize("length", [1, 2, 254, 255, 256, 257, 65534, 65535, 65536, 65537])
def test_runs_of_every_length_are_exact(length, colours):
    for lengths in ([length, 1, length, 3], [1, length, 1, 1, 1, length, 2, length]):
        encoded(in_runs(lengths, colours, 64))


@pytest.mark.parametrize("length", [254, 255, 65535, 65537])
def test_long_runs_of_many_colours_are_exact_in_the_residual_layer(length):
    pixels = in_runs([length, 1, 2, length, 7] * 2, [0x10000 * n for n in range(1, 200)], 256)
    residual, parts = layers(encoded(pixels))
    assert residual
    assert not parts


@pytest.mark.parametrize(
    "count", [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 63, 64, 65, 100, 126, 127, 128, 129, 200]
)
@pytest.mark.parametrize("layout", ["pixels", "on a ground", "runs"])
def test_every_number_of_colours_is_exact(count, layout):
    random = np.random.default_rng(count)
    index = random.permutation(np.arange(96 * 64) % count)
    if layout == "on a ground":
        index[random.random(index.size) < 0.7] = 0
    elif layout == "runs":
        index = np.repeat(index, random.integers(1, 6, index.size))[: index.size]
    colours = random.permutation(1 << 16)[:count].astype(np.uint32) * 251
    encoded(colours[index].reshape(64, 96))


def test_text_of_two_colours_takes_less_than_two_bytes_for_each_run():
    pixels = content(np.random.default_rng(1), "text", 256, 128).astype(np.uint32)
    _, parts = layers(encoded(pixels))
    assert [part[:2] for part in parts] == [((0, 0, 256, 128), RLEX)]
    runs = 1 + np.count_nonzero(np.diff(pixels.reshape(-1).astype(np.int64)))
    assert len(parts[0][2]) < 1.4 * runs


@pytest.mark.parametrize("width", [15, 16, 17, 64, 255])
def test_a_checkerboard_takes_few_bytes(width):
    pixels = np.ascontiguousarray(np.indices((60, width)).sum(axis=0) % 2 * 0xFFFFFF).astype(np.uint32)
    assert len(encoded(pixels)) < 200 + pixels.size / 5


def test_single_pixels_on_a_ground_join_the_run_before_them():
    random = np.random.default_rng(1)
    ink = random.integers(1, 40, (64, 256)).astype(np.uint32) * 0x50607
    pixels = np.where(random.random((64, 256)) < 0.05, ink, 0xFFFFFF).astype(np.uint32)
    _, parts = layers(encoded(pixels))
    runs = 1 + np.count_nonzero(np.diff(pixels.reshape(-1).astype(np.int64)))
    assert len(parts[0][2]) < 1.2 * runs


def test_a_photo_within_text_is_raw_and_the_text_is_not():
    random = np.random.default_rng(2)
    pixels = content(random, "soft text", 512, 256).astype(np.uint32)
    pixels[64:192, 128:320] = content(random, "noise", 192, 128)
    _, parts = layers(encoded(pixels))
    raw = {area for area, subcodec, _ in parts if subcodec == RAW}
    assert raw == {(x, y, 64, 64) for x in (128, 192, 256) for y in (64, 128)}
    assert sum(len(data) for _, subcodec, data in parts if subcodec == RLEX) < 512 * 256


def test_shades_are_left_to_the_residual_layer_also_between_other_tiles():
    random = np.random.default_rng(3)
    pixels = content(random, "rows", 512, 512).astype(np.uint32)
    assert len(encoded(pixels)) < 12 + 8 * 512
    assert layers(encoded(pixels))[1] == []
    pixels[64:192, 128:320] = content(random, "noise", 192, 128)
    pixels[256:300, :] = content(random, "soft text", 512, 44)
    residual, parts = layers(encoded(pixels))
    assert 0 < residual < 8 * 512
    assert {subcodec for _, subcodec, _ in parts} == {RAW, RLEX}


def test_noise_is_one_raw_part():
    pixels = content(np.random.default_rng(4), "noise", 200, 130)
    assert [part[:2] for part in layers(encoded(pixels))[1]] == [((0, 0, 200, 130), RAW)]


def test_what_cannot_be_told_from_samples_is_exact_all_the_same():
    # the samples show one colour, the rest is noise
    random = np.random.default_rng(5)
    pixels = random.integers(0, 1 << 24, (128, 512), dtype=np.uint32)
    for step in (3, 11, 17, 129, 17 * 129):
        pixels.reshape(-1)[::step] = 0x445566
        encoded(pixels)
        encoded(pixels[:, :333].copy())


def test_more_tiles_than_are_coded_at_once_are_exact():
    random = np.random.default_rng(6)
    pixels = screen(random, 64 * (rlex.MAX_TILES + 3), 64, ["few", "text", "soft text", "noise"])
    # each tile has its own colours, so that there is no palette for all
    pixels ^= np.repeat(random.integers(0, 1 << 24, rlex.MAX_TILES + 3, dtype=np.uint32), 64)
    encoded(pixels)
