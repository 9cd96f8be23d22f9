"""H.264 streams, each shared by all who watch one console in one form."""

import asyncio
from collections.abc import Hashable, Set
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from math import inf
from typing import Generic, Protocol, TypeVar

import numpy as np

from sidecar.broadcast.canvas import TileMask
from sidecar.encode.avc420 import DEFAULT_QUALITY, Avc420Encoder, avc_fits, covered
from sidecar.encode.form import Form, Segment
from sidecar.screen.damage import clip, rectangles
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame, Pixels

PATIENCE = 0.1
"""Seconds that those who are ready wait for a member that is not, before it falls out."""

KEY_FRAME_INTERVAL = 0.5
"""Fewest seconds between two key frames: each is as large as several other pictures."""

IDLE = 3.0
"""Seconds without a picture after which a stream is not worth its memory."""

FEWEST_TILES = 12
"""Moving tiles from which on a picture is worth making. Any picture of a large screen takes as long as a
hundred exact tiles; what is smaller than this is rather a spinner or a line of text than a film."""

Watcher = TypeVar("Watcher", bound=Hashable)


class PictureEncoder(Protocol):
    """What makes the pictures; see `Avc420Encoder`."""

    def encode(self, pixels: Pixels, areas: list[Rectangle], key_frame: bool) -> bytes:
        """The body of the picture's segment."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


class OpenEncoder(Protocol):
    """What begins a stream of pictures."""

    def __call__(self, width: int, height: int, *, quality: int) -> PictureEncoder:
        """An encoder for pictures of this size."""
        ...


@dataclass(frozen=True, slots=True)
class Picture(Generic[Watcher]):
    """A picture that is to be made now, for all of `watchers`."""

    watchers: frozenset[Watcher]
    key_frame: bool


class VideoStream(Generic[Watcher]):
    """The pictures of one frame in one form, and who can follow them. It belongs to the main loop.

    `members` have been sent every picture since the last key frame that they were sent. They get the next
    one even if they miss none of its tiles; who misses a picture is no member any more and comes back by a
    key frame only. What holds after each picture, for every member:

    * its decoder holds what this stream's encoder holds;
    * in the regions of the picture, which are the tiles that it was made for, its screen shows what the
      decoder holds, which is `frame` as it was then or later, with losses;
    * elsewhere its screen is untouched, whatever the decoder holds there.

    So exact segments may be drawn over the regions at any time: the decoder has frames of its own. But the
    regions of the next picture show what the encoder holds, so they may only be tiles that it is given anew.

    Whose decoder begins anew (a new surface, a reset) must be dropped. All members have a canvas of the
    frame's size. `pictures`, `key_frames` and `encoded_bytes` count what was made.
    """

    __slots__ = (
        "_encoding",
        "_executor",
        "_held_since",
        "_key_frame_at",
        "_open_encoder",
        "_picture_at",
        "busy",
        "encoded_bytes",
        "form",
        "frame",
        "key_frames",
        "members",
        "pictures",
    )

    def __init__(
        self, frame: Frame, form: Form, executor: Executor, *, open_encoder: OpenEncoder = Avc420Encoder
    ) -> None:
        """Opens no encoder yet. `form`: its `jpeg_quality` is the quality, None stands for the default.

        Raises ValueError for a frame that no H.264 picture can show (`avc_fits`).
        """
        if not avc_fits(frame.width, frame.height):
            raise ValueError(f"no H.264 pictures of {frame.width}x{frame.height}")
        self.frame = frame
        self.form = form
        self.members: frozenset[Watcher] = frozenset()
        self.busy = False
        """Whether a picture is being made; there is one at a time."""
        self.pictures = 0
        self.key_frames = 0
        self.encoded_bytes = 0
        self._executor = executor
        self._open_encoder = open_encoder
        self._encoding: _Encoding | None = None
        self._picture_at = -inf
        self._key_frame_at = -inf
        self._held_since: float | None = None

    def plan(self, now: float, ready: Set[Watcher]) -> tuple[Picture[Watcher] | None, float]:
        """The picture to be made at `now`, if any, and when to ask again even if nothing else happens.

        `ready`: who wants a picture of this form and has room for it. Those among them who are no members
        wait for a key frame, of which there is at most one in KEY_FRAME_INTERVAL. Members that are not
        ready are waited for, but not longer than PATIENCE. The time is infinite where asking again would
        not help. Whoever plans a picture has it made by `encode`.
        """
        if self.busy:
            return None, inf
        waiting = frozenset(ready) - self.members
        key_frame_due = self._key_frame_at + KEY_FRAME_INTERVAL if waiting else inf
        key_frame = now >= key_frame_due
        watchers = frozenset(ready) if key_frame else self.members & ready
        if not watchers:
            return None, key_frame_due
        if not self.members <= watchers:
            # one who waited that long does not wait any more, so this is another wait
            if self._held_since is None or now > self._held_since + 2 * PATIENCE:
                self._held_since = now
            if now < self._held_since + PATIENCE:
                return None, self._held_since + PATIENCE
        self.members = watchers
        self.busy = True
        self._held_since = None
        self._picture_at = now
        if key_frame:
            self._key_frame_at = now
        return Picture(watchers, key_frame), inf if key_frame else key_frame_due

    async def encode(self, picture: Picture[Watcher], mask: TileMask) -> Segment:
        """Makes the picture that was planned, whose regions are the tiles of `mask`.

        The frame's versions are taken before. The segment's rectangle is the whole frame, though it shows
        only its regions. When this fails or is cancelled the picture is lost to everybody: all fall out,
        and what comes next is another stream of pictures.
        """
        areas = rectangles(mask, self.frame)
        try:
            if self._encoding is None:
                self._encoding = _Encoding(self.frame, self.form, self._open_encoder)
            body = await self._encoding.start(self._executor, areas, picture.key_frame)
        except BaseException:
            self.close()
            raise
        finally:
            self.busy = False
        self.pictures += 1
        self.key_frames += picture.key_frame
        self.encoded_bytes += len(body)
        return Segment(self.frame.bounds, self.form.encoding, body, lossy=True)

    def drop(self, watcher: Watcher) -> None:
        """Takes note that `watcher` has missed a picture, or will get no more; no member is no error."""
        self.members -= {watcher}

    def idle(self, now: float) -> bool:
        """Whether nothing has moved for so long that the stream should be closed."""
        return not self.busy and now - self._picture_at > IDLE

    def close(self) -> None:
        """Gives the encoder's memory back, when the picture that it makes is done; all fall out.

        Another picture may follow: it opens another encoder.
        """
        self.members = frozenset()
        if self._encoding is not None:
            self._encoding.close()
            self._encoding = None


class _Encoding:
    """An encoder that works in an executor, one picture at a time, opened by the first."""

    __slots__ = ("_encoder", "_form", "_frame", "_job", "_open_encoder")

    def __init__(self, frame: Frame, form: Form, open_encoder: OpenEncoder) -> None:
        self._frame = frame
        self._form = form
        self._open_encoder = open_encoder
        self._encoder: PictureEncoder | None = None
        self._job: Future[bytes] | None = None

    def start(self, executor: Executor, areas: list[Rectangle], key_frame: bool) -> asyncio.Future[bytes]:
        """The body of a picture, to be."""
        self._job = executor.submit(self._encode, areas, key_frame)
        return asyncio.wrap_future(self._job)

    def close(self) -> None:
        """Closes the encoder, now or by the thread that still works with it."""
        if self._job is not None:
            self._job.add_done_callback(self._close)

    def _encode(self, areas: list[Rectangle], key_frame: bool) -> bytes:
        """Runs in the executor: pixels are taken here, after the versions (`sidecar.screen.surface`)."""
        if self._encoder is None:
            quality = self._form.jpeg_quality or DEFAULT_QUALITY
            self._encoder = self._open_encoder(self._frame.width, self._frame.height, quality=quality)
        return self._encoder.encode(self._frame.pixels, areas, key_frame)

    def _close(self, _: Future[bytes]) -> None:
        if self._encoder is not None:
            self._encoder.close()


def worthwhile(mask: TileMask) -> bool:
    """Whether so much moves that a picture costs less than sending the tiles exactly."""
    return int(np.count_nonzero(mask)) >= FEWEST_TILES


def remainder(frame: Frame, mask: TileMask) -> list[Rectangle]:
    """What of the tiles of `mask` the pictures of a stream do not show: parts of the last row of an odd
    height. They have to be sent in another form."""
    top = covered(frame.width, frame.height).height
    if top == frame.height:
        return []
    rest = Rectangle(0, top, frame.width, frame.height - top)
    return clip(rectangles(mask, frame), rest)
