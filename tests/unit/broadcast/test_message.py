"""A message by itself: when its box is drawn, and what is kept of it."""

import asyncio
import gc
from typing import Any

import pytest
from support.waiting import eventually

from sidecar.broadcast import message as module
from sidecar.broadcast.message import Message, Messages
from sidecar.broadcast.receiver import Update
from sidecar.encode.form import Codec, Encoding, Form, Segment
from sidecar.screen.rectangle import Rectangle

SCREEN = Rectangle(0, 0, 1024, 768)
FORM = Form.of(Encoding.ZRLE)
TEXT = "Save your work."


def segment(*area: int) -> Segment:
    return Segment(Rectangle(*area), Encoding.ZRLE, b"")


def nothing() -> None:
    """What a message does when it is over."""


async def test_the_box_follows_what_lies_under_it_and_nothing_else() -> None:
    message = Message(TEXT, 60, nothing)
    area = message.place(SCREEN, FORM)
    beside, under = Update([segment(0, 0, 64, 64)]), Update([segment(*area)])
    assert message.over(beside, SCREEN, FORM) is beside
    drawn = message.over(under, SCREEN, FORM)
    assert drawn is not under
    assert drawn.segments[0] is under.segments[0]
    assert sum(each.rectangle.area for each in drawn.segments[1:]) == area.area
    assert all(each.rectangle.intersect(area) == each.rectangle for each in drawn.segments[1:])
    assert message.close() == area


async def test_its_time_begins_when_it_is_drawn() -> None:
    over = asyncio.Event()
    message = Message(TEXT, 0.01, over.set)
    area = message.place(SCREEN, FORM)
    message.over(Update([segment(0, 0, 64, 64)]), SCREEN, FORM)
    await asyncio.sleep(0.05)
    assert not over.is_set()
    message.over(Update([segment(*area)]), SCREEN, FORM)
    async with asyncio.timeout(30):
        await over.wait()


@pytest.mark.parametrize("codec", [Codec.BITMAP_PLANAR, Codec.CLEARCODEC])
async def test_it_comes_in_pieces_that_its_encoding_can_carry(codec: Codec) -> None:
    message = Message("many words " * 40, 60, nothing)
    large = Rectangle(0, 0, 3840, 2160)
    area = message.place(large, Form(codec))
    drawn = message.over(Update([segment(*area)]), large, Form(codec))
    widest = 64 if codec.max_tiles == 1 else 2048
    assert all(each.rectangle.width <= widest and each.rectangle.height <= 128 for each in drawn.segments[1:])
    message.close()


async def test_one_box_is_made_for_all_who_get_the_same_and_let_go_with_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def count(*key: Any) -> Any:
        made.append(key)
        return make(*key)

    make = module._made
    monkeypatch.setattr(module, "_made", count)
    messages = [Message(TEXT, 60, nothing) for _ in range(5)]
    for message in messages:
        await message.prepare(SCREEN, FORM)
        message.place(SCREEN, FORM)
        message.over(Update([segment(*SCREEN)]), SCREEN, FORM)
    assert len(made) == 1
    # who changes the form has another
    messages[0].over(Update([segment(*SCREEN)]), SCREEN, Form.of(Encoding.RAW))
    assert len(made) == 2
    for message in messages:
        message.close()
    messages.clear()
    del message

    def let_go() -> bool:
        # the thread that has made it may be slow to forget it
        gc.collect()
        return len(module._boxes) == 0

    await eventually(let_go, "no box is kept")


async def test_only_the_newest_of_several_is_shown_and_none_after_the_end() -> None:
    covered: list[Message | None] = []
    tasks: list[asyncio.Task[None]] = []
    messages = Messages(
        cover=covered.append,
        screen=lambda: (SCREEN, FORM),
        spawn=lambda work: tasks.append(asyncio.create_task(work)),
    )
    for text in ("one", "two", "three"):
        messages.show(text, 60)
    await asyncio.gather(*tasks)
    (shown,) = covered
    assert shown is not None
    assert shown.place(SCREEN, FORM) == Message("three", 60, nothing).place(SCREEN, FORM)
    messages.show("four", 60)
    messages.close()
    await asyncio.gather(*tasks)
    assert covered == [shown, None]
