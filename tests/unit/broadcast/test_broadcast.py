"""One picture for many receivers: what each gets, when, and what happens when something fails.

The encoder of what moves is a double here, since the order of events is what matters; real ones are in
test_rdp_server_video.py and test_avc420.py.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.film import FilmTime
from support.synthetic_guest import SyntheticConsole

from sidecar.broadcast import broadcast as module
from sidecar.broadcast.broadcast import Broadcast
from sidecar.broadcast.receiver import Receiver, Update
from sidecar.encode.form import Codec, Form
from sidecar.encode.store import SegmentStore
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame, Pixels
from sidecar.session.registry import Registry

EXACT = Form(Codec.UNCOMPRESSED)
VIDEO = Form(Codec.AVC420)

SIZE = (512, 385)
"""An odd height: the last row is in no picture."""


class Recorder:
    """A double of the H.264 encoder: its pictures are their numbers."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.pictures: list[tuple[list[Rectangle], bool]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.fails = False

    def __call__(self, width: int, height: int, *, quality: int) -> "Recorder":
        self.opened += 1
        return self

    def encode(self, pixels: Pixels, areas: list[Rectangle], key_frame: bool) -> bytes:
        assert self.may_go_on.wait(10)
        if self.fails:
            raise RuntimeError("no picture")
        self.pictures.append((areas, key_frame))
        return len(self.pictures).to_bytes(4, "little")

    def close(self) -> None:
        self.closed += 1


class Watcher(Receiver):
    """Keeps what it gets. Exact segments are drawn, video is remembered."""

    def __init__(self, frame: Frame, *, video: bool = True) -> None:
        session = Registry().connect("rdp", "tcp", "", end=lambda reason: None)
        self.failures: list[BaseException] = []
        super().__init__(session, frame, EXACT, fail=self.failures.append)
        self.lossy = VIDEO if video else None
        self.adopt_frame = self.adopted
        self.shown = np.zeros((frame.height, frame.width), np.uint32)
        self.videos: list[int] = []
        self.has_room = True
        self.is_visible = True
        self.breaks = False

    def adopted(self, frame: Frame) -> None:
        self.canvas.adopt(frame, resize=True)
        self.shown = np.zeros((frame.height, frame.width), np.uint32)

    @property
    def area(self) -> Rectangle | None:
        return self.canvas.frame.bounds if self.is_visible else None

    @property
    def ready(self) -> bool:
        return self.has_room and not self.job

    def send_update(self, update: Update, now: float) -> None:
        if self.breaks:
            raise RuntimeError("cannot be sent")
        for segment in update.segments:
            x, y, width, height = segment.rectangle
            if segment.encoding is Codec.AVC420:
                self.videos.append(int.from_bytes(segment.body, "little"))
            else:
                pixels = np.frombuffer(segment.body, "<u4").reshape(height, width) & 0xFFFFFF
                self.shown[y : y + height, x : x + width] = pixels


class Studio:
    def __init__(
        self, console: SyntheticConsole, broadcast: Broadcast, recorder: Recorder, time: FilmTime
    ) -> None:
        self.console = console
        self.broadcast = broadcast
        self.recorder = recorder
        self.time = time
        self._number = 0

    def watcher(self, **options: Any) -> Watcher:
        watcher = Watcher(self.console.surface.frame, **options)
        self.broadcast.add(watcher)
        return watcher

    def move(self) -> None:
        """The whole screen changes, as the next picture of a film does."""
        self.time.picture()
        self._number += 1
        frame = self.console.surface.frame
        pixels = np.random.default_rng(self._number).integers(0, 1 << 24, (frame.height, frame.width))
        self.console.draw(0, 0, pixels.astype(np.uint32))

    async def film(self, seen: Callable[[], Any]) -> None:
        """Moves until `seen`."""
        async with asyncio.timeout(30):
            while not seen():
                self.move()
                await asyncio.sleep(0.02)

    async def rest(self, *watchers: Watcher) -> None:
        """Moves no more, until these show exactly what is there."""
        self.time.end()
        await until(lambda: self.is_exact(*watchers))

    def is_exact(self, *watchers: Watcher) -> bool:
        return all(np.array_equal(each.shown, self.console.surface.frame.pixels) for each in watchers)


