"""pixman's formats as the picture that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.screen.pixman import MAX_STRIDE, Layout, PixmanError, PixmanFormat, to_canonical
from sidecar.screen.surface import MAX_EDGE, RGB_MASK

RED, GREEN, BLUE = 0x11, 0x80, 0xFE

PIXELS = [
    # bytes in memory as facts (QEMU D-Bus, section 3) name them, for red 11, green 80, blue FE
    (PixmanFormat.X8R8G8B8, bytes([BLUE, GREEN, RED, 0xAA]), 0x1180FE),
    (PixmanFormat.A8R8G8B8, bytes([BLUE, GREEN, RED, 0x00]), 0x1180FE),
    (PixmanFormat.X8B8G8R8, bytes([RED, GREEN, BLUE, 0xAA]), 0x1180FE),
    (PixmanFormat.A8B8G8R8, bytes([RED, GREEN, BLUE, 0x00]), 0x1180FE),
    (PixmanFormat.B8G8R8X8, bytes([0xAA, RED, GREEN, BLUE]), 0x1180FE),
    (PixmanFormat.B8G8R8A8, bytes([0x00, RED, GREEN, BLUE]), 0x1180FE),
    (PixmanFormat.R8G8B8X8, bytes([0xAA, BLUE, GREEN, RED]), 0x1180FE),
    (PixmanFormat.R8G8B8A8, bytes([0x00, BLUE, GREEN, RED]), 0x1180FE),
    (PixmanFormat.R8G8B8, bytes([BLUE, GREEN, RED]), 0x1180FE),
    (PixmanFormat.B8G8R8, bytes([RED, GREEN, BLUE]), 0x1180FE),
    (PixmanFormat.R5G6B5, (0b10001_000001_11110).to_bytes(2, "little"), 0x8C04F7),
    (PixmanFormat.X1R5G5B5, (0b1_10001_00001_11110).to_bytes(2, "little"), 0x8C08F7),
    (PixmanFormat.A1R5G5B5, (0b0_10001_00001_11110).to_bytes(2, "little"), 0x8C08F7),
    (PixmanFormat.X2R10G10B10, (3 << 30 | 0x047 << 20 | 0x201 << 10 | 0x3FB).to_bytes(4, "little"), 0x1180FE),
    (PixmanFormat.A2R10G10B10, (0x047 << 20 | 0x201 << 10 | 0x3FB).to_bytes(4, "little"), 0x1180FE),
]


def test_every_format_is_tried() -> None:
    assert {form for form, _, _ in PIXELS} == set(PixmanFormat)


@pytest.mark.parametrize(("form", "octets", "colour"), PIXELS, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("padding", [0, 1, 6])
def test_a_pixel_keeps_its_colour(form: PixmanFormat, octets: bytes, colour: int, padding: int) -> None:
    width, height = 3, 2
    row = octets * width + b"\x55" * padding
    layout = Layout.of(width, height, len(row), form.value)
    pixels = to_canonical(row * height, layout)
    assert pixels.shape == (height, width)
    assert pixels.dtype == np.uint32
    assert ((pixels & RGB_MASK) == colour).all()


@pytest.mark.parametrize("form", [PixmanFormat.R5G6B5, PixmanFormat.X1R5G5B5])
@pytest.mark.parametrize(("word", "colour"), [(0x0000, 0), (0xFFFF, 0xFFFFFF)])
def test_black_and_white_are_the_ends_of_the_scale(form: PixmanFormat, word: int, colour: int) -> None:
    pixels = to_canonical(word.to_bytes(2, "little"), Layout.of(1, 1, 2, form.value))
    assert pixels[0, 0] == colour


def test_qemus_own_format_is_not_copied() -> None:
    data = bytearray(4 * 6)
    pixels = to_canonical(data, Layout.of(3, 2, 12, PixmanFormat.X8R8G8B8.value))
    data[0:4] = b"\x03\x02\x01\x00"
    assert pixels[0, 0] == 0x010203


def test_the_last_row_needs_no_padding() -> None:
    layout = Layout.of(1, 2, 8, PixmanFormat.X8R8G8B8.value)
    assert layout.size == 12
    assert to_canonical(bytes(12), layout).shape == (2, 1)
    with pytest.raises(PixmanError):
        to_canonical(bytes(11), layout)


@pytest.mark.parametrize(
    ("width", "height", "stride", "code"),
    [
        (0, 1, 4, 0x20020888),
        (1, 0, 4, 0x20020888),
        (MAX_EDGE + 1, 1, 4 * MAX_EDGE + 4, 0x20020888),
        (1, MAX_EDGE + 1, 4, 0x20020888),
        (2, 1, 7, 0x20020888),
        (1, 1, 0, 0x20020888),
        (1, 1, MAX_STRIDE + 1, 0x20020888),
        (1, 1, 4, 0),
        (1, 1, 4, 0x20020889),
    ],
)
def test_what_no_picture_can_be_is_refused(width: int, height: int, stride: int, code: int) -> None:
    with pytest.raises(PixmanError):
        Layout.of(width, height, stride, code)


numbers = st.one_of(st.integers(-2, 70), st.integers(-(2**31), 2**32 - 1))


@given(
    width=numbers,
    height=numbers,
    stride=numbers,
    code=st.one_of(st.sampled_from([form.value for form in PixmanFormat]), numbers),
    data=st.binary(max_size=600),
)
def test_any_description_gives_its_picture_or_an_error(
    width: int, height: int, stride: int, code: int, data: bytes
) -> None:
    try:
        pixels = to_canonical(data, Layout.of(width, height, stride, code))
    except PixmanError:
        return
    assert pixels.shape == (height, width)
