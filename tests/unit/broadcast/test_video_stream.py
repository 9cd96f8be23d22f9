import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.avc420_decoder import Avc420Decoder
from support.guest_image import video
from support.pictures import psnr
from support.waiting import wait_until

from sidecar.broadcast.video import (
    FEWEST_TILES,
    IDLE,
    KEY_FRAME_INTERVAL,
    PATIENCE,
    VideoStream,
    remainder,
    worthwhile,
)
from sidecar.encode.form import Codec, Form
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame

FORM = Form(Codec.AVC420)
ALL = np.ones((8, 10), np.bool_)


class FakeEncoder:
    """Stands for x264, so that what is asked of it can be seen and it can be made to wait or fail."""

    def __init__(self, width: int, height: int, *, quality: int) -> None:
        self.size, self.quality = (width, height), quality
        self.calls: list[tuple[list[Rectangle], bool]] = []
        self.closed = False
        self.running = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.failure: Exception | None = None

    def encode(self, pixels, areas, key_frame) -> bytes:
        self.running.set()
        assert self.go_on.wait(10)
        assert not self.closed
        if self.failure:
            raise self.failure
        self.calls.append((list(areas), key_frame))
        return b"picture %d" % len(self.calls)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def encoders():
    return []


@pytest.fixture
def stream(pool, encoders):
    def open_encoder(width: int, height: int, *, quality: int) -> FakeEncoder:
        encoders.append(FakeEncoder(width, height, quality=quality))
        return encoders[-1]

    return VideoStream(Frame(640, 480, 1), FORM, pool, open_encoder=open_encoder)


def plan_only() -> VideoStream[str]:
    """A stream whose pictures nobody makes."""
    return VideoStream(Frame(640, 480, 1), FORM, ThreadPoolExecutor(1))


def step(stream: VideoStream[str], now: float, *ready: str):
    """Plans, and has a planned picture done at once; (who gets it, key frame), or when to ask again."""
    picture, again = stream.plan(now, set(ready))
    if picture is None:
        return again
    stream.busy = False
    return "".join(sorted(picture.watchers)), picture.key_frame


def test_the_first_picture_is_a_key_frame_for_all_who_are_ready():
    stream = plan_only()
    assert step(stream, 0.0, "a", "b") == ("ab", True)
    assert stream.members == {"a", "b"}
    assert step(stream, 0.03, "a", "b") == ("ab", False)


def test_without_anybody_ready_no_picture_is_made():
    stream = plan_only()
    assert step(stream, 0.0) == inf
    step(stream, 0.0, "a")
    assert step(stream, 100.0) == inf
    assert stream.members == {"a"}, "who is alone is waited for without end"
    assert step(stream, 200.0, "a") == ("a", False)


def test_members_that_are_not_ready_are_waited_for_a_while():
    stream = plan_only()
    step(stream, 0.0, "a", "b")
    assert step(stream, 1.0, "a") == pytest.approx(1.0 + PATIENCE)
    assert step(stream, 1.0 + PATIENCE / 2, "a") == pytest.approx(1.0 + PATIENCE)
    assert step(stream, 1.0 + PATIENCE / 2, "a", "b") == ("ab", False)
    # the patience begins anew, even if there was no picture for long
    assert step(stream, 5.0, "a") == pytest.approx(5.0 + PATIENCE)


def test_who_keeps_the_others_waiting_falls_out():
    stream = plan_only()
    step(stream, 0.0, "a", "b")
    step(stream, 1.0, "a")
    assert step(stream, 1.0 + PATIENCE, "a") == ("a", False)
    assert stream.members == {"a"}


def test_patience_does_not_outlast_a_wait_that_was_given_up():
    stream = plan_only()
    step(stream, 0.0, "a", "b")
    step(stream, 1.0, "a")
    assert step(stream, 9.0, "a") == pytest.approx(9.0 + PATIENCE)


def test_who_fell_out_comes_back_by_a_key_frame():
    stream = plan_only()
    step(stream, 0.0, "a", "b")
    step(stream, 1.0, "a")
    step(stream, 1.1, "a")
    assert step(stream, 1.2, "a", "b") == ("ab", True)
    assert step(stream, 1.3, "a", "b") == ("ab", False)


