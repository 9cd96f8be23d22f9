"""PNG files, as an independent reader (Pillow) sees them."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image
from support.pictures import from_rgb_bytes
from support.screens import screens

from sidecar.screen.png import BAND, SIGNATURE, png


def read(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        # every chunk with its checksum
        picture.verify()
    with Image.open(io.BytesIO(file)) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        return from_rgb_bytes(np.asarray(picture))


@settings(max_examples=40, deadline=None)
@given(pixels=screens())
def test_the_file_shows_every_pixel(pixels: np.ndarray) -> None:
    assert np.array_equal(read(png(pixels)), pixels)


def test_what_is_in_the_top_byte_does_not_matter() -> None:
    pixels = np.arange(6, dtype=np.uint32).reshape(2, 3)
    assert png(pixels | np.uint32(0xFF000000)) == png(pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 16384), (16384, 1), (700, 1100), (2, BAND // 3 + 1)])
def test_any_shape_can_be_a_file(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 1 << 24, shape, dtype=np.uint32)
    assert np.array_equal(read(png(pixels)), pixels)


def test_the_chunks_are_those_of_the_standard() -> None:
    file = png(np.zeros((3, 5), np.uint32))
    assert file.startswith(SIGNATURE)
    at, kinds = len(SIGNATURE), []
    while at < len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        body = file[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", file, at + 8 + length) == (zlib.crc32(kind + body),)
        kinds.append(kind)
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert file[16:29] == struct.pack(">IIBBBBB", 5, 3, 8, 2, 0, 0, 0)


def test_what_is_plain_takes_little() -> None:
    assert len(png(np.full((1080, 1920), 0x336699, np.uint32))) < 50_000


def test_it_works_where_there_is_no_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    pixels = np.random.default_rng(1).integers(0, 1 << 24, (90, 70), dtype=np.uint32)
    assert np.array_equal(read(png(pixels)), pixels)
