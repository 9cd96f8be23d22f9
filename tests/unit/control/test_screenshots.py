"""Screenshots: exact, as the policy allows, one after the other; tests/qemu has a real QEMU."""

import asyncio
import contextlib
import io
import threading

import numpy as np
import pytest
from PIL import Image
from support.pictures import from_rgb_bytes
from support.synthetic_guest import SyntheticConsole, SyntheticGuest, SyntheticPort
from support.waiting import eventually

from sidecar.control import screenshots as module
from sidecar.control.screenshots import (
    MOST_WAITING,
    NoScreenshotNow,
    NoSuchConsole,
    NotToBeSeen,
    Screenshot,
    Screenshots,
    ScreenshotsOff,
    ScreenWatched,
)
from sidecar.control.settings import ScreenshotPolicy
from sidecar.guest import GuestState
from sidecar.input.layout import Layout
from sidecar.screen.cursor import Cursor
from sidecar.screen.png import png
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.registry import Registry
from sidecar.terminal.guest import TerminalGuest


class House:
    """A machine whose screen shows something, and the sessions of it."""

    def __init__(self) -> None:
        self.guest = SyntheticGuest()
        self.console = self.guest.console
        self.console.draw(0, 0, np.arange(320 * 200, dtype=np.uint32).reshape(200, 320))
        self.registry = Registry()
        self.policy: ScreenshotPolicy = "always"
        self.screenshots = Screenshots(self.guest, self.registry, lambda: self.policy)

    def somebody_comes(self) -> str:
        session = self.registry.connect("vnc", "tcp", "", end=lambda reason: None)
        self.registry.initialize(session)
        return session.id


@pytest.fixture
def house() -> House:
    return House()


def shown(taken: Screenshot) -> np.ndarray:
    with Image.open(io.BytesIO(taken.png)) as picture:
        assert picture.size == (taken.width, taken.height)
        return from_rgb_bytes(np.asarray(picture))


async def test_it_shows_every_pixel(house: House) -> None:
    assert np.array_equal(shown(await house.screenshots.take(0)), house.console.surface.frame.pixels)


async def test_whose_login_is_for_other_consoles_gets_none_of_this_one(house: House) -> None:
    for names in (frozenset({"1"}), frozenset({"0x"})):
        with pytest.raises(NotToBeSeen, match="console 0"):
            await house.screenshots.take(0, names=names)
        with pytest.raises(NotToBeSeen):
            house.screenshots.tag(0, names=names)
    await house.screenshots.take(0, names=frozenset({"0"}))


async def test_each_console_has_its_own(house: House) -> None:
    second = SyntheticConsole(1, 100, 50)
    second.draw(0, 0, np.full((50, 100), 0x123456, np.uint32))
    house.guest.consoles[1] = second
    assert (shown(await house.screenshots.take(1)) == 0x123456).all()
    with pytest.raises(NoSuchConsole, match="no console 2, only 0, 1"):
        await house.screenshots.take(2)


async def test_the_pointer_is_drawn_in_where_it_is_wanted_and_shown(house: House) -> None:
    house.console.show_cursor(Cursor(np.full((4, 4), 0xFFFFFFFF, np.uint32), 1, 1))
    house.console.cursor_position = (11, 21)
    plain = house.console.surface.frame.pixels
    with_pointer = plain.copy()
    with_pointer[20:24, 10:14] = 0xFFFFFF
    assert np.array_equal(shown(await house.screenshots.take(0)), plain)
    assert np.array_equal(shown(await house.screenshots.take(0, cursor=True)), with_pointer)
    house.console.show_cursor(None)
    assert np.array_equal(shown(await house.screenshots.take(0, cursor=True)), plain)


async def test_the_policy_is_that_of_the_moment(house: House) -> None:
    session = house.somebody_comes()
    await house.screenshots.take(0)
    house.policy = "unwatched"
    with pytest.raises(ScreenWatched):
        await house.screenshots.take(0)
    with pytest.raises(ScreenWatched):
        house.screenshots.tag(0)
    house.registry.end(session)
    await house.screenshots.take(0)
    house.policy = "never"
    with pytest.raises(ScreenshotsOff):
        await house.screenshots.take(0)


