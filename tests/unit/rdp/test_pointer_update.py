"""Pointer updates, drawn pixel by pixel by a decoder that follows the specification."""

import struct
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sidecar.rdp import fast_path, pointer_update, slow_path
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.fast_path import UpdateCode
from sidecar.rdp.pointer_update import MAX_SLOTS, PointerCache, PointerUpdate
from sidecar.screen.cursor import Cursor

Picture = NDArray[np.uint32]

MODERN = ClientCapabilities(
    fast_path_output=True,
    pointer_cache_size=25,
    colour_pointer_cache_size=25,
    large_pointers=384,
    max_request_size=1 << 20,
)
OLD = ClientCapabilities(colour_pointer_cache_size=10)


@dataclass(frozen=True, eq=False)
class Shown:
    """What a client makes of a picture."""

    slot: int
    hot_x: int
    hot_y: int
    pixels: Picture
    """0xAARRGGBB, from the top down; 0 where the screen shows through."""
    inverting: int
    """Pixels that would invert the screen."""


def decode(update: PointerUpdate) -> Shown:
    """2.2.9.1.1.4.4, 2.2.9.1.1.4.5 and 2.2.9.1.2.1.11, by the letter and one pixel at a time."""
    data, depth = update.payload, 24
    if update.code is UpdateCode.LARGE_POINTER:
        depth, slot, hot_x, hot_y, width, height, and_length, xor_length = struct.unpack_from("<6H2I", data)
        at = 20
    else:
        at = 0
        if update.code is UpdateCode.POINTER:
            (depth,) = struct.unpack_from("<H", data)
            at = 2
        else:
            assert update.code is UpdateCode.COLOR
        slot, hot_x, hot_y, width, height, and_length, xor_length = struct.unpack_from("<7H", data, at)
        at += 14
        assert max(width, height) <= 96
    size = depth // 8
    xor_stride, and_stride = (width * size + 1) // 2 * 2, (width + 15) // 16 * 2
    assert (xor_length, and_length) == (xor_stride * height, and_stride * height)
    xor_mask, and_mask = data[at : at + xor_length], data[at + xor_length :]
    assert len(and_mask) == and_length
    assert hot_x < width
    assert hot_y < height
    pixels, inverting = np.zeros((height, width), np.uint32), 0
    for row in range(height):
        for column in range(width):
            start = row * xor_stride + column * size
            value = int.from_bytes(xor_mask[start : start + size], "little")
            masked = and_mask[row * and_stride + column // 8] >> (7 - column % 8) & 1
            if masked:
                inverting += value != 0
            elif size == 3:
                value |= 0xFF000000
            pixels[height - 1 - row, column] = value
    return Shown(slot, hot_x, hot_y, pixels, inverting)


def cursor(width: int, height: int, seed: int = 0, hot: tuple[int, int] | None = None) -> Cursor:
    """Noise of any alpha, a third of it transparent and a third opaque."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 1 << 32, (height, width), np.uint32)
    kind = random.integers(0, 3, (height, width))
    pixels[kind == 0] &= np.uint32(0x00FFFFFF)
    pixels[kind == 1] |= np.uint32(0xFF000000)
    return Cursor(pixels, *(hot or (width - 1, height // 2)))


def solid(width: int, height: int, colour: int) -> Cursor:
    return Cursor(np.full((height, width), colour, np.uint32), 0, 0)


def expected_with_alpha(shape: Cursor) -> Picture:
    return np.where(shape.pixels >> np.uint32(24) == 0, np.uint32(0), shape.pixels)


SIZES = [(1, 1), (32, 32), (31, 17), (24, 48), (33, 5), (47, 49), (64, 64), (95, 96), (96, 96)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_new_pointers_show_every_pixel_with_its_alpha(width: int, height: int) -> None:
    shape = cursor(width, height)
    shown = decode(pointer_update.new_pointer(shape, 3))
    assert (shown.slot, shown.hot_x, shown.hot_y) == (3, shape.hot_x, shape.hot_y)
    assert (shown.pixels[:height, :width] == expected_with_alpha(shape)).all()
    assert not shown.pixels[height:].any()
    assert not shown.pixels[:, width:].any()
    assert not shown.inverting


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_colour_pointers_show_what_is_at_least_half_opaque(width: int, height: int) -> None:
    shape = cursor(width, height)
    shown = decode(pointer_update.colour_pointer(shape, 0))
    opaque = shape.pixels >> np.uint32(24) >= 128
    expected = np.where(opaque, shape.pixels | np.uint32(0xFF000000), np.uint32(0))
    assert (shown.pixels[:height, :width] == expected).all()
    assert not shown.pixels[height:].any()
    assert not shown.pixels[:, width:].any()
    assert not shown.inverting


@pytest.mark.parametrize(("width", "height"), [(97, 10), (128, 128), (3, 200), (256, 256), (384, 384)])
def test_large_pointers_show_every_pixel_with_its_alpha(width: int, height: int) -> None:
    shape = cursor(width, height)
    shown = decode(pointer_update.large_pointer(shape, 24))
    assert (shown.slot, shown.hot_x, shown.hot_y) == (24, shape.hot_x, shape.hot_y)
    assert (shown.pixels[:height, :width] == expected_with_alpha(shape)).all()
    assert not shown.inverting


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pictures_are_at_least_as_large_as_every_server_sends_them_and_rows_end_evenly(
    width: int, height: int
) -> None:
    shown = decode(pointer_update.new_pointer(cursor(width, height), 0))
    for edge in shown.pixels.shape:
        assert edge >= 32
        assert edge % 16 == 0


def test_updates_without_a_picture() -> None:
    assert pointer_update.hidden() == (UpdateCode.PTR_NULL, b"")
    assert pointer_update.default() == (UpdateCode.PTR_DEFAULT, b"")
    assert pointer_update.position(0x102, 3) == (UpdateCode.PTR_POSITION, bytes.fromhex("02 01 03 00"))
    assert pointer_update.cached(20) == (UpdateCode.CACHED, bytes.fromhex("14 00"))


# Scaling


def test_a_cursor_that_fits_is_left_alone() -> None:
    shape = cursor(32, 20)
    assert pointer_update.fitted(shape, 32) is shape


@pytest.mark.parametrize(("width", "height"), [(33, 33), (64, 10), (7, 256), (256, 255), (255, 1)])
@pytest.mark.parametrize("edge", [16, 32, 96])
def test_a_cursor_that_is_too_large_fits_afterwards_and_its_hot_spot_lies_inside(
    width: int, height: int, edge: int
) -> None:
    for hot in ((0, 0), (width - 1, height - 1), (width // 2, 0)):
        shape = pointer_update.fitted(cursor(width, height, hot=hot), edge)
        assert max(shape.width, shape.height) <= edge
        assert 0 <= shape.hot_x < shape.width
        assert 0 <= shape.hot_y < shape.height


def test_scaling_averages_colours_by_how_much_they_are_seen() -> None:
    pixels = np.array([[0xFFFF0000, 0x00FFFFFF], [0xFF0000FF, 0x00123456]], np.uint32)
    assert pointer_update.fitted(Cursor(pixels, 1, 1), 1).pixels.tolist() == [[0x7F7F007F]]


@pytest.mark.parametrize("colour", [0xFF102030, 0xFFFFFFFF, 0x00000000])
def test_scaling_keeps_a_solid_colour(colour: int) -> None:
    assert (pointer_update.fitted(solid(256, 256, colour), 96).pixels[:85, :85] == colour).all()


def test_scaling_nothing_leaves_nothing() -> None:
    assert not pointer_update.fitted(solid(100, 100, 0x00FFFFFF), 32).pixels.any()


# The cache


def slot_of(update: PointerUpdate) -> int:
    if update.code is UpdateCode.CACHED:
        (slot,) = struct.unpack("<H", update.payload)
        return int(slot)
    return decode(update).slot


def test_a_picture_is_sent_once() -> None:
    cache, shape = PointerCache(MODERN), cursor(20, 20)
    first = cache.update(shape)
    assert first.code is UpdateCode.POINTER
    assert cache.update(shape) == pointer_update.cached(decode(first).slot)


def test_the_same_picture_from_another_object_is_known() -> None:
    cache = PointerCache(MODERN)
    cache.update(cursor(20, 20, 5))
    assert cache.update(cursor(20, 20, 5)).code is UpdateCode.CACHED


def test_another_hot_spot_or_shape_is_another_picture() -> None:
    cache = PointerCache(MODERN)
    shapes = [
        Cursor(np.zeros((8, 8), np.uint32), 0, 0),
        Cursor(np.zeros((8, 8), np.uint32), 1, 0),
        Cursor(np.zeros((8, 8), np.uint32), 0, 1),
        Cursor(np.zeros((4, 16), np.uint32), 0, 0),
    ]
    assert [cache.update(shape).code for shape in shapes] == [UpdateCode.POINTER] * 4


def test_no_cursor_hides_the_pointer_and_forgets_nothing() -> None:
    cache, shape = PointerCache(MODERN), cursor(20, 20)
    cache.update(shape)
    assert cache.update(None) == pointer_update.hidden()
    assert cache.update(Cursor(np.zeros((0, 0), np.uint32), 0, 0)) == pointer_update.hidden()
    assert cache.update(shape).code is UpdateCode.CACHED


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_the_picture_that_was_not_shown_for_longest_makes_room(size: int) -> None:
    cache = PointerCache(ClientCapabilities(fast_path_output=True, pointer_cache_size=size))
    slots = min(size, MAX_SLOTS)
    shapes = [solid(4, 4, 0xFF000000 + number) for number in range(slots + 1)]
    assert [slot_of(cache.update(shape)) for shape in shapes[:slots]] == list(range(slots))
    oldest = 1 % slots
    # shown again, so another one is the oldest
    assert cache.update(shapes[0]).code is UpdateCode.CACHED
    assert slot_of(cache.update(shapes[slots])) == oldest
    assert cache.update(shapes[oldest]).code is UpdateCode.POINTER


@given(st.lists(st.integers(0, 8), max_size=60), st.integers(1, 6))
def test_a_client_that_keeps_what_it_is_sent_always_shows_the_right_picture(
    order: list[int], size: int
) -> None:
    cache = PointerCache(ClientCapabilities(fast_path_output=True, pointer_cache_size=size))
    shapes = [solid(2, 2, 0xFF000000 + number) for number in range(9)]
    kept: dict[int, int] = {}
    for number in order:
        update = cache.update(shapes[number])
        if update.code is UpdateCode.CACHED:
            assert kept[slot_of(update)] == number
        else:
            slot, _, _, _, _, _, _ = struct.unpack_from("<7H", update.payload, 2)
            assert slot < size
            kept[slot] = number


def test_a_client_without_any_cache_is_sent_every_picture() -> None:
    cache, shape = PointerCache(ClientCapabilities()), cursor(20, 20)
    for _ in range(2):
        update = cache.update(shape)
        assert update.code is UpdateCode.COLOR
        assert decode(update).slot == 0


# What clients can take


@pytest.mark.parametrize(
    ("capabilities", "edge", "code", "shown_edge"),
    [
        (MODERN, 32, UpdateCode.POINTER, 32),
        (MODERN, 96, UpdateCode.POINTER, 96),
        (MODERN, 97, UpdateCode.LARGE_POINTER, 112),
        (MODERN, 256, UpdateCode.LARGE_POINTER, 256),
        (OLD, 32, UpdateCode.COLOR, 32),
        (OLD, 33, UpdateCode.COLOR, 32),
    ],
)
def test_the_update_is_one_that_the_client_takes(
    capabilities: ClientCapabilities, edge: int, code: UpdateCode, shown_edge: int
) -> None:
    update = PointerCache(capabilities).update(cursor(edge, edge))
    assert update.code is code
    assert decode(update).pixels.shape == (shown_edge, shown_edge)


def test_without_large_pointers_nothing_is_larger_than_32_pixels() -> None:
    capabilities = ClientCapabilities(fast_path_output=True, pointer_cache_size=5, max_request_size=1 << 20)
    assert decode(PointerCache(capabilities).update(cursor(33, 20))).pixels.shape == (32, 32)


@pytest.mark.parametrize("fast_path_output", [False, True])
@pytest.mark.parametrize("pointer_cache_size", [0, 20])
@pytest.mark.parametrize("large_pointers", [0, 96, 384])
@pytest.mark.parametrize("max_request_size", [0, 16000, 16384, 38055, 65535, 608299])
def test_every_client_can_be_sent_every_cursor(
    fast_path_output: bool, pointer_cache_size: int, large_pointers: int, max_request_size: int
) -> None:
    capabilities = ClientCapabilities(
        fast_path_output=fast_path_output,
        pointer_cache_size=pointer_cache_size,
        colour_pointer_cache_size=20,
        large_pointers=large_pointers,
        max_request_size=max_request_size,
    )
    cache = PointerCache(capabilities)
    for edge in (1, 32, 33, 64, 96, 97, 256):
        update = cache.update(solid(edge, edge, 0xFF00FF00))
        if fast_path_output:
            assert fast_path.update(*update, max_request_size=max_request_size)
        else:
            assert len(slow_path.update(*update)[1]) <= 0x3FFF - 18


@pytest.mark.parametrize(("max_request_size", "edge"), [(0, 48), (38055, 96), (608299, 256)])
def test_fragments_are_used_for_what_they_are_good_for(max_request_size: int, edge: int) -> None:
    capabilities = ClientCapabilities(
        fast_path_output=True, pointer_cache_size=5, large_pointers=384, max_request_size=max_request_size
    )
    update = PointerCache(capabilities).update(solid(edge, edge, 0xFF00FF00))
    assert decode(update).pixels.shape == (edge, edge)
    assert (decode(update).pixels == 0xFF00FF00).all()
