"""A viewer goes from console to console by Ctrl-Alt-1 .. 9, and nobody else's view moves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
import pytest
from support.rfb_client import AsyncRfbClient
from support.rfb_wire import (
    ALL_PSEUDO,
    Encoding,
    enable_continuous_updates,
    extended_key_event,
    key_event,
    pointer_event,
    set_desktop_size,
)
from support.synthetic_guest import SyntheticConsole, SyntheticGuest
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.guest import Console, Guest, GuestState, Led
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.screen.cursor import Cursor
from sidecar.session.registry import Policy, Registry
from sidecar.session.session import Session
from sidecar.vnc.server import VncServer

CTRL, ALT, SHIFT = 0xFFE3, 0xFFE9, 0xFFE1
FOLLOWING = (Encoding.ZRLE, *ALL_PSEUDO)


class House:
    """A guest with several consoles, served on a loopback port."""

    def __init__(
        self,
        guest: SyntheticGuest,
        consoles: Sequence[SyntheticConsole],
        registry: Registry,
        pool: ThreadPoolExecutor,
        server: VncServer,
        port: int,
    ) -> None:
        self.guest = guest
        self.consoles = consoles
        self.registry = registry
        self.pool = pool
        self._server = server
        self._port = port

    def connect(self, *encodings: int) -> Any:
        return AsyncRfbClient.connect(("127.0.0.1", self._port), encodings=encodings or FOLLOWING)

    def busy(self, console: SyntheticConsole) -> bool:
        """Whether a picture of `console` is being encoded for a viewer."""
        desktops = [viewer.desktop for viewer in self._server.viewers if viewer.desktop is not None]
        return any(desktop.console is console and desktop._receiver.job for desktop in desktops)

    @property
    def session(self) -> Session:
        (session,) = self.registry
        return session


@contextlib.asynccontextmanager
async def house(
    *sizes: tuple[int, int], policy: Policy | None = None, **options: Any
) -> AsyncIterator[House]:
    consoles = [SyntheticConsole(index, *size) for index, size in enumerate(sizes)]
    for console in consoles:
        console.label = f"head{console.index}"
        console.draw(0, 0, picture(console))
    guest = SyntheticGuest(consoles[0])
    guest.consoles = {console.index: console for console in consoles}
    registry = Registry(policy)
    with ThreadPoolExecutor(2) as pool:
        seats = Seats(guest)
        with contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
            async with VncServer(
                guest, registry, broadcasts, seats, layout=Layout("us"), **options
            ) as server:
                yield House(guest, consoles, registry, pool, server, await server.listen_tcp("127.0.0.1", 0))
    assert registry.count() == 0
    for console in consoles:
        assert len(console.changes) == 0
        assert not console.keyboard.held
        assert not console.pointer.held


def picture(console: SyntheticConsole, seed: int = 0) -> np.ndarray:
    frame = console.surface.frame
    random = np.random.default_rng([console.index, seed])
    return random.integers(0, 1 << 24, (frame.height, frame.width)).astype(np.uint32)


def choose(number: int, *, hold: bool = False) -> bytes:
    keys = [CTRL, ALT, ord("0") + number]
    pressed = b"".join(key_event(key, True) for key in keys)
    released = key_event(keys.pop(), False)
    return pressed + released + (b"" if hold else b"".join(key_event(key, False) for key in reversed(keys)))


async def until_it_sees(client: Any, console: SyntheticConsole) -> None:
    await client.until_shown(console.surface.frame.pixels)


SIZES = [
    pytest.param((320, 200), (320, 200), id="the same size"),
    pytest.param((320, 200), (500, 333), id="a larger one"),
    pytest.param((500, 333), (100, 350), id="a narrower and higher one"),
]


@pytest.mark.parametrize(("first", "second"), SIZES)
@pytest.mark.parametrize(
    "resizing", [Encoding.EXTENDED_DESKTOP_SIZE, Encoding.DESKTOP_SIZE], ids=lambda encoding: encoding.name
)
async def test_a_viewer_sees_the_console_it_chooses_and_the_others_see_what_they_saw(
    first: tuple[int, int], second: tuple[int, int], resizing: Encoding
) -> None:
    async with (
        house(first, second) as here,
        await here.connect(Encoding.ZRLE, resizing) as one,
        await here.connect(Encoding.ZRLE, resizing) as other,
    ):
        graphics, text = here.consoles
        for client in (one, other):
            await until_it_sees(client, graphics)
        for round_number in range(1, 4):
            await one.send(choose(2))
            await until_it_sees(one, text)
            text.draw(0, 0, picture(text, round_number))
            graphics.draw(0, 0, picture(graphics, round_number))
            await until_it_sees(one, text)
            await until_it_sees(other, graphics)
            await one.send(choose(1))
            await until_it_sees(one, graphics)


@pytest.mark.parametrize("encoding", [Encoding.RAW, Encoding.TIGHT, Encoding.ZRLE], ids=lambda it: it.name)
async def test_a_viewer_that_cannot_resize_sees_what_fits_and_black_beside_it(encoding: Encoding) -> None:
    async with house((320, 200), (100, 333)) as here, await here.connect(encoding) as client:
        await until_it_sees(client, here.consoles[0])
        await client.send(choose(2))
        shown = np.zeros((200, 320), np.uint32)
        shown[:, :100] = here.consoles[1].surface.frame.pixels[:200]
        await client.until_shown(shown)
        await client.send(choose(1))
        await until_it_sees(client, here.consoles[0])


async def test_the_new_console_follows_on_without_being_asked_for() -> None:
    async with house((320, 200), (400, 300)) as here, await here.connect() as client:
        await until_it_sees(client, here.consoles[0])
        await client.send(enable_continuous_updates(True, 0, 0, 320, 200) + choose(2))
        async with asyncio.timeout(30):
            while not client.shows(here.consoles[1].surface.frame.pixels):
                await client.receive()


async def test_a_picture_under_way_is_neither_waited_for_nor_sent_after_the_console_was_left() -> None:
    """The encoders are held up; the other console's picture is at hand, since somebody has seen it."""
    async with (
        house((640, 400), (640, 400)) as here,
        await here.connect(Encoding.ZRLE) as other,
        await here.connect(Encoding.ZRLE) as client,
    ):
        graphics, text = here.consoles
        await other.send(choose(2))
        await until_it_sees(other, text)
        await until_it_sees(client, graphics)
        go_on = Event()
        held_up = [here.pool.submit(go_on.wait, 60) for _ in range(2)]
        try:
            graphics.draw(0, 0, picture(graphics, 1))
            client.request()
            await client.flush()
            await eventually(lambda: here.busy(graphics), "a picture is being encoded")
            await client.send(choose(2) + choose(1) + choose(2))
            await until_it_sees(client, text)
        finally:
            go_on.set()
        assert all(waiting.result() for waiting in held_up)
        for seed in range(3):
            graphics.draw(0, 0, picture(graphics, seed))
            text.draw(0, 0, picture(text, seed))
            await until_it_sees(client, text)