@contextlib.asynccontextmanager
async def studio() -> AsyncIterator[Studio]:
    """At its end no timer, task or encoder of the broadcast is left."""
    tasks, recorder, time = asyncio.all_tasks(), Recorder(), FilmTime()
    console = SyntheticConsole(0, *SIZE)
    with ThreadPoolExecutor(2) as pool:
        broadcast = Broadcast(console, SegmentStore(pool), recorder, clock=time)
        try:
            yield Studio(console, broadcast, recorder, time)
        finally:
            recorder.may_go_on.set()
            broadcast.close()
        await until(lambda: not asyncio.all_tasks() - tasks)
    assert recorder.opened == recorder.closed
    assert len(console.changes) == 0


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_moves_is_one_picture_for_all_who_take_video_and_exact_at_rest() -> None:
    async with studio() as here:
        one, other, exact = here.watcher(), here.watcher(), here.watcher(video=False)
        await here.rest(one, other, exact)
        await here.film(lambda: len(one.videos) >= 5)
        assert one.videos == other.videos
        assert exact.videos == []
        assert here.recorder.opened == 1
        await here.rest(one, other, exact)
        assert len(here.recorder.pictures) == len(one.videos)


async def test_the_last_row_of_an_odd_height_goes_along_exactly() -> None:
    async with studio() as here:
        watcher = here.watcher()
        await here.film(lambda: len(watcher.videos) >= 3)
        watcher.has_room = False
        before = len(watcher.videos)
        here.move()
        watcher.has_room = True
        here.broadcast.wake()
        await until(lambda: len(watcher.videos) > before)
        assert np.array_equal(watcher.shown[-1], here.console.surface.frame.pixels[-1])
        assert not here.is_exact(watcher)


async def test_a_newcomer_gets_a_key_frame_first() -> None:
    async with studio() as here:
        one = here.watcher()
        await here.film(lambda: len(one.videos) >= 3)
        other = here.watcher()
        await here.film(lambda: len(other.videos) >= 2)
        key_frames = [number for number, (_, key) in enumerate(here.recorder.pictures, 1) if key]
        assert other.videos[0] in key_frames
        assert key_frames[0] == one.videos[0] == 1
        assert other.videos == one.videos[one.videos.index(other.videos[0]) :][: len(other.videos)]


async def test_a_newcomer_is_served_when_the_only_watcher_leaves_amid_its_picture() -> None:
    async with studio() as here:
        one = here.watcher()
        await here.film(lambda: len(one.videos) >= 3)
        here.recorder.may_go_on.clear()
        await here.film(lambda: one.job)
        other = here.watcher()
        here.move()
        await asyncio.sleep(0.05)
        here.broadcast.remove(one)
        # until all timers of the film have run out
        here.time.end()
        await asyncio.sleep(3 * module.REFINE)
        here.recorder.may_go_on.set()
        # nothing moves any more: nothing but the end of that picture can wake it
        await here.rest(other)


async def test_an_encoder_that_fails_is_not_asked_again_and_all_is_shown_exactly() -> None:
    async with studio() as here:
        one, other = here.watcher(), here.watcher()
        await here.film(lambda: len(one.videos) >= 3)
        here.recorder.fails = True
        before = list(one.videos)
        await here.film(lambda: here.recorder.closed)
        await here.rest(one, other)
        here.recorder.fails = False
        for _ in range(10):
            here.move()
            await here.rest(one, other)
        assert one.videos[: len(before)] == before
        assert len(one.videos) == len(here.recorder.pictures)
        assert one.failures == other.failures == []


