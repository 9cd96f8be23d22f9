"""Encode once, send to all: segments are kept by what they show and shared by every session."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor
from time import perf_counter
from typing import Final, Protocol

import numpy as np

from sidecar.encode.encoders import encode
from sidecar.encode.form import Codec, Encoding, Form, Segment
from sidecar.encode.scratch import scratch
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame, Pixels, Versions

CAPACITY: Final = 8 << 20
"""Bytes kept unless told. Sessions of one form ask within a few frames of each other, and a whole
1920x1080 screen takes 0.1 MB as text and 8 MB as it is: more would only hold what nobody asks for again."""

OVERHEAD: Final = 512
"""Bytes that an entry costs besides its body: key, segment, links."""

SPLIT_AREA: Final = 1 << 20
"""From so many pixels on the work is shared out to two jobs. They end sooner and take a tenth more processor
time, since both want the interpreter; a smaller screen is done in two milliseconds as it is."""

Key = tuple[int, Rectangle, bytes, Form]


class Measures(Protocol):
    """Who wants to know how long pictures take. Called on the main loop; neither method may raise."""

    def encoded(self, encoding: Encoding | Codec, seconds: float, size: int) -> None:
        """An encoder has worked so many seconds and made so many bytes."""
        ...

    def sent(self, seconds: float) -> None:
        """An update was handed to its connection, so long after the first change in it was told."""
        ...


class SegmentStore:
    """Segments by console, rectangle, versions of its tiles and form. It belongs to the main loop.

    `hits`, `misses` and `joins` count rectangles that were at hand, that had to be encoded, and that
    somebody else was having encoded; `evictions` those that were let go of to make room; `encode_seconds`
    is the time spent in encoders, `encoded_bytes` what came out of them, `size` the bytes kept now, `jobs`
    what encoders work at or have before them. `measures` hears of each; None: nobody wants to know.
    """

    __slots__ = (
        "_capacity",
        "_executor",
        "_kept",
        "_running",
        "encode_seconds",
        "encoded_bytes",
        "evictions",
        "hits",
        "jobs",
        "joins",
        "measures",
        "misses",
        "size",
    )

    def __init__(self, executor: Executor, capacity: int = CAPACITY) -> None:
        self._executor = executor
        self._capacity = capacity
        self._kept: OrderedDict[Key, Segment] = OrderedDict()
        self._running: dict[Key, _Place] = {}
        self.hits = 0
        self.misses = 0
        self.joins = 0
        self.evictions = 0
        self.jobs = 0
        self.measures: Measures | None = None
        self.encode_seconds = 0.0
        self.encoded_bytes = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def measure(self, measures: Measures | None) -> None:
        """Tells `measures` from now on how long pictures take; None: nobody."""
        self.measures = measures

    @property
    def executor(self) -> Executor:
        """Where encoders run."""
        return self._executor

    def at_hand(
        self, console: int, versions: Versions, rectangles: Sequence[Rectangle], form: Form
    ) -> list[Segment] | None:
        """The segments, in order, if all of them are kept; None if any is missing (nothing is started)."""
        found = []
        for key in _keys(console, versions, rectangles, form):
            segment = self._kept.get(key)
            if segment is None:
                return None
            self._kept.move_to_end(key)
            found.append(segment)
        self.hits += len(found)
        return found

    async def segments(
        self, console: int, frame: Frame, versions: Versions, rectangles: Sequence[Rectangle], form: Form
    ) -> list[Segment]:
        """The segments for `rectangles` (inside `frame`), one each, in order.

        `versions`: taken from `frame` before the call. What is shown under them is at least as new. When
        all is kept this does not suspend. A caller that is cancelled disturbs nobody else; what an encoder
        raises reaches all who wait for it.
        """
        found: list[Segment | None] = []
        places: list[tuple[int, _Place]] = []
        missing: dict[Key, list[int]] = {}
        for number, key in enumerate(_keys(console, versions, rectangles, form)):
            segment = self._kept.get(key)
            found.append(segment)
            if segment is not None:
                self._kept.move_to_end(key)
                self.hits += 1
            elif (place := self._running.get(key)) is not None:
                self.joins += 1
                places.append((number, place))
            else:
                missing.setdefault(key, []).append(number)
        if missing:
            self.misses += len(missing)
            started = self._start(frame, list(missing))
            for numbers, place in zip(missing.values(), started, strict=True):
                places += [(number, place) for number in numbers]
        for number, (job, index) in places:
            # shielded: the job is not this caller's alone
            done, _ = await asyncio.shield(job)
            found[number] = done[index]
        return [segment for segment in found if segment is not None]

    def _start(self, frame: Frame, keys: list[Key]) -> list["_Place"]:
        """Has `keys` encoded in one job, or in two of about the same area when there is much to do."""
        places: list[_Place] = []
        for part in _shares(keys):
            job = asyncio.get_running_loop().run_in_executor(
                self._executor, _encode_all, frame, [key[1] for key in part], part[0][3]
            )
            self.jobs += 1
            started = [(job, index) for index in range(len(part))]
            self._running.update(zip(part, started, strict=True))
            places += started

            def finish(job: "_Job", part: list[Key] = part) -> None:
                self._finish(job, part)

            # added before anybody waits: what is done is kept before its waiters go on
            job.add_done_callback(finish)
        return places

    def _finish(self, job: "_Job", keys: list[Key]) -> None:
        self.jobs -= 1
        for key in keys:
            del self._running[key]
        # asking for the exception also says that it was seen, if all who waited have gone
        if job.cancelled() or job.exception() is not None:
            return
        segments, seconds = job.result()
        size = sum(len(segment.body) for segment in segments)
        self.encode_seconds += seconds
        self.encoded_bytes += size
        if self.measures is not None:
            self.measures.encoded(keys[0][3].encoding, seconds, size)
        for key, segment in zip(keys, segments, strict=True):
            self._keep(key, segment)

    def _keep(self, key: Key, segment: Segment) -> None:
        cost = _cost(key, segment)
        if cost > self._capacity:
            return
        self._kept[key] = segment
        self.size += cost
        while self.size > self._capacity:
            self.size -= _cost(*self._kept.popitem(last=False))
            self.evictions += 1


_Job = asyncio.Future[tuple[list[Segment], float]]
_Place = tuple[_Job, int]
"""A running job, and which of its results is meant."""


def _keys(console: int, versions: Versions, rectangles: Sequence[Rectangle], form: Form) -> list[Key]:
    return [
        (
            console,
            area,
            versions[
                area.y // TILE : (area.y + area.height - 1) // TILE + 1,
                area.x // TILE : (area.x + area.width - 1) // TILE + 1,
            ].tobytes(),
            form,
        )
        for area in rectangles
    ]


def _cost(key: Key, segment: Segment) -> int:
    return len(segment.body) + len(key[2]) + OVERHEAD


def _shares(keys: list[Key]) -> list[list[Key]]:
    """`keys` in one part, or in two of about the same area."""
    total = sum(key[1].area for key in keys)
    if len(keys) < 2 or total < SPLIT_AREA:
        return [keys]
    area = 0
    for number, key in enumerate(keys[:-1], 1):
        area += key[1].area
        if 2 * area >= total:
            return [keys[:number], keys[number:]]
    return [keys[:-1], keys[-1:]]


def _encode_all(frame: Frame, rectangles: list[Rectangle], form: Form) -> tuple[list[Segment], float]:
    """Runs in the pool: pixels are taken here, after the versions, as `sidecar.screen.surface` demands."""
    begin = perf_counter()
    segments = [encode(area, copied(frame, area), form) for area in rectangles]
    return segments, perf_counter() - begin


def copied(frame: Frame, area: Rectangle) -> Pixels:
    """What `frame` shows at `area`, in scratch: (area.height, area.width), contiguous."""
    pixels = scratch("pixels", (area.height, area.width), np.uint32)
    np.copyto(pixels, frame.pixels[area.y : area.bottom, area.x : area.right])
    return pixels