async def test_keys_go_to_the_console_that_is_seen_and_nothing_stays_down_on_the_other() -> None:
    async with house((320, 200), (320, 200)) as here, await here.connect() as client:
        first, second = here.consoles
        await client.send(key_event(ord("a"), True) + pointer_event(5, 5, 1) + choose(2, hold=True))
        await eventually(lambda: here.session.console == 1, "the console is switched")
        assert not first.keyboard.held
        assert not first.pointer.held
        assert ("press", 0x1E) in first.keyboard.log
        assert ("press", 0x03) not in first.keyboard.log
        assert second.keyboard.log == []
        # Ctrl and Alt come up now, of which the second console has never heard
        await client.send(key_event(ALT, False) + key_event(CTRL, False) + key_event(ord("a"), False))
        await client.send(
            extended_key_event(ord("b"), 0x30, True) + extended_key_event(ord("b"), 0x30, False)
        )
        await eventually(lambda: ("release", 0x30) in second.keyboard.log, "a key has arrived")
        assert second.keyboard.log == [("press", 0x30), ("release", 0x30)]
        await client.send(pointer_event(7, 8))
        await eventually(lambda: ("to", 7, 8) in second.pointer.log, "the pointer has arrived")
        assert ("to", 7, 8) not in first.pointer.log