def test_key_frames_keep_their_distance_and_the_others_go_on_meanwhile():
    stream = plan_only()
    step(stream, 0.0, "a")
    picture, again = stream.plan(0.1, {"a", "b"})
    assert picture is not None
    assert (picture.watchers, picture.key_frame) == ({"a"}, False)
    assert again == pytest.approx(KEY_FRAME_INTERVAL), "somebody waits for a key frame"
    stream.busy = False
    assert step(stream, 0.2, "b") == pytest.approx(KEY_FRAME_INTERVAL)
    assert step(stream, KEY_FRAME_INTERVAL, "a", "b") == ("ab", True)


def test_a_key_frame_waits_for_members_as_well():
    stream = plan_only()
    step(stream, 0.0, "a")
    assert step(stream, 1.0, "b") == pytest.approx(1.0 + PATIENCE)
    assert step(stream, 1.05, "a", "b") == ("ab", True)
    step(stream, 2.0, "b")
    assert step(stream, 2.0 + PATIENCE, "b", "c") == ("bc", True)
    assert stream.members == {"b", "c"}


def test_who_is_dropped_needs_a_key_frame():
    stream = plan_only()
    step(stream, 0.0, "a", "b")
    stream.drop("b")
    stream.drop("never there")
    assert step(stream, 0.1, "a", "b") == ("a", False)
    assert step(stream, 0.6, "a", "b") == ("ab", True)


def test_one_picture_is_made_at_a_time():
    stream = plan_only()
    assert stream.plan(0.0, {"a"})[0] is not None
    assert stream.plan(1.0, {"a", "b"}) == (None, inf)


@given(
    st.lists(
        st.tuples(st.floats(0, 0.3), st.frozensets(st.sampled_from("abcd")), st.sampled_from(["", *"abcd"])),
        max_size=60,
    )
)
def test_whoever_gets_a_picture_can_decode_it_whatever_happens(steps):
    stream = plan_only()
    # for each watcher the number of the last picture that it got, None: its decoder holds nothing
    got: dict[str, int | None] = dict.fromkeys("abcd")
    made, now, last_key_frame = 0, 0.0, -inf
    for passed, ready, dropped in steps:
        now += passed
        if dropped:
            stream.drop(dropped)
            got[dropped] = None
        picture, again = stream.plan(now, ready)
        if picture is None:
            assert again > now
            continue
        stream.busy = False
        made += 1
        assert picture.watchers
        assert picture.watchers <= ready
        assert stream.members == picture.watchers
        if picture.key_frame:
            assert now - last_key_frame >= KEY_FRAME_INTERVAL
            last_key_frame = now
        for watcher in picture.watchers:
            assert picture.key_frame or got[watcher] == made - 1
            got[watcher] = made


def picture_of(stream: VideoStream[str], now: float, *ready: str):
    picture, _ = stream.plan(now, set(ready))
    assert picture is not None
    return picture


async def test_a_picture_is_one_segment_of_the_whole_frame(stream, encoders):
    mask = np.zeros((8, 10), np.bool_)
    mask[1, 2:5] = True
    segment = await stream.encode(picture_of(stream, 0.0, "a"), mask)
    assert (segment.rectangle, segment.encoding, segment.body, segment.lossy) == (
        Rectangle(0, 0, 640, 480),
        Codec.AVC420,
        b"picture 1",
        True,
    )
    await stream.encode(picture_of(stream, 0.1, "a"), ALL)
    (encoder,) = encoders
    assert encoder.calls[0] == ([Rectangle(128, 64, 192, 64)], True)
    assert encoder.calls[1][1] is False
    assert sum(area.area for area in encoder.calls[1][0]) == 640 * 480
    assert (stream.pictures, stream.key_frames, stream.encoded_bytes) == (2, 1, 18)


async def test_the_quality_is_that_of_the_form(pool, encoders):
    def open_encoder(width: int, height: int, *, quality: int) -> FakeEncoder:
        encoders.append(FakeEncoder(width, height, quality=quality))
        return encoders[-1]

    form = Form(Codec.AVC420, jpeg_quality=40)
    stream = VideoStream(Frame(100, 80, 1), form, pool, open_encoder=open_encoder)
    await stream.encode(picture_of(stream, 0.0, "a"), np.ones((2, 2), np.bool_))
    assert (encoders[0].size, encoders[0].quality) == ((100, 80), 40)


async def test_a_picture_that_fails_is_lost_to_everybody(stream, encoders):
    await stream.encode(picture_of(stream, 0.0, "a", "b"), ALL)
    encoders[0].failure = RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"):
        await stream.encode(picture_of(stream, 1.0, "a", "b"), ALL)
    assert encoders[0].closed
    assert not stream.members
    picture = picture_of(stream, 2.0, "a", "b")
    assert picture.key_frame
    await stream.encode(picture, ALL)
    assert len(encoders) == 2


