"""An encoder of pictures that says how long each has taken."""

from collections.abc import Callable
from time import perf_counter

from sidecar.broadcast.video import OpenEncoder, PictureEncoder
from sidecar.encode.form import Form
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels

Taken = Callable[[Form, float, int], None]
"""Hears of a picture of a form: seconds and bytes. Called on the thread that encodes."""


class TimedEncoder:
    """See `sidecar.broadcast.video.PictureEncoder`."""

    __slots__ = ("_encoder", "_form", "_taken")

    def __init__(self, encoder: PictureEncoder, form: Form, taken: Taken) -> None:
        self._encoder = encoder
        self._form = form
        self._taken = taken

    def encode(self, pixels: Pixels, areas: list[Rectangle], key_frame: bool) -> bytes:
        """The body of the picture's segment."""
        begin = perf_counter()
        body = self._encoder.encode(pixels, areas, key_frame)
        self._taken(self._form, perf_counter() - begin, len(body))
        return body

    def close(self) -> None:
        """Gives the memory back."""
        self._encoder.close()


def timed(open_encoder: OpenEncoder, form: Form, taken: Taken) -> OpenEncoder:
    """Opens what `open_encoder` does, timed."""

    def open_timed(width: int, height: int, *, quality: int) -> TimedEncoder:
        return TimedEncoder(open_encoder(width, height, quality=quality), form, taken)

    return open_timed