async def test_pointer_mode_lights_and_cursor_are_those_of_the_console_that_is_seen() -> None:
    async with house((320, 200), (320, 200), (320, 200)) as here:
        first, second, third = here.consoles
        first.pointer.is_absolute = False
        second.set_leds(Led.CAPS | Led.NUM)
        second.show_cursor(Cursor(np.full((3, 3), 0xFF123456, np.uint32), 1, 1))
        async with await here.connect() as client:
            await client.until(lambda: client.pointer_is_absolute is False, "the mouse is relative")
            await client.until(lambda: client.leds == 0, "the lights are out")
            assert client.cursor is None
            await client.send(choose(2))
            await client.until(lambda: client.pointer_is_absolute, "the mouse is absolute")
            await client.until(lambda: client.leds == 6, "two lights are on")
            await client.until(lambda: client.cursor is not None, "there is a cursor")
            assert (client.cursor == 0xFF123456).all()
            await client.send(choose(3))
            await client.until(lambda: client.leds == 0, "the lights are out")
            await client.until(lambda: not (client.cursor >> 24).any(), "the other's cursor is gone")
            second.set_leds(Led.SCROLL)
            third.set_leds(Led.CAPS)
            await client.until(lambda: client.leds == 4, "the third console's lights")


async def test_the_status_tells_which_console_a_session_sees() -> None:
    async with house((320, 200), (320, 200)) as here, await here.connect() as client:
        await until_it_sees(client, here.consoles[0])
        assert here.session.console == 0
        heard: list[int] = []
        unsubscribe = here.registry.changes.subscribe(lambda: heard.append(here.session.console))
        await client.send(choose(2))
        await until_it_sees(client, here.consoles[1])
        unsubscribe()
        assert heard == [1]


async def test_a_session_that_may_only_watch_chooses_what_it_watches() -> None:
    policy = Policy(view_only=True)
    async with house((320, 200), (320, 200), policy=policy) as here, await here.connect() as client:
        await client.send(choose(2))
        await until_it_sees(client, here.consoles[1])
        assert not any(console.keyboard.log for console in here.consoles)


@pytest.mark.parametrize(
    ("sizes", "options", "number"),
    [
        (((320, 200),), {}, 1),
        (((320, 200), (320, 200)), {"switching": False}, 2),
        (((320, 200), (320, 200)), {}, 3),
    ],
    ids=["one console", "a server without switching", "no such console"],
)
async def test_elsewhere_the_keys_are_the_guests_own(
    sizes: tuple[tuple[int, int], ...], options: dict[str, Any], number: int
) -> None:
    async with house(*sizes, **options) as here, await here.connect() as client:
        await client.send(choose(number))
        keyboard = here.consoles[0].keyboard
        await eventually(lambda: ("release", 0x1D) in keyboard.log, "the keys have arrived")
        pressed = [qnum for what, qnum in keyboard.log if what == "press"]
        assert pressed == [0x1D, 0x38, 0x01 + number]


