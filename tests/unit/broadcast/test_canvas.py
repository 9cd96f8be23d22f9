"""What a canvas knows of a client's screen."""

import numpy as np

from sidecar.broadcast.canvas import Canvas
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Surface


def test_at_first_every_tile_is_missing() -> None:
    surface = Surface(200, 100)
    canvas = Canvas(surface.frame)
    assert canvas.dirty(surface.frame.versions, canvas.bounds).all()


def test_a_sent_tile_is_missing_again_only_when_it_changes() -> None:
    surface = Surface(200, 100)
    canvas = Canvas(surface.frame)
    canvas.sent[:] = surface.frame.versions
    assert not canvas.dirty(surface.frame.versions, canvas.bounds).any()
    surface.write(70, 70, np.ones((1, 1), np.uint32))
    assert np.argwhere(canvas.dirty(surface.frame.versions, canvas.bounds)).tolist() == [[1, 1]]


def test_only_the_tiles_of_the_area_asked_for_count() -> None:
    surface = Surface(256, 256)
    canvas = Canvas(surface.frame)
    mask = canvas.dirty(surface.frame.versions, Rectangle(60, 0, 10, 10))
    assert np.argwhere(mask).tolist() == [[0, 0], [0, 1]]


def test_a_forgotten_area_is_missing_again() -> None:
    surface = Surface(256, 256)
    canvas = Canvas(surface.frame)
    canvas.sent[:] = surface.frame.versions
    canvas.forget(Rectangle(128, 128, 1000, 1))
    assert np.argwhere(canvas.dirty(surface.frame.versions, canvas.bounds)).tolist() == [[2, 2], [2, 3]]


def test_a_client_that_keeps_its_size_sees_what_fits_and_the_rest_is_uncovered() -> None:
    surface = Surface(200, 100)
    canvas = Canvas(surface.frame)
    surface.resize(150, 300)
    canvas.adopt(surface.frame, resize=False)
    assert canvas.visible == Rectangle(0, 0, 150, 100)
    assert canvas.uncovered() == [Rectangle(150, 0, 50, 100)]
    assert canvas.dirty(surface.frame.versions, canvas.bounds)[:2].all()
    assert not canvas.dirty(surface.frame.versions, canvas.bounds)[2:].any()


def test_a_client_that_follows_has_the_new_size_and_nothing_of_its_content() -> None:
    surface = Surface(200, 100)
    canvas = Canvas(surface.frame)
    surface.resize(150, 300)
    canvas.adopt(surface.frame, resize=True)
    assert (canvas.width, canvas.height) == (150, 300)
    assert canvas.uncovered() == []
    assert canvas.dirty(surface.frame.versions, canvas.bounds).all()
