import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.screen.damage import clip, rectangles
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame


@st.composite
def masks(draw: st.DrawFn) -> tuple[np.ndarray, Frame]:
    frame = Frame(draw(st.integers(1, 4500)), draw(st.integers(1, 1300)), 1)
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    density = draw(st.sampled_from([0.02, 0.5, 0.9, 1.0]))
    return random.random(frame.versions.shape) < density, frame


@settings(max_examples=200, deadline=None)
@given(masks(), st.integers(1, 128))
def test_the_rectangles_cover_the_tiles_set_once_and_no_other(mask_and_frame, max_tiles):
    mask, frame = mask_and_frame
    covered = np.zeros((frame.height, frame.width), np.uint8)
    found = rectangles(mask, frame, max_tiles)
    for area in found:
        assert area.intersect(frame.bounds) == area
        assert area.area
        assert area.width <= 2048
        assert -(-area.width // TILE) * -(-area.height // TILE) <= max_tiles
        covered[area.y : area.bottom, area.x : area.right] += 1
    expected = np.kron(mask, np.ones((TILE, TILE), np.uint8))[: frame.height, : frame.width]
    np.testing.assert_array_equal(covered, expected)
    assert found == rectangles(mask.copy(), frame, max_tiles)
    assert found == sorted(found, key=lambda area: (area.y, area.x))


def mask_of(picture: str) -> np.ndarray:
    return np.array([[mark == "#" for mark in line] for line in picture.split()])


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("... ...", []),
        (".#. ...", [(64, 0, 64, 64)]),
        ("### ###", [(0, 0, 192, 120)]),
        ("##. ##.", [(0, 0, 128, 120)]),
        ("#.# #.#", [(0, 0, 64, 120), (128, 0, 64, 120)]),
        ("##. .##", [(0, 0, 128, 64), (64, 64, 128, 56)]),
        ("..# #..", [(128, 0, 64, 64), (0, 64, 64, 56)]),
    ],
)
def test_tiles_side_by_side_become_one_rectangle_and_equal_rows_are_merged(picture, expected):
    assert rectangles(mask_of(picture), Frame(192, 120, 1)) == expected


def test_rows_that_do_not_touch_are_not_merged():
    assert rectangles(mask_of("#. .. #."), Frame(128, 192, 1)) == [(0, 0, 64, 64), (0, 128, 64, 64)]


def test_a_whole_screen_is_cut_into_bands_for_several_cores():
    frame = Frame(1024, 768, 1)
    found = rectangles(np.ones((12, 16), np.bool_), frame)
    assert found == [Rectangle(0, 256 * band, 1024, 256) for band in range(3)]


def test_a_change_elsewhere_leaves_the_other_rectangles_as_they_were():
    frame = Frame(1024, 768, 1)
    mask = np.ones((12, 16), np.bool_)
    whole = rectangles(mask, frame)
    mask[:2] = False
    assert whole[1:] == rectangles(mask, frame)[1:]


def test_a_frame_wider_than_tight_allows_is_cut():
    frame = Frame(2560, 64, 1)
    assert rectangles(np.ones((1, 40), np.bool_), frame) == [(0, 0, 2048, 64), (2048, 0, 512, 64)]


def test_clipping_keeps_what_lies_inside():
    parts = [Rectangle(0, 0, 64, 64), Rectangle(64, 0, 64, 64), Rectangle(0, 64, 128, 10)]
    assert clip(parts, Rectangle(70, 10, 100, 60)) == [(70, 10, 58, 54), (70, 64, 58, 6)]
    assert clip(parts, Rectangle(500, 500, 5, 5)) == []
