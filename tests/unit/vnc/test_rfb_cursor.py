"""The pointer's picture in every kind, with a red and a blue pixel to show their order."""

import struct

import numpy as np
import pytest

from sidecar.encode.pixel_form import CANONICAL, SWAPPED, PixelForm
from sidecar.screen.cursor import Cursor
from sidecar.vnc.capabilities import CursorKind
from sidecar.vnc.cursor import cursor_update

RED, BLUE = 0xFFFF0000, 0xFF0000FF


def picture(rows: list[list[int]], hot_x: int = 0, hot_y: int = 0) -> Cursor:
    return Cursor(np.array(rows, np.uint32), hot_x, hot_y)


def header(x: int, y: int, width: int, height: int, kind: CursorKind) -> bytes:
    return b"\0\0\0\x01" + struct.pack(">4Hi", x, y, width, height, kind.value)


def test_vmwares_cursor_is_red_green_blue_and_straight_alpha() -> None:
    cursor = picture([[RED, BLUE, 0x80FF8040]], hot_x=2)
    assert cursor_update(CursorKind.VMWARE, cursor, SWAPPED) == header(
        2, 0, 3, 1, CursorKind.VMWARE
    ) + bytes.fromhex("01 00 ff0000ff 0000ffff ff804080")


def test_the_alpha_cursor_is_red_green_blue_and_premultiplied() -> None:
    cursor = picture([[RED, BLUE], [0x80FF8040, 0x00FFFFFF]], hot_y=1)
    assert cursor_update(CursorKind.ALPHA, cursor, PixelForm.indexed()) == header(
        0, 1, 2, 2, CursorKind.ALPHA
    ) + bytes.fromhex("00000000 ff0000ff 0000ffff 80402080 00000000")


@pytest.mark.parametrize(
    ("form", "red", "blue"),
    [
        (CANONICAL, "0000ff00", "ff000000"),
        (SWAPPED, "ff000000", "0000ff00"),
        (PixelForm(big_endian=True), "00ff0000", "000000ff"),
        (PixelForm(16, 16, False, True, 31, 63, 31, 11, 5, 0), "00f8", "1f00"),
        (PixelForm(16, 16, True, True, 31, 63, 31, 11, 5, 0), "f800", "001f"),
        (PixelForm(8, 8, False, True, 7, 7, 3, 0, 3, 6), "07", "c0"),
        (PixelForm.indexed(), "07", "c0"),
    ],
)
def test_the_plain_cursor_is_in_the_clients_pixels(form: PixelForm, red: str, blue: str) -> None:
    cursor = picture([[RED, BLUE]])
    assert cursor_update(CursorKind.PLAIN, cursor, form) == header(
        0, 0, 2, 1, CursorKind.PLAIN
    ) + bytes.fromhex(red + blue + "c0")


def test_the_plain_cursors_mask_has_whole_bytes_for_each_row_and_drops_what_is_hardly_there() -> None:
    rows = [[RED] * 9, [0x7FFFFFFF] * 8 + [0x80000000]]
    update = cursor_update(CursorKind.PLAIN, picture(rows), CANONICAL)
    pixels, mask = update[16 : 16 + 72], update[16 + 72 :]
    assert pixels == bytes.fromhex("0000ff00") * 9 + bytes(36)
    assert mask == bytes.fromhex("ff80 0080")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CursorKind.VMWARE, "0100 00000000"),
        (CursorKind.ALPHA, "00000000 00000000"),
        (CursorKind.PLAIN, "00000000 00"),
    ],
)
@pytest.mark.parametrize("cursor", [None, Cursor(np.zeros((0, 0), np.uint32), 0, 0)])
def test_no_cursor_is_one_pixel_that_cannot_be_seen(
    kind: CursorKind, body: str, cursor: Cursor | None
) -> None:
    assert cursor_update(kind, cursor, CANONICAL) == header(0, 0, 1, 1, kind) + bytes.fromhex(body)


@pytest.mark.parametrize("kind", CursorKind)
def test_a_cursor_is_never_larger_than_tigervnc_bears(kind: CursorKind) -> None:
    pixels = np.full((257, 300), RED, np.uint32)
    update = cursor_update(kind, Cursor(pixels, 299, 256), CANONICAL)
    assert struct.unpack_from(">4H", update, 4) == (255, 255, 256, 256)