async def test_a_wish_for_a_size_is_answered_when_the_console_is_left() -> None:
    async with house((320, 200), (320, 200)) as here, await here.connect() as client:
        await until_it_sees(client, here.consoles[0])
        here.consoles[0].obeys = False
        await client.send(set_desktop_size(640, 480) + choose(2))
        await until_it_sees(client, here.consoles[1])
        await client.until(
            lambda: any((reason, status) == (1, 4) for reason, status, _, _ in client.desktop_sizes),
            "the wish is answered",
        )
        await client.send(set_desktop_size(640, 480))
        await client.until(lambda: (1, 0, 640, 480) in client.desktop_sizes, "the second console obeys")
        assert here.consoles[0].surface.frame.width == 320


@pytest.mark.parametrize("index", [0, 1, 2], ids=["the first", "the second", "none that is there"])
async def test_a_server_may_show_another_console_first(index: int) -> None:
    def chosen(guest: Guest) -> Console | None:
        return guest.consoles.get(index)

    async with house((320, 200), (400, 300), console=chosen) as here, await here.connect() as client:
        await until_it_sees(client, here.consoles[index % 2])
        assert here.session.console == index % 2


async def test_who_came_for_a_console_that_was_not_there_yet_sees_it_when_it_is() -> None:
    def chosen(guest: Guest) -> Console | None:
        return guest.consoles.get(1)

    async with house((320, 200), (400, 300), console=chosen) as here:
        first, second = here.consoles
        del here.guest.consoles[1]
        here.guest.lifecycle.notify(GuestState.ATTACHED)
        async with await here.connect() as client:
            await until_it_sees(client, first)
            for _ in range(2):
                here.guest.consoles[1] = second
                here.guest.lifecycle.notify(GuestState.ATTACHED)
                await until_it_sees(client, second)
                del here.guest.consoles[1]
                here.guest.lifecycle.notify(GuestState.ATTACHED)
                await until_it_sees(client, first)


async def test_who_left_the_console_of_a_server_for_another_is_not_called_back() -> None:
    def chosen(guest: Guest) -> Console | None:
        return guest.consoles.get(1)

    async with house((320, 200), (400, 300), console=chosen) as here, await here.connect() as client:
        first, second = here.consoles
        await until_it_sees(client, second)
        await client.send(choose(1))
        await until_it_sees(client, first)
        here.guest.lifecycle.notify(GuestState.ATTACHED)
        first.draw(0, 0, picture(first, 1))
        await until_it_sees(client, first)
        assert here.session.console == 0


async def test_a_viewer_keeps_its_console_over_the_machines_end_and_leaves_one_that_is_taken_away() -> None:
    async with house((320, 200), (400, 300)) as here, await here.connect() as client:
        first, second = here.consoles
        await client.send(choose(2))
        await until_it_sees(client, second)
        for state in (GuestState.LOST, GuestState.ATTACHED):
            here.guest.state = state
            here.guest.lifecycle.notify(state)
        second.draw(0, 0, picture(second, 1))
        await until_it_sees(client, second)
        del here.guest.consoles[1]
        here.guest.lifecycle.notify(GuestState.ATTACHED)
        await until_it_sees(client, first)
        assert here.session.console == 0


async def test_one_who_switches_without_end_gets_the_last_and_holds_nobody_up() -> None:
    async with (
        house((320, 200), (400, 300)) as here,
        await here.connect() as restless,
        await here.connect() as other,
    ):
        await until_it_sees(other, here.consoles[0])
        for _ in range(200):
            await restless.send(choose(2) + choose(1))
        await restless.send(choose(2))
        here.consoles[0].draw(0, 0, picture(here.consoles[0], 1))
        await until_it_sees(other, here.consoles[0])
        await until_it_sees(restless, here.consoles[1])


async def test_a_console_that_nobody_sees_is_not_observed() -> None:
    async with house((320, 200), (320, 200)) as here, await here.connect() as client:
        await until_it_sees(client, here.consoles[0])
        assert len(here.consoles[1].changes) == 0
        await client.send(choose(2))
        await until_it_sees(client, here.consoles[1])
        assert len(here.consoles[0].changes) == 0
        assert len(here.consoles[1].changes) > 0
