"""When a tile is said to move."""

import numpy as np

from sidecar.screen.activity import Activity
from sidecar.screen.surface import Surface


def play(seconds: float, interval: float, *, rest: float = 0.0) -> np.ndarray:
    """Changes the left of two tiles every `interval` seconds and rests; which tiles move then."""
    surface = Surface(128, 64)
    activity = Activity(surface.frame, 0.0)
    now = 0.0
    value = 0
    while now < seconds:
        now += interval
        value += 1
        surface.write(0, 0, np.full((1, 1), value, np.uint32))
        activity.observe(surface.frame.versions.copy(), now)
    now += rest
    activity.observe(surface.frame.versions.copy(), now)
    return activity.moving(now)


def test_a_tile_that_changes_thirty_times_a_second_moves_and_its_neighbour_does_not() -> None:
    assert play(1.0, 1 / 30).tolist() == [[True, False]]


def test_a_tile_that_changes_twice_a_second_does_not_move() -> None:
    assert not play(5.0, 0.5).any()


def test_a_tile_that_moved_is_at_rest_soon_after_its_last_change() -> None:
    assert not play(1.0, 1 / 30, rest=0.35).any()
