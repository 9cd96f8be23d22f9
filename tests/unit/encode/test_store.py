import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sidecar.encode import store as store_module
from sidecar.encode.encoders import encode
from sidecar.encode.form import Encoding, Form
from sidecar.encode.store import OVERHEAD, SegmentStore
from sidecar.screen.damage import rectangles
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Surface

TIGHT = Form.of(Encoding.TIGHT)
RAW = Form.of(Encoding.RAW)
LEFT = Rectangle(0, 0, 64, 64)
RIGHT = Rectangle(64, 0, 64, 64)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def surface():
    surface = Surface(256, 128)
    surface.write(0, 0, np.random.default_rng(0).integers(0, 1 << 24, (128, 256), dtype=np.uint32))
    return surface


class Gate:
    """Stands in front of the real encoder: counts, holds jobs back, and fails on request."""

    def __init__(self, monkeypatch):
        self.encoded = []
        self.open = threading.Event()
        self.open.set()
        self.error = None
        monkeypatch.setattr(store_module, "encode", self)

    def __call__(self, rectangle, pixels, form):
        assert self.open.wait(30)
        self.encoded.append(rectangle)
        if self.error:
            raise self.error
        return encode(rectangle, pixels, form)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def ask(store, surface, areas, form=TIGHT, console=0):
    frame = surface.frame
    return store.segments(console, frame, frame.versions.copy(), areas, form)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def without_waiting(coroutine):
    """The result of a coroutine that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("it waited")


async def test_segments_come_in_the_order_asked_for_and_hold_their_pixels(executor, surface):
    store = SegmentStore(executor)
    segments = await ask(store, surface, [RIGHT, LEFT], RAW)
    assert [segment.rectangle for segment in segments] == [RIGHT, LEFT]
    for segment in segments:
        assert segment.body == surface.frame.snapshot(segment.rectangle).tobytes()


async def test_what_is_kept_is_given_out_without_waiting(executor, surface, gate):
    store = SegmentStore(executor)
    first = await ask(store, surface, [LEFT, RIGHT])
    again = without_waiting(ask(store, surface, [RIGHT, LEFT]))
    assert again == [first[1], first[0]]
    assert again[0] is first[1]
    assert store.at_hand(0, surface.frame.versions, [LEFT], TIGHT) == [first[0]]
    assert len(gate.encoded) == 2
    assert (store.hits, store.misses, store.joins) == (3, 2, 0)
    assert store.encoded_bytes == sum(len(segment.body) for segment in first)
    assert store.encode_seconds > 0


async def test_asking_for_what_is_at_hand_starts_nothing(executor, surface, gate):
    store = SegmentStore(executor)
    assert store.at_hand(0, surface.frame.versions, [LEFT], TIGHT) is None
    await ask(store, surface, [LEFT])
    assert store.at_hand(0, surface.frame.versions, [LEFT, RIGHT], TIGHT) is None
    assert gate.encoded == [LEFT]


async def test_many_who_want_the_same_at_once_share_one_encoding(executor, surface, gate):
    store = SegmentStore(executor)
    gate.open.clear()
    waiting = [asyncio.create_task(ask(store, surface, [LEFT, RIGHT])) for _ in range(16)]
    waiting.append(asyncio.create_task(ask(store, surface, [RIGHT])))
    await turns()
    gate.open.set()
    results = await asyncio.gather(*waiting)
    assert sorted(gate.encoded) == [LEFT, RIGHT]
    assert all(result[-1] is results[0][-1] for result in results)
    assert (store.misses, store.joins) == (2, 31)


async def test_the_same_rectangle_twice_in_one_call_is_encoded_once(executor, surface, gate):
    store = SegmentStore(executor)
    first, second = await ask(store, surface, [LEFT, LEFT])
    assert first is second
    assert gate.encoded == [LEFT]
    assert len(store) == 1


async def test_a_change_a_form_a_console_and_a_rectangle_each_make_another_segment(executor, surface, gate):
    store = SegmentStore(executor)
    await ask(store, surface, [LEFT, RIGHT])
    await ask(store, surface, [LEFT], RAW)
    await ask(store, surface, [LEFT], console=1)
    await ask(store, surface, [Rectangle(0, 0, 63, 64)])
    assert len(gate.encoded) == 5
    assert surface.write(3, 3, surface.frame.pixels[3:4, 3:4] ^ np.uint32(1))
    after = await ask(store, surface, [LEFT, RIGHT])
    assert gate.encoded[5:] == [LEFT]
    assert after[0].body == encode(LEFT, surface.frame.snapshot(LEFT), TIGHT).body


async def test_pixels_are_taken_after_the_versions_never_before(executor, surface, gate):
    store = SegmentStore(executor)
    frame = surface.frame
    versions = frame.versions.copy()
    surface.write(0, 0, np.full((64, 64), 0x00FF00, np.uint32))
    [segment] = await store.segments(0, frame, versions, [LEFT], RAW)
    assert segment.body == b"\x00\xff\x00\x00" * 4096


async def test_a_large_screen_is_shared_out_to_two_jobs_and_a_small_one_is_not(surface, gate):
    class Counting(ThreadPoolExecutor):
        jobs = 0

        def submit(self, *args, **kwargs):
            self.jobs += 1
            return super().submit(*args, **kwargs)

    with Counting(2) as pool:
        store = SegmentStore(pool)
        await ask(store, surface, [LEFT, RIGHT])
        assert pool.jobs == 1
        large = Surface(1920, 1080)
        whole = rectangles(np.ones(large.frame.versions.shape, np.bool_), large.frame)
        segments = await ask(store, large, whole)
        assert pool.jobs == 3
        assert [segment.rectangle for segment in segments] == whole


async def test_memory_stays_below_the_bound_and_the_longest_unused_goes_first(executor, surface):
    cost = 64 * 64 * 4 + 4 + OVERHEAD
    store = SegmentStore(executor, capacity=3 * cost)
    areas = [Rectangle(64 * column, 0, 64, 64) for column in range(4)]
    for area in areas[:3]:
        await ask(store, surface, [area], RAW)
    assert store.size == 3 * cost
    await ask(store, surface, areas[:1], RAW)
    await ask(store, surface, areas[3:], RAW)
    assert store.size == 3 * cost
    versions = surface.frame.versions
    kept = [store.at_hand(0, versions, [area], RAW) is not None for area in areas]
    assert kept == [True, False, True, True]
    for _ in range(20):
        surface.write(0, 0, surface.frame.pixels[:128, :256] ^ np.uint32(1))
        await ask(store, surface, areas, RAW)
        assert store.size <= 3 * cost
        assert len(store) == 3


async def test_a_segment_larger_than_the_bound_is_given_out_but_not_kept(executor, surface):
    store = SegmentStore(executor, capacity=1000)
    [segment] = await ask(store, surface, [LEFT], RAW)
    assert len(segment.body) == 64 * 64 * 4
    assert (len(store), store.size) == (0, 0)


async def test_a_caller_that_is_cancelled_disturbs_no_other(executor, surface, gate):
    store = SegmentStore(executor)
    gate.open.clear()
    first = asyncio.create_task(ask(store, surface, [LEFT]))
    await turns()
    second = asyncio.create_task(ask(store, surface, [LEFT]))
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open.set()
    [segment] = await second
    assert segment.rectangle == LEFT
    assert gate.encoded == [LEFT]


async def test_what_nobody_waits_for_any_more_is_kept_all_the_same(executor, surface, gate):
    store = SegmentStore(executor)
    gate.open.clear()
    only = asyncio.create_task(ask(store, surface, [LEFT]))
    await turns()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    gate.open.set()
    await ask(store, surface, [LEFT])
    assert gate.encoded == [LEFT]


async def test_an_encoders_error_reaches_all_who_wait_and_is_not_kept(executor, surface, gate):
    store = SegmentStore(executor)
    gate.open.clear()
    gate.error = MemoryError("no more")
    waiting = [asyncio.create_task(ask(store, surface, [LEFT])) for _ in range(3)]
    await turns()
    gate.open.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [MemoryError] * 3
    gate.error = None
    [segment] = await ask(store, surface, [LEFT])
    assert segment.rectangle == LEFT


async def test_an_error_that_nobody_waits_for_makes_no_noise(executor, surface, gate):
    noise = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    store = SegmentStore(executor)
    gate.open.clear()
    gate.error = MemoryError("no more")
    only = asyncio.create_task(ask(store, surface, [LEFT]))
    await turns()
    only.cancel()
    await asyncio.wait([only])
    gate.open.set()
    gate.error = None
    await ask(store, surface, [RIGHT])
    await turns()
    del only
    assert noise == []


class Measured:
    """Keeps what a store tells of its pictures."""

    def __init__(self):
        self.heard = []

    def encoded(self, encoding, seconds, size):
        self.heard.append((encoding, size))
        assert seconds > 0

    def sent(self, seconds):
        raise AssertionError("a store sends nothing")


async def test_each_job_is_told_to_who_measures_and_nothing_that_was_at_hand(executor, surface):
    store, measured = SegmentStore(executor), Measured()
    store.measure(measured)
    first = await ask(store, surface, [LEFT, RIGHT])
    await ask(store, surface, [LEFT])
    await ask(store, surface, [LEFT], RAW)
    size = sum(len(segment.body) for segment in first)
    assert measured.heard == [(Encoding.TIGHT, size), (Encoding.RAW, 4 * LEFT.area)]
    store.measure(None)
    await ask(store, surface, [RIGHT], RAW)
    assert len(measured.heard) == 2


async def test_jobs_are_counted_until_they_are_done_or_have_failed(executor, surface, gate):
    store = SegmentStore(executor)
    gate.open.clear()
    gate.error = RuntimeError("broken")
    asking = asyncio.ensure_future(ask(store, surface, [LEFT]))
    await turns()
    assert store.jobs == 1
    gate.open.set()
    with pytest.raises(RuntimeError):
        await asking
    assert store.jobs == 0
