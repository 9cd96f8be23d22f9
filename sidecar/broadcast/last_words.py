"""What stands on a client's screen when its session is ended and its protocol has no words for it."""

from functools import lru_cache

import numpy as np

from sidecar.encode.encoders import encode
from sidecar.encode.form import Form, Segment
from sidecar.screen.notice import notice_box
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels


def last_words(width: int, height: int, text: str) -> tuple[Rectangle, Pixels]:
    """A box with `text` for the middle of a screen of that size: where it goes, and its pixels."""
    return notice_box(width, height, f"{text[:1].upper()}{text[1:]}.")


@lru_cache(maxsize=4)
def encoded_last_words(
    width: int, height: int, text: str, *, form: Form, piece: tuple[int, int]
) -> tuple[Segment, ...]:
    """The box in `form`, in pieces of at most the size `piece`, which is what its encoding can carry.

    Kept for the next who asks: the sessions of a machine are ended all at once, on the main loop.
    """
    return encoded_box(*last_words(width, height, text), form=form, piece=piece)


def encoded_box(
    area: Rectangle, pixels: Pixels, *, form: Form, piece: tuple[int, int]
) -> tuple[Segment, ...]:
    """`pixels`, which go to `area`, in `form`, in pieces of at most the size `piece`."""
    return tuple(encode(part, _cut(pixels, area, part), form) for part in area.pieces(*piece))


def _cut(pixels: Pixels, area: Rectangle, part: Rectangle) -> Pixels:
    """The pixels of `part`, which lies inside `area`, out of those of `area`; contiguous."""
    top, left = part.y - area.y, part.x - area.x
    return np.ascontiguousarray(pixels[top : top + part.height, left : left + part.width])
