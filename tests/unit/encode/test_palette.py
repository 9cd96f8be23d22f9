import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import pictures

from sidecar.encode import palette as palette_module
from sidecar.encode.colours import sampled
from sidecar.encode.palette import HASHED_PIXELS, PIECE, candidates, few_colours, find_palette

COLOURS = st.lists(st.integers(0, 0xFFFFFF), min_size=1, max_size=300, unique=True)


@pytest.fixture(autouse=True)
def nothing_recent(monkeypatch):
    monkeypatch.setattr(palette_module, "_recent", ())


def repeated(colours: list[int], count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array(colours, np.uint32)[random.integers(0, len(colours), count)]


def shown(palette, pixels) -> np.ndarray:
    return palette.colours[palette.index(pixels)]


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_every_colour_of_a_picture_is_among_its_candidates_and_no_other(pixels):
    assert set(candidates(pixels).tolist()) == set(pixels.reshape(-1).tolist())


@pytest.mark.parametrize("width", [63, 64, 1023, 1024])
@pytest.mark.parametrize("place", [0, 1, 64, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, -2, -1])
def test_a_single_pixel_anywhere_is_among_the_candidates(width, place):
    pixels = np.zeros((3 * PIECE // width, width), np.uint32)
    pixels.reshape(-1)[place] = 5
    assert set(candidates(pixels).tolist()) == {0, 5}


def test_repeated_rows_have_few_candidates():
    pixels = np.tile(np.random.default_rng(0).integers(0, 1 << 24, (1, 512), dtype=np.uint32), (100, 1))
    assert candidates(pixels).size <= 512 + 1


@settings(max_examples=100, deadline=None)
@given(COLOURS, st.integers(0, 1 << 32))
def test_a_palette_gives_back_the_pixels_and_is_refused_above_the_limit(colours, seed):
    values = np.concatenate((np.array(colours, np.uint32), repeated(colours, 5000, seed)))
    palette = find_palette(sampled(values), values, 256)
    if len(colours) > 256:
        assert palette is None
        return
    assert palette is not None
    assert palette.colours.size <= 256
    np.testing.assert_array_equal(shown(palette, values), values)
    for most in (16, 127, 256):
        compact, indices = palette.compact(palette.index(values), most)
        assert set(compact.tolist()) >= set(colours)
        assert compact.size <= max(len(palette.members), most)
        np.testing.assert_array_equal(compact[indices], values)
    assert find_palette(sampled(values), values, len(colours)) is not None
    if len(colours) > 1:
        assert find_palette(sampled(values), values, len(colours) - 1) is None


@pytest.mark.parametrize("count", [3, 40, 200])
def test_what_a_palette_misses_is_told_even_where_it_falls_into_a_gap(count):
    colours = np.random.default_rng(count).integers(1, 1 << 24, count, dtype=np.uint32)
    palette = find_palette(set(colours.tolist()), colours, 256)
    assert palette is not None
    others = np.setdiff1d(np.arange(0, 1 << 24, 97, dtype=np.uint32), colours)
    np.testing.assert_array_equal(palette.missing(others), others)


def test_the_next_picture_of_the_same_colours_gets_the_same_palette():
    first = repeated([1, 2, 3, 4, 5], 5000, 1)
    palette = find_palette(sampled(first), first, 256)
    find_palette({7, 8}, np.array([7, 8], np.uint32), 256)
    fewer = repeated([2, 3, 4], 5000, 2)
    assert find_palette(sampled(fewer), fewer, 256) is palette
    assert find_palette(sampled(fewer), fewer, 3) is not palette


def test_neighbours_that_share_colours_end_up_with_one_palette():
    left, right = (repeated(colours, 5000, 1) for colours in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]))
    find_palette(sampled(left), left, 256)
    palette = find_palette(sampled(right), right, 256)
    assert find_palette(sampled(left), left, 256) is palette
    assert find_palette(sampled(right), right, 256) is palette


def test_colours_of_before_do_not_make_a_palette_exceed_its_limit():
    before, after = repeated([1, 2, 3, 4, 5, 6], 5000, 1), repeated([6, 7, 8, 9, 10], 5000, 1)
    find_palette(sampled(before), before, 256)
    palette = find_palette(sampled(after), after, 6)
    assert palette is not None
    assert len(palette.members) <= 6


def test_a_colour_that_a_recent_palette_lacks_is_not_lost():
    before = repeated([1, 2, 3], 5000, 1)
    find_palette(sampled(before), before, 256)
    after = before.copy()
    after[4000] = 9
    palette = find_palette(sampled(before), after, 256)
    assert palette is not None
    np.testing.assert_array_equal(shown(palette, after), after)


@pytest.mark.parametrize("height", [4, HASHED_PIXELS // 64 + 1])
@settings(max_examples=60, deadline=None)
@given(colours=COLOURS, seed=st.integers(0, 1 << 32))
def test_few_colours_are_indexed_and_many_refused_at_any_size(height, colours, seed):
    pixels = repeated(colours, height * 64, seed).reshape(height, 64)
    for limit in (24, 256):
        found = few_colours(pixels, sampled(pixels.reshape(-1)), limit)
        if len(set(pixels.reshape(-1).tolist())) > limit:
            assert found is None
            continue
        assert found is not None
        palette, indices = found
        assert palette.size <= 256
        np.testing.assert_array_equal(palette[indices], pixels.reshape(-1))


def test_colours_for_which_there_is_no_hash_are_still_indexed(monkeypatch):
    monkeypatch.setattr(palette_module, "_hashed", lambda colours: None)
    pixels = repeated([1, 2, 3], 64 * 256, 0).reshape(256, 64)
    assert find_palette({1}, pixels.reshape(-1), 256) is None
    found = few_colours(pixels, {1}, 256)
    assert found is not None
    np.testing.assert_array_equal(found[0][found[1]], pixels.reshape(-1))
