"""Where the consoles are on a client's desktop."""

import pytest
from support.synthetic_guest import SyntheticConsole

from sidecar.rdp.views import fitted, side_by_side
from sidecar.screen.rectangle import Rectangle


def console(index: int, width: int, height: int) -> SyntheticConsole:
    made = SyntheticConsole(index)
    made.surface.resize(width, height)
    return made


def test_one_console_is_the_whole_desktop() -> None:
    layout = side_by_side([console(0, 640, 480)])
    assert (layout.width, layout.height) == (640, 480)
    assert [monitor.area for monitor in layout.monitors] == [Rectangle(0, 0, 640, 480)]
    assert layout.at(639, 479).inside(639, 479) == (639, 479)


def test_several_consoles_stand_side_by_side_and_the_first_is_the_primary_monitor() -> None:
    layout = side_by_side([console(0, 640, 480), console(1, 800, 600), console(2, 320, 200)])
    assert (layout.width, layout.height) == (1760, 600)
    assert [(monitor.area, monitor.primary) for monitor in layout.monitors] == [
        (Rectangle(0, 0, 640, 480), True),
        (Rectangle(640, 0, 800, 600), False),
        (Rectangle(1440, 0, 320, 200), False),
    ]


@pytest.mark.parametrize(
    ("place", "index", "inside"),
    [
        ((0, 0), 0, (0, 0)),
        ((639, 5), 0, (639, 5)),
        ((640, 5), 1, (0, 5)),
        ((-3, 9), 0, (-3, 9)),
        ((2000, 9), 1, (1360, 9)),
    ],
)
def test_a_place_belongs_to_the_console_that_is_there_or_next_to_it(
    place: tuple[int, int], index: int, inside: tuple[int, int]
) -> None:
    layout = side_by_side([console(0, 640, 480), console(1, 800, 600)])
    view = layout.at(*place)
    assert view.console.index == index
    assert view.inside(*place) == inside


@pytest.mark.parametrize(
    ("size", "wish", "area"),
    [
        ((1024, 768), (1600, 900), Rectangle(200, 0, 1200, 900)),
        ((1024, 768), (1024, 1024), Rectangle(0, 128, 1024, 768)),
        ((1024, 768), (512, 384), Rectangle(0, 0, 512, 384)),
        ((8000, 1), (400, 200), Rectangle(0, 99, 400, 1)),
    ],
)
def test_a_console_that_keeps_its_size_keeps_its_shape_on_another_desktop(
    size: tuple[int, int], wish: tuple[int, int], area: Rectangle
) -> None:
    layout = fitted(console(0, *size), *wish)
    assert (layout.width, layout.height) == wish
    assert layout.views[0].area == area


def test_the_pointer_is_where_the_scaled_picture_shows_it() -> None:
    layout = fitted(console(0, 1000, 500), 2000, 2000)
    view = layout.views[0]
    assert view.area == Rectangle(0, 500, 2000, 1000)
    assert view.inside(0, 500) == (0, 0)
    assert view.inside(1999, 1499) == (999, 499)
    assert view.inside(0, 0) == (0, -250)
