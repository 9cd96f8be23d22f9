"""A message over the picture of one client: drawn on what it is sent, so that no other client's is touched.

Whenever something is sent that lies under the box, the box is sent after it in the same update: what is
encoded for all stays what it is, and around the box the picture goes on. When it is over, the client is sent
again what lay under it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from sidecar.broadcast.last_words import encoded_box
from sidecar.broadcast.receiver import Update
from sidecar.encode.form import Form, Segment
from sidecar.screen.damage import MAX_COLUMNS, MAX_TILES
from sidecar.screen.notice import notice_box
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE

PIECE: Final = MAX_COLUMNS * TILE, MAX_TILES // MAX_COLUMNS * TILE
"""Width and height of what every encoding can carry that takes more than a tile."""

NOWHERE: Final = Rectangle(0, 0, 0, 0)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Box:
    """The box for one size of screen in one form."""

    area: Rectangle
    segments: tuple[Segment, ...]


_boxes: WeakValueDictionary[tuple[int, int, str, Form], _Box] = WeakValueDictionary()
"""Those that some message shows now: one for all who get the same."""


class Message:
    """`text` on one client's screen. Belongs to the main loop; for one receiver, see `Receiver.cover`.

    `over` is called when the box has been shown for `seconds`, which begin when it was sent first: a client
    that asks for nothing, because nobody can see its window, shows it later.
    """

    __slots__ = ("_area", "_box", "_ended", "_seconds", "_text", "_timer")

    def __init__(self, text: str, seconds: float, ended: Callable[[], None]) -> None:
        self._text = text
        self._seconds = seconds
        self._ended = ended
        self._area = NOWHERE
        self._box: tuple[tuple[int, int, str, Form], _Box] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def place(self, visible: Rectangle) -> Rectangle:
        """Where the box goes on a screen of which so much can be seen."""
        self._area, _ = notice_box(visible.width, visible.height, self._text)
        return self._area

    def over(self, update: Update, visible: Rectangle, form: Form) -> Update:
        """`update` for a client with that screen that takes `form`: with the box on it if it touches that."""
        box = self._encoded(visible, form)
        self._area = box.area
        if not any(segment.rectangle.intersect(box.area).area for segment in update.segments):
            return update
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._ended)
        return Update([*update.segments, *box.segments])

    def close(self) -> Rectangle:
        """Ends it; what has to be sent again."""
        if self._timer is not None:
            self._timer.cancel()
        self._box = None
        return self._area

    def _encoded(self, visible: Rectangle, form: Form) -> _Box:
        key = visible.width, visible.height, self._text, form
        if self._box is not None and self._box[0] == key:
            return self._box[1]
        box = _boxes.get(key)
        if box is None:
            area, pixels = notice_box(visible.width, visible.height, self._text)
            piece = (TILE, TILE) if form.encoding.max_tiles == 1 else PIECE
            box = _boxes[key] = _Box(area, encoded_box(area, pixels, form=form, piece=piece))
        self._box = key, box
        return box