async def test_another_size_amid_a_picture_begins_another_stream() -> None:
    async with studio() as here:
        watcher = here.watcher()
        await here.film(lambda: len(watcher.videos) >= 3)
        here.recorder.may_go_on.clear()
        await here.film(lambda: watcher.job)
        before = len(watcher.videos)
        here.console.resize(512, 512)
        here.move()
        await asyncio.sleep(0.05)
        here.recorder.may_go_on.set()
        await here.rest(watcher)
        # the picture of the old size is nobody's any more
        assert len(watcher.videos) == before
        await here.film(lambda: len(watcher.videos) >= before + 2)
        assert here.recorder.opened == 2
        assert here.recorder.pictures[-1][0]


async def test_a_watcher_whose_decoder_begins_anew_amid_a_picture_does_not_get_it() -> None:
    async with studio() as here:
        watcher = here.watcher()
        await here.film(lambda: len(watcher.videos) >= 3)
        here.recorder.may_go_on.clear()
        await here.film(lambda: watcher.job)
        before = len(watcher.videos)
        here.broadcast.restart_video(watcher)
        here.recorder.may_go_on.set()
        await here.film(lambda: len(watcher.videos) > before)
        key_frames = [number for number, (_, key) in enumerate(here.recorder.pictures, 1) if key]
        assert watcher.videos[before] in key_frames
        await here.rest(watcher)


async def test_a_watcher_that_has_no_room_is_left_out_and_comes_back_by_a_key_frame() -> None:
    async with studio() as here:
        one, stuck = here.watcher(), here.watcher()
        await here.film(lambda: len(one.videos) >= 3)
        stuck.has_room = False
        count = len(one.videos)
        await here.film(lambda: len(one.videos) >= count + 4)
        left_out = len(stuck.videos)
        assert left_out < len(one.videos)
        stuck.has_room = True
        await here.film(lambda: len(stuck.videos) > left_out)
        key_frames = [number for number, (_, key) in enumerate(here.recorder.pictures, 1) if key]
        assert stuck.videos[left_out] in key_frames


async def test_a_hidden_watcher_gets_nothing_of_what_was_on_its_way() -> None:
    async with studio() as here:
        watcher = here.watcher()
        await here.film(lambda: len(watcher.videos) >= 3)
        here.recorder.may_go_on.clear()
        await here.film(lambda: watcher.job)
        before = len(watcher.videos)
        watcher.is_visible = False
        here.recorder.may_go_on.set()
        await until(lambda: not watcher.job)
        assert len(watcher.videos) == before
        watcher.is_visible = True
        here.broadcast.wake_for(watcher)
        await here.rest(watcher)


async def test_a_watcher_that_cannot_be_sent_to_fails_alone() -> None:
    async with studio() as here:
        broken, good = here.watcher(), here.watcher()
        await here.rest(broken, good)
        broken.breaks = True
        here.move()
        await here.rest(good)
        assert [str(failure) for failure in broken.failures] == ["cannot be sent"]


async def test_an_exact_encoder_that_fails_fails_those_who_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with studio() as here:
        watcher = here.watcher(video=False)
        await here.rest(watcher)

        def fail(*_: object) -> None:
            raise RuntimeError("a fault of an encoder")

        monkeypatch.setattr("sidecar.encode.store._encode_all", fail)
        here.move()
        await until(lambda: watcher.failures)
        monkeypatch.undo()
        other = here.watcher(video=False)
        await here.rest(other)


async def test_a_stream_that_nobody_needs_gives_its_encoder_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.05)
    monkeypatch.setattr("sidecar.broadcast.video.IDLE", 0.05)
    async with studio() as here:
        watcher = here.watcher()
        await here.film(lambda: len(watcher.videos) >= 3)
        await until(lambda: here.recorder.closed >= 1)
        await here.film(lambda: here.recorder.opened >= 2)
        await here.rest(watcher)


async def test_closing_amid_a_picture_leaves_nothing() -> None:
    async with studio() as here:
        watcher = here.watcher()
        await here.film(lambda: len(watcher.videos) >= 3)
        here.recorder.may_go_on.clear()
        await here.film(lambda: watcher.job)
        asyncio.get_running_loop().call_later(0.05, here.recorder.may_go_on.set)
        here.broadcast.close()
        await asyncio.sleep(0.1)
