"""What a surface promises to those who read it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import MAX_EDGE, TILE, Frame, Surface


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (height, width), dtype=np.uint32)


def test_what_was_written_is_read_without_its_top_byte() -> None:
    surface = Surface(100, 90)
    pixels = noise(90, 100)
    assert surface.write(0, 0, pixels)
    assert (surface.frame.pixels == pixels & 0xFFFFFF).all()


def test_writing_the_same_again_raises_no_version() -> None:
    surface = Surface(200, 200)
    surface.write(0, 0, noise(200, 200))
    versions = surface.frame.versions.copy()
    assert not surface.write(0, 0, noise(200, 200) | np.uint32(0xFF000000))
    assert (surface.frame.versions == versions).all()


def test_only_tiles_whose_content_differs_get_a_new_version() -> None:
    surface = Surface(256, 256)
    before = surface.frame.versions.copy()
    picture = np.zeros((256, 256), np.uint32)
    picture[70, 130] = 1
    surface.write(0, 0, picture)
    assert np.argwhere(surface.frame.versions != before).tolist() == [[1, 2]]


@given(
    x=st.integers(-80, 200),
    y=st.integers(-80, 200),
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    seed=st.integers(0, 2**16),
)
def test_a_write_anywhere_changes_just_its_pixels_and_just_the_versions_of_changed_tiles(
    x: int, y: int, width: int, height: int, seed: int
) -> None:
    surface = Surface(170, 130)
    surface.write(0, 0, noise(130, 170, 1) & np.uint32(3))
    before, versions = surface.frame.pixels.copy(), surface.frame.versions.copy()
    pixels = noise(height, width, seed) & np.uint32(3)
    surface.write(x, y, pixels)
    expected = before.copy()
    area = Rectangle(x, y, width, height).intersect(surface.frame.bounds)
    if area.area:
        expected[area.y : area.bottom, area.x : area.right] = pixels[
            area.y - y : area.bottom - y, area.x - x : area.right - x
        ]
    assert (surface.frame.pixels == expected).all()
    for row in range(versions.shape[0]):
        for column in range(versions.shape[1]):
            tile = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            changed = bool((expected[tile] != before[tile]).any())
            assert changed == (surface.frame.versions[row, column] != versions[row, column])


def test_a_resize_makes_a_black_frame_whose_versions_are_new() -> None:
    surface = Surface(64, 64)
    surface.write(0, 0, noise(64, 64))
    old = surface.frame
    surface.resize(128, 64)
    assert surface.frame is not old
    assert not surface.frame.pixels.any()
    assert (surface.frame.versions > old.versions.max()).all()


def test_a_resize_to_the_same_size_keeps_the_frame() -> None:
    surface = Surface(64, 64)
    frame = surface.frame
    surface.resize(64, 64)
    assert surface.frame is frame


def test_growing_keeps_what_is_shown() -> None:
    surface = Surface(70, 50)
    surface.write(0, 0, noise(50, 70))
    old = surface.frame.pixels.copy()
    surface.grow(100, 40)
    assert (surface.frame.width, surface.frame.height) == (100, 50)
    assert (surface.frame.pixels[:50, :70] == old).all()
    assert not surface.frame.pixels[:, 70:].any()


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 5), (MAX_EDGE + 1, 1)])
def test_a_size_that_no_screen_has_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no screen"):
        Frame(*size, 1)


def test_a_snapshot_does_not_follow_later_writes() -> None:
    surface = Surface(64, 64)
    copy = surface.frame.snapshot(Rectangle(1, 2, 3, 4))
    surface.write(0, 0, noise(64, 64))
    assert copy.shape == (4, 3)
    assert copy.flags.c_contiguous
    assert not copy.any()