async def test_a_picture_whose_task_is_cancelled_is_lost_to_everybody(stream, encoders):
    await stream.encode(picture_of(stream, 0.0, "a"), ALL)
    encoders[0].running.clear()
    encoders[0].go_on.clear()
    task = asyncio.create_task(stream.encode(picture_of(stream, 0.1, "a"), ALL))
    await asyncio.to_thread(encoders[0].running.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not stream.members
    assert not encoders[0].closed, "another thread works with it"
    picture = picture_of(stream, 1.0, "a")
    assert picture.key_frame
    await stream.encode(picture, ALL)
    encoders[0].go_on.set()
    await asyncio.to_thread(wait_until_closed, encoders[0])


def wait_until_closed(encoder: FakeEncoder) -> None:
    wait_until(lambda: encoder.closed, "the encoder is closed")


async def test_closing_waits_for_the_picture_that_is_being_made(stream, encoders):
    await stream.encode(picture_of(stream, 0.0, "a"), ALL)
    encoders[0].running.clear()
    encoders[0].go_on.clear()
    task = asyncio.create_task(stream.encode(picture_of(stream, 0.1, "a"), ALL))
    await asyncio.to_thread(encoders[0].running.wait, 10)
    stream.close()
    assert not encoders[0].closed
    encoders[0].go_on.set()
    assert (await task).body == b"picture 2"
    await asyncio.to_thread(wait_until_closed, encoders[0])
    assert not stream.members


async def test_a_closed_stream_gives_its_encoder_back_and_may_begin_anew(stream, encoders):
    stream.close()
    assert not encoders
    await stream.encode(picture_of(stream, 0.0, "a"), ALL)
    stream.close()
    stream.close()
    assert encoders[0].closed
    picture = picture_of(stream, 1.0, "a")
    assert picture.key_frame
    await stream.encode(picture, ALL)
    assert [encoder.closed for encoder in encoders] == [True, False]


async def test_a_stream_is_idle_some_seconds_after_its_last_picture(stream):
    assert stream.idle(0.0), "there was none"
    picture = picture_of(stream, 1.0, "a")
    assert not stream.idle(1.0 + 2 * IDLE), "one is being made"
    await stream.encode(picture, ALL)
    assert not stream.idle(1.0 + IDLE)
    assert stream.idle(1.1 + IDLE)


def test_a_frame_that_is_too_large_has_no_stream(pool):
    with pytest.raises(ValueError, match=r"no H\.264 pictures of 5000x100"):
        VideoStream(Frame(5000, 100, 1), FORM, pool)


def test_a_picture_is_worthwhile_when_enough_moves():
    mask = np.zeros((8, 10), np.bool_)
    mask.reshape(-1)[: FEWEST_TILES - 1] = True
    assert not worthwhile(mask)
    mask[7, 9] = True
    assert worthwhile(mask)


def test_what_pictures_do_not_show_is_the_last_row_of_an_odd_height():
    mask = np.zeros((2, 3), np.bool_)
    mask[0, :] = True
    mask[1, 0] = mask[1, 2] = True
    assert remainder(Frame(150, 101, 1), mask) == [Rectangle(0, 100, 64, 1), Rectangle(128, 100, 22, 1)]
    assert remainder(Frame(150, 100, 1), mask) == []
    mask[1] = False
    assert remainder(Frame(150, 101, 1), mask) == []
    assert remainder(Frame(3, 1, 1), np.ones((1, 1), np.bool_)) == []


async def test_who_joins_late_sees_what_the_others_see(pool):
    stream = VideoStream(Frame(640, 480, 1), FORM, pool)
    decoders = {watcher: Avc420Decoder() for watcher in "ab"}
    screens = {watcher: np.zeros((480, 640), np.uint32) for watcher in "ab"}
    for number in range(8):
        now = 0.2 * number
        stream.frame.pixels[:] = video(2 * number)
        ready = {"a"} if number < 3 else {"a", "b"}
        picture, _ = stream.plan(now, ready)
        segment = await stream.encode(picture, ALL)
        for watcher in picture.watchers:
            decoders[watcher](segment.body, screens[watcher], (0, 0, 640, 480))
            assert psnr(screens[watcher], video(2 * number)) >= 30
    np.testing.assert_array_equal(screens["a"], screens["b"])
    stream.close()
