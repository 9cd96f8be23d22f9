import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.encode.colours import distinct, lengths_of_runs, sampled, starts_of_runs

VALUES = st.lists(st.integers(0, 0xFFFFFF), min_size=1, max_size=300)


def repeated(colours: list[int], count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array(colours, np.uint32)[random.integers(0, len(colours), count)]


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(1, 5000), st.integers(0, 1 << 32))
def test_distinct_finds_every_colour_once_and_where_each_value_has_it(colours, count, seed):
    values = repeated(colours, count, seed)
    expected = set(values.tolist())
    found = distinct(values, 300)
    assert found is not None
    palette, index = found
    assert sorted(palette.tolist()) == sorted(expected)
    np.testing.assert_array_equal(palette[index], values)
    assert distinct(values, len(expected)) is not None
    assert distinct(values, len(expected) - 1) is None


def test_distinct_goes_on_until_no_two_colours_share_a_place():
    values = np.arange(4096, dtype=np.uint32) * 4093
    found = distinct(values, 4096)
    assert found is not None
    np.testing.assert_array_equal(found[0][found[1]], values)
    many = np.random.default_rng(0).permutation(1 << 20).astype(np.uint32)
    found = distinct(many, 1 << 20)
    assert found is not None
    np.testing.assert_array_equal(found[0][found[1]], many)


def test_a_photo_is_told_from_a_drawing_by_its_sample():
    noise = np.random.default_rng(0).integers(0, 1 << 24, 262144, dtype=np.uint32)
    assert len(sampled(noise)) > 256


def test_runs_end_where_the_colour_changes_and_at_the_end_of_a_line():
    pixels = np.array([[1, 1, 2, 2], [2, 2, 2, 3]], np.uint32)
    starts = starts_of_runs(pixels, 4)
    assert starts.tolist() == [0, 2, 4, 7]
    assert lengths_of_runs(starts, 8).tolist() == [2, 2, 3, 1]
    assert starts_of_runs(pixels, 8).tolist() == [0, 2, 7]
