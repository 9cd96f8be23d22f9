"""Input events on their way to QEMU."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.guest import Button
from sidecar.qemu.input_queue import (
    IN_FLIGHT,
    MAX_WAITING,
    Click,
    Finger,
    FingerChange,
    InputEvent,
    InputQueue,
    Key,
    Motion,
    Position,
)
from sidecar.qemu.key_pace import BURST, INTERVAL, KeyPace


@pytest.fixture
async def queue() -> AsyncIterator[InputQueue]:
    queue = InputQueue()
    queue.open()
    yield queue
    queue.close()


async def everything(queue: InputQueue) -> list[InputEvent]:
    events: list[InputEvent] = []
    while len(queue):
        events += await queue.take()
        queue.done()
    return events


async def test_events_come_in_order_and_count_until_they_are_done(queue: InputQueue) -> None:
    events: list[InputEvent] = [
        Position(1, 2),
        Click(Button.LEFT, True),
        Key(30, True),
        Position(3, 4),
        Click(Button.LEFT, False),
    ]
    for event in events:
        queue.put(event)
    assert len(queue) == 5
    assert await queue.take() == events
    assert len(queue) == 5
    queue.done()
    assert len(queue) == 0


async def test_few_events_are_taken_at_once(queue: InputQueue) -> None:
    for number in range(1, 51):
        queue.put(Key(number, True))
    assert await queue.take() == [Key(number, True) for number in range(1, IN_FLIGHT + 1)]
    assert len(queue) == 50


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_keyboard_takes_a_few_keys_at_once_and_then_one_at_a_time() -> None:
    clock = Clock()
    pace = KeyPace(clock)
    assert pace.room == BURST
    assert pace.wait == 0
    pace.spend(BURST)
    assert pace.room == 0
    assert pace.wait == pytest.approx(INTERVAL)
    clock.now += INTERVAL * 1.5
    assert pace.room == 1
    pace.spend(1)
    assert pace.wait == pytest.approx(INTERVAL / 2)
    clock.now += 100
    assert pace.room == BURST


async def test_keys_wait_for_room_in_the_keyboard_and_what_follows_them_does_too() -> None:
    clock = Clock()
    queue = InputQueue(KeyPace(clock))
    queue.open()
    keys = [Key(number, True) for number in range(1, BURST + 3)]
    for key in keys[:-1]:
        queue.put(key)
    queue.put(Position(1, 1))
    queue.put(keys[-1])
    assert await queue.take() == keys[:BURST]
    waiting = asyncio.create_task(queue.take())
    for _ in range(3):
        await asyncio.sleep(INTERVAL)
    assert not waiting.done()
    clock.now += INTERVAL
    assert await waiting == [keys[BURST], Position(1, 1)]
    clock.now += INTERVAL
    assert await queue.take() == keys[-1:]
    queue.close()


async def test_repeats_that_the_keyboard_has_not_taken_are_merged() -> None:
    queue = InputQueue(KeyPace(Clock()))
    queue.open()
    for key in (Key(30, True), Key(31, True), *[Key(30, True)] * 50, Key(30, False), Key(30, True)):
        queue.put(key)
    assert await queue.take() == [Key(30, True), Key(31, True), Key(30, True), Key(30, False), Key(30, True)]
    queue.put(Key(30, True))
    assert len(queue) == 6
    queue.close()


async def test_motion_does_not_wait_for_the_keyboard() -> None:
    queue = InputQueue(KeyPace(Clock()))
    queue.open()
    for number in range(1, BURST + 1):
        queue.put(Key(number, True))
    await queue.take()
    for each in (Position(1, 1), Click(Button.LEFT, True)):
        queue.put(each)
    assert await queue.take() == [Position(1, 1), Click(Button.LEFT, True)]
    queue.close()


async def test_a_queue_that_is_closed_while_keys_wait_for_room_forgets_them() -> None:
    clock = Clock()
    queue = InputQueue(KeyPace(clock))
    queue.open()
    for number in range(1, BURST + 2):
        queue.put(Key(number, True))
    await queue.take()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.close()
    queue.open()
    clock.now += 1
    queue.put(Key(99, True))
    assert await waiting == [Key(99, True)]
    queue.close()


async def test_motion_is_merged_but_never_past_a_key_or_a_button(queue: InputQueue) -> None:
    for step in range(100):
        queue.put(Position(step, step))
    queue.put(Key(30, True))
    for _ in range(100):
        queue.put(Motion(1, -2))
    queue.put(Click(Button.LEFT, True))
    queue.put(Motion(5, 5))
    assert await everything(queue) == [
        Position(99, 99),
        Key(30, True),
        Motion(100, -200),
        Click(Button.LEFT, True),
        Motion(5, 5),
    ]


async def test_merged_motion_fits_into_32_bits(queue: InputQueue) -> None:
    for _ in range(5):
        queue.put(Motion(2**40, -(2**40)))
    (motion,) = await everything(queue)
    assert isinstance(motion, Motion)
    assert -(2**31) <= motion.dy < 0 < motion.dx < 2**31


async def test_a_key_repeats_while_it_is_held_and_is_let_go_once(queue: InputQueue) -> None:
    for event in (Key(30, True), Key(30, True), Key(30, False), Key(30, False), Click(Button.LEFT, False)):
        queue.put(event)
    assert await everything(queue) == [Key(30, True), Key(30, True), Key(30, False)]


async def test_a_full_queue_drops_presses_but_lets_go_of_what_was_pressed(
    queue: InputQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.put(Key(1, True))
    for _ in range(MAX_WAITING * 2):
        queue.put(Key(2, True))
        queue.put(Key(2, False))
        queue.put(Position(1, 1))
    queue.put(Key(3, True))
    queue.put(Key(3, False))
    queue.put(Key(1, False))
    assert len(queue) <= MAX_WAITING + 300
    events = await everything(queue)
    for qnum in (1, 2):
        presses = [event for event in events if isinstance(event, Key) and event.qnum == qnum]
        assert presses[-1] == Key(qnum, False)
    assert Key(3, True) not in events
    assert caplog.text.count("input is dropped") == 1


DOWN, MOVED, UP = FingerChange


async def test_fingers_that_move_together_are_merged_each_with_itself(queue: InputQueue) -> None:
    queue.put(Finger(0, DOWN, 1, 1))
    queue.put(Finger(1, DOWN, 2, 2))
    for step in range(100):
        queue.put(Finger(0, MOVED, step, 0))
        queue.put(Finger(1, MOVED, 0, step))
    queue.put(Finger(0, UP, 99, 0))
    queue.put(Finger(1, MOVED, 0, 100))
    queue.put(Finger(0, MOVED, 5, 5))
    queue.put(Finger(0, UP, 5, 5))
    assert await everything(queue) == [
        Finger(0, DOWN, 1, 1),
        Finger(1, DOWN, 2, 2),
        Finger(0, MOVED, 99, 0),
        Finger(1, MOVED, 0, 99),
        Finger(0, UP, 99, 0),
        Finger(1, MOVED, 0, 100),
    ]


async def test_a_full_queue_drops_fingers_but_lifts_those_that_are_down(queue: InputQueue) -> None:
    queue.put(Finger(0, DOWN, 1, 1))
    for _ in range(MAX_WAITING):
        queue.put(Key(2, True))
    queue.put(Finger(1, DOWN, 1, 1))
    queue.put(Finger(1, MOVED, 2, 2))
    queue.put(Finger(1, UP, 2, 2))
    queue.put(Finger(0, MOVED, 3, 3))
    queue.put(Finger(0, UP, 3, 3))
    fingers = [event for event in await everything(queue) if isinstance(event, Finger)]
    assert fingers == [Finger(0, DOWN, 1, 1), Finger(0, UP, 3, 3)]


async def test_a_closed_queue_forgets_and_takes_nothing(queue: InputQueue) -> None:
    queue.put(Key(30, True))
    queue.close()
    queue.put(Key(31, True))
    assert len(queue) == 0
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.open()
    queue.put(Key(30, False))
    queue.put(Key(32, True))
    assert await waiting == [Key(32, True)]


event = st.one_of(
    st.builds(Key, st.integers(1, 4), st.booleans()),
    st.builds(Click, st.sampled_from([Button.LEFT, Button.RIGHT]), st.booleans()),
    st.builds(Position, st.integers(), st.integers()),
    st.builds(Motion, st.integers(), st.integers()),
    st.builds(Finger, st.integers(0, 2), st.sampled_from(FingerChange), st.just(0.0), st.just(0.0)),
)


@given(st.lists(event, max_size=60))
def test_whatever_comes_nothing_is_released_that_was_not_pressed(events: list[InputEvent]) -> None:
    async def run() -> list[InputEvent]:
        queue = InputQueue()
        queue.open()
        for each in events:
            queue.put(each)
        return await everything(queue)

    held: set[object] = set()
    for each in asyncio.run(run()):
        if isinstance(each, Key | Click):
            thing = each.qnum if isinstance(each, Key) else each.button
            if each.down:
                held.add((type(each), thing))
            else:
                assert (type(each), thing) in held
                held.discard((type(each), thing))
        elif isinstance(each, Finger):
            if each.change is DOWN:
                held.add((Finger, each.slot))
            else:
                assert (Finger, each.slot) in held
            if each.change is UP:
                held.discard((Finger, each.slot))