async def test_one_who_waits_to_log_in_watches_nothing(house: House) -> None:
    house.policy = "unwatched"
    house.registry.connect("vnc", "tcp", "", end=lambda reason: None)
    await house.screenshots.take(0)


@pytest.mark.parametrize("state", [GuestState.WAITING, GuestState.LOST])
async def test_there_is_none_without_a_machine(house: House, state: GuestState) -> None:
    house.guest.state = state
    with pytest.raises(NoScreenshotNow, match="no virtual machine"):
        await house.screenshots.take(0)


async def test_a_screen_that_is_too_large_is_refused_before_anything_is_copied(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PIXELS", 320 * 200 - 1)
    with pytest.raises(NoScreenshotNow, match="320x200"):
        await house.screenshots.take(0)


async def test_the_tag_is_another_for_another_picture_and_for_nothing_else(house: House) -> None:
    screenshots = house.screenshots
    first = screenshots.tag(0)
    assert (await screenshots.take(0)).tag == first == screenshots.tag(0)
    house.console.draw(5, 5, np.full((1, 1), 0xABCDEF, np.uint32))
    second = screenshots.tag(0)
    house.console.resize(100, 100)
    assert len({first, second, screenshots.tag(0), Screenshots(house.guest, house.registry).tag(0)}) == 4
    house.console.show_cursor(Cursor(np.full((4, 4), 0xFFFFFFFF, np.uint32), 1, 1))
    with_pointer = screenshots.tag(0, cursor=True)
    house.console.cursor_position = (11, 21)
    assert len({screenshots.tag(0), with_pointer, screenshots.tag(0, cursor=True)}) == 3


class Slow:
    """An encoder that holds on until it is let go."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.begun = 0
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, pixels: np.ndarray) -> bytes:
        self.begun += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.may_go_on.wait(60)
        self.at_once -= 1
        return png(pixels)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(module, "png", slow)
    return slow


async def test_many_at_once_are_taken_one_after_the_other_and_no_more_than_that(
    house: House, slow: Slow
) -> None:
    taking = [asyncio.create_task(house.screenshots.take(0)) for _ in range(MOST_WAITING)]
    await eventually(lambda: slow.begun, "the first is taken")
    with pytest.raises(NoScreenshotNow, match="too many"):
        await house.screenshots.take(0)
    slow.may_go_on.set()
    for taken in await asyncio.gather(*taking):
        assert np.array_equal(shown(taken), house.console.surface.frame.pixels)
    assert slow.most_at_once == 1
    await house.screenshots.take(0)


async def test_one_that_waits_is_refused_if_somebody_has_come_meanwhile(house: House, slow: Slow) -> None:
    house.policy = "unwatched"
    first = asyncio.create_task(house.screenshots.take(0))
    await eventually(lambda: slow.begun, "the first is taken")
    second = asyncio.create_task(house.screenshots.take(0))
    await asyncio.sleep(0)
    house.somebody_comes()
    slow.may_go_on.set()
    await first
    with pytest.raises(ScreenWatched):
        await second


async def test_one_that_is_given_up_keeps_no_other_waiting(house: House, slow: Slow) -> None:
    first = asyncio.create_task(house.screenshots.take(0))
    await eventually(lambda: slow.begun, "the first is taken")
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    slow.may_go_on.set()
    await house.screenshots.take(0)


async def test_a_text_console_that_nobody_watches_shows_what_it_has_said(house: House) -> None:
    port = SyntheticPort()
    house.guest.add_port(port)
    with (
        contextlib.closing(SerialLines(house.guest, write=WritePolicy.EVERYBODY)) as lines,
        contextlib.closing(TerminalGuest(house.guest, lines, Layout("us"))) as guest,
    ):
        screenshots = Screenshots(guest, house.registry)
        port.say(b"login: ")
        first = shown(await screenshots.take(16))
        assert first[:16, :56].any()
        assert not first[16:].any()
        port.say(b"\r\nlast login: never")
        assert shown(await screenshots.take(16))[16:32].any()
        assert not len(guest.consoles[16].changes)
