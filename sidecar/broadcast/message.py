"""A message over the picture of one client: drawn on what it is sent, so that no other client's is touched.

Whenever something is sent that lies under the box, the box is sent after it in the same update: what is
encoded for all stays what it is, and around the box the picture goes on. When it is over, the client is sent
again what lay under it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
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


_Key: TypeAlias = tuple[int, int, str, Form]
"""Width and height of what can be seen, the text, and the form."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Box:
    """The box for one size of screen in one form."""

    area: Rectangle
    segments: tuple[Segment, ...]


_boxes: WeakValueDictionary[_Key, _Box] = WeakValueDictionary()
"""Those that some message shows now: one for all who get the same."""


class Message:
    """`text` on one client's screen. Belongs to the main loop; for one receiver at a time, see `cover` there.

    `ended` is called when the box has been shown for `seconds`, which begin when it was sent first: a client
    that asks for nothing, because nobody can see its window, shows it later.
    """

    __slots__ = ("_area", "_box", "_ended", "_key", "_seconds", "_text", "_timer")

    def __init__(self, text: str, seconds: float, ended: Callable[[], None]) -> None:
        self._text = text
        self._seconds = seconds
        self._ended = ended
        self._area = NOWHERE
        self._key: _Key | None = None
        self._box = _Box(NOWHERE, ())
        """The box for `_key`."""
        self._timer: asyncio.TimerHandle | None = None

    async def prepare(self, visible: Rectangle, form: Form) -> None:
        """Has the box made off the main loop for a screen of which so much can be seen, in `form`."""
        key = visible.width, visible.height, self._text, form
        box = _boxes.get(key)
        if box is None:
            box = _boxes.setdefault(key, await asyncio.to_thread(_made, *key))
        self._keep(key, box)

    def place(self, visible: Rectangle, form: Form) -> Rectangle:
        """Where the box goes on such a screen."""
        self._area = self._encoded(visible, form).area
        return self._area

    def over(self, update: Update, visible: Rectangle, form: Form) -> Update:
        """`update` for a client with such a screen: with the box on it if it touches that."""
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
        return self._area

    def _encoded(self, visible: Rectangle, form: Form) -> _Box:
        key = visible.width, visible.height, self._text, form
        if key != self._key:
            box = _boxes.get(key)
            if box is None:
                # the client has changed its mind: rare enough for the main loop
                box = _boxes[key] = _made(*key)
            self._keep(key, box)
        return self._box

    def _keep(self, key: _Key, box: _Box) -> None:
        self._key, self._box = key, box


def _made(width: int, height: int, text: str, form: Form) -> _Box:
    area, pixels = notice_box(width, height, text)
    piece = (TILE, TILE) if form.encoding.max_tiles == 1 else PIECE
    return _Box(area, encoded_box(area, pixels, form=form, piece=piece))


class Messages:
    """What one client is shown, one message at a time.

    `cover` lays a message over its picture, in place of one before, or takes it away. `screen` tells how much
    the client can see and the form that it takes now, None as long as that is not known. `spawn` has a
    coroutine run to its end.
    """

    __slots__ = ("_cover", "_newest", "_screen", "_spawn")

    def __init__(
        self,
        *,
        cover: Callable[[Message | None], None],
        screen: Callable[[], tuple[Rectangle, Form] | None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._cover = cover
        self._screen = screen
        self._spawn = spawn
        self._newest: Message | None = None

    def show(self, text: str, seconds: float) -> None:
        """Shows a message soon; see `Session.show`."""
        self._newest = Message(text, seconds, lambda: self._cover(None))
        self._spawn(self._prepare(self._newest))

    def close(self) -> None:
        """Shows no more."""
        self._newest = None
        self._cover(None)

    async def _prepare(self, message: Message) -> None:
        screen = self._screen()
        if screen is not None:
            await message.prepare(*screen)
        if self._newest is message:
            self._cover(message)
