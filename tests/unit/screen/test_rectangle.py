"""Rectangles on a screen."""

import pytest

from sidecar.screen.rectangle import Rectangle


@pytest.mark.parametrize(
    ("area", "pieces"),
    [
        (Rectangle(5, 7, 0, 3), []),
        (Rectangle(5, 7, 4, 3), [Rectangle(5, 7, 4, 3)]),
        (
            Rectangle(5, 7, 6, 4),
            [
                Rectangle(5, 7, 4, 3),
                Rectangle(9, 7, 2, 3),
                Rectangle(5, 10, 4, 1),
                Rectangle(9, 10, 2, 1),
            ],
        ),
    ],
)
def test_pieces_make_the_whole_row_by_row(area: Rectangle, pieces: list[Rectangle]) -> None:
    assert area.pieces(4, 3) == pieces
