"""What a console shows at one moment, with its pointer."""

import numpy as np
import pytest

from sidecar.screen.cursor import Cursor
from sidecar.screen.snapshot import snapshot
from sidecar.screen.surface import Frame


def frame(shade: int = 0x204060) -> Frame:
    made = Frame(40, 30, 1)
    made.pixels[:] = shade
    return made


def test_it_is_a_copy() -> None:
    shown = frame()
    taken = snapshot(shown)
    shown.pixels[:] = 0
    assert (taken == 0x204060).all()


def test_an_opaque_pointer_lies_over_the_picture_at_its_hot_spot() -> None:
    cursor = Cursor(np.full((4, 6), 0xFFABCDEF, np.uint32), 2, 1)
    taken = snapshot(frame(), cursor, (10, 20))
    expected = frame().pixels
    expected[19:23, 8:14] = 0xABCDEF
    assert np.array_equal(taken, expected)


def test_what_is_transparent_shows_the_picture_and_half_of_it_is_mixed() -> None:
    cursor = Cursor(np.array([[0x00FFFFFF, 0x80FFFFFF, 0x80000000]], np.uint32), 0, 0)
    taken = snapshot(frame(), cursor)
    # 0x80 of 255: (0x20 * 127 + 255 * 128) / 255, and so on
    assert [hex(value) for value in taken[0, :4]] == ["0x204060", "0x90a0b0", "0x102030", "0x204060"]


@pytest.mark.parametrize(
    ("position", "covered"),
    [
        ((0, 0), (slice(0, 2), slice(0, 2))),
        ((40, 30), (slice(28, 30), slice(38, 40))),
        ((20, -2), None),
        ((1000, 5), None),
        ((-1000, -1000), None),
    ],
)
def test_what_lies_beside_the_screen_is_left_out(
    position: tuple[int, int], covered: tuple[slice, slice] | None
) -> None:
    cursor = Cursor(np.full((4, 4), 0xFFFFFFFF, np.uint32), 2, 2)
    expected = frame().pixels
    if covered is not None:
        expected[covered] = 0xFFFFFF
    assert np.array_equal(snapshot(frame(), cursor, position), expected)
