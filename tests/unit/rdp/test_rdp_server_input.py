"""What clients type, point at and touch, and what they are told of pointers and lights."""

import asyncio
import struct

import numpy as np
import pytest
from support import rdp_client_pdus as pdus
from support.rdp_house import RdpHouse, house, picture, until
from support.rdp_viewer import (
    GRAPHICS_PROFILE,
    POINTER_CACHED,
    POINTER_DEFAULT,
    POINTER_HIDDEN,
    POINTER_NEW,
    POINTER_POSITION,
    TOUCH,
    RdpViewer,
    bitmap_profile,
    graphics_profile,
)
from support.synthetic_guest import SyntheticTouch

from sidecar.guest import Button, ConsoleChange, Led
from sidecar.rdp import pointer_follower
from sidecar.screen.cursor import Cursor
from sidecar.session.registry import Policy
from sidecar.transport import connection as transport

MOVE, DOWN, LEFT = 0x0800, 0x8000, 0x1000
WHEEL, HORIZONTAL_WHEEL, NEGATIVE = 0x0200, 0x0400, 0x0100


def arrow(colour: int, edge: int = 16) -> Cursor:
    return Cursor(np.full((edge, edge), 0xFF000000 | colour, np.uint32), 3, 2)


async def test_keys_of_the_fast_and_the_slow_path_reach_the_guest() -> None:
    async with house() as here:
        client = await here.viewer()
        client.type(0x1E)
        client.type(0x1E, 1)
        # the same by the slow path; then Right Ctrl
        for flags in (0, 0x8000):
            client.send(client.share(28, pdus.slow_path_input([(4, struct.pack("<HHH", flags, 0x1F, 0))])))
        client.type(0x1D, 2)
        await until(lambda: ("press", 0x9D) in here.console.keyboard.log)
        assert here.console.keyboard.log == [
            ("press", 0x1E),
            ("release", 0x1E),
            ("press", 0x1F),
            ("release", 0x1F),
            ("press", 0x9D),
        ]


async def test_characters_are_typed() -> None:
    async with house() as here:
        client = await here.viewer()
        client.send(pdus.fast_path_input([struct.pack("<BH", 4 << 5, ord("a"))]))
        await until(lambda: ("release", 0x1E) in here.console.keyboard.log)
        assert here.console.keyboard.held == set()


async def test_mouse_and_wheels_reach_the_guest() -> None:
    async with house() as here:
        client = await here.viewer()
        client.point(5, 6)
        client.point(7, 8, LEFT | DOWN)
        client.point(7, 8, LEFT)
        client.point(0, 0, WHEEL | 120)
        client.point(0, 0, HORIZONTAL_WHEEL | NEGATIVE | (256 - 120))
        log = here.console.pointer.log
        await until(lambda: ("release", Button.WHEEL_LEFT) in log)
        assert log == [
            ("to", 5, 6),
            ("to", 7, 8),
            ("press", Button.LEFT),
            ("to", 7, 8),
            ("release", Button.LEFT),
            ("press", Button.WHEEL_UP),
            ("release", Button.WHEEL_UP),
            ("press", Button.WHEEL_LEFT),
            ("release", Button.WHEEL_LEFT),
        ]


async def test_a_relative_mouse_is_offered_where_the_guest_has_one() -> None:
    async with house() as here:
        here.console.pointer.is_absolute = False
        client = await here.viewer()
        client.send(pdus.fast_path_input([struct.pack("<BHhh", 5 << 5, MOVE, -3, 4)]))
        await until(lambda: ("by", -3, 4) in here.console.pointer.log)


async def test_what_a_client_holds_is_let_go_of_when_it_leaves() -> None:
    async with house() as here:
        client = await here.viewer()
        client.type(0x1E)
        client.point(5, 6, LEFT | DOWN)
        await until(lambda: here.console.keyboard.held and here.console.pointer.held)
        await client.close()
        await until(lambda: not here.console.keyboard.held and not here.console.pointer.held)


async def test_what_a_client_holds_is_let_go_of_when_it_may_only_watch() -> None:
    async with house() as here:
        client = await here.viewer()
        client.type(0x1E)
        client.point(5, 6, LEFT | DOWN)
        await until(lambda: here.console.keyboard.held and here.console.pointer.held)
        (session,) = here.registry
        here.registry.set_view_only(session.id, True)
        assert not here.console.keyboard.held
        assert not here.console.pointer.held
        events = len(here.console.keyboard.log), len(here.console.pointer.log)
        client.type(0x1F)
        client.point(50, 60)
        await client.listen(0.1)
        assert (len(here.console.keyboard.log), len(here.console.pointer.log)) == events
        here.registry.set_view_only(session.id, False)
        client.type(0x1F)
        await until(lambda: here.console.keyboard.held == {0x1F})


async def test_a_view_only_client_moves_nothing() -> None:
    async with house(Policy(view_only=True)) as here:
        here.console.touch = SyntheticTouch()
        client = await here.viewer()
        client.type(0x1E)
        client.point(5, 6)
        await client.until(lambda: TOUCH in client.numbers, "the touch channel")
        client.say(TOUCH, touch_ready())
        client.say(TOUCH, touch_frame(0x19, 10, 20))
        await client.listen(0.1)
        assert here.console.keyboard.log == here.console.pointer.log == here.console.touch.log == []


async def test_a_client_that_sends_more_than_the_guest_takes_waits_and_is_not_heard_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 0.2)
    async with house() as here:
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)
        client.type(0x1E)
        await until(lambda: here.console.keyboard.held)
        here.console.input_backlog = 1000
        for _ in range(50):
            client.point(1, 1)
        (viewer,) = here.server.viewers
        await until(lambda: viewer.desktop is not None and viewer.desktop.deaf)
        assert here.console.keyboard.held == set()
        here.console.input_backlog = 0
        await until(lambda: (client.point(2, 2), ("to", 2, 2) in here.console.pointer.log)[1])


def touch_ready() -> bytes:
    return struct.pack("<HIIIH", 2, 16, 0, 0x00010001, 10)


def touch_frame(flags: int, x: int, y: int, contact: int = 0) -> bytes:
    """RDPINPUT_TOUCH_EVENT_PDU: one frame with one contact, its place as FOUR_BYTE_SIGNED_INTEGERs."""
    place = struct.pack(">II", 0xC0000000 | x, 0xC0000000 | y)
    # encodeTime, frameCount, contactCount, frameOffset; contactId, fieldsPresent
    body = bytes((0, 1, 1, 0, contact, 0)) + place + bytes((flags,))
    return struct.pack("<HI", 3, 6 + len(body)) + body


async def test_fingers_reach_the_guest_and_are_lifted_when_the_client_leaves() -> None:
    async with house() as here:
        touch = here.console.touch = SyntheticTouch()
        client = await here.viewer()
        await client.until(lambda: TOUCH in client.numbers, "the touch channel")
        client.say(TOUCH, touch_ready())
        client.say(TOUCH, touch_frame(0x19, 10, 20))
        await until(lambda: touch.down)
        assert touch.log[0][0] == "begin"
        assert touch.log[0][2:] == (10, 20)
        await client.close()
        await until(lambda: not touch.down)


class TestPointer:
    @pytest.mark.parametrize("profile", [GRAPHICS_PROFILE, bitmap_profile()], ids=["graphics", "bitmaps"])
    async def test_its_picture_is_told_hidden_and_told_from_the_cache(self, profile: object) -> None:
        async with house() as here:
            here.console.show_cursor(arrow(0xFF0000))
            client = await here.viewer(profile)
            await client.until(lambda: codes(client) == [POINTER_NEW], "the first picture")
            here.console.show_cursor(None)
            await client.until(lambda: codes(client)[1:] == [POINTER_HIDDEN], "no pointer")
            here.console.show_cursor(arrow(0x00FF00))
            await client.until(lambda: codes(client)[2:] == [POINTER_NEW], "another picture")
            here.console.show_cursor(arrow(0xFF0000))
            await client.until(lambda: codes(client)[3:] == [POINTER_CACHED], "the first one again")

    async def test_a_guest_that_draws_its_own_leaves_the_clients_alone(self) -> None:
        async with house() as here:
            client = await here.viewer()
            await client.until_shown(here.console.surface.frame.pixels)
            assert codes(client) in ([], [POINTER_DEFAULT])

    async def test_an_activation_tells_it_whole_again(self) -> None:
        async with house() as here:
            here.console.show_cursor(arrow(0xFF0000))
            client = await here.viewer(bitmap_profile())
            await client.until(lambda: codes(client) == [POINTER_NEW], "the picture")
            here.console.resize(200, 200)
            await client.until(lambda: codes(client) == [POINTER_NEW] * 2, "the picture, not the cache")

    async def test_only_the_last_of_many_changes_waits_for_a_client_that_does_not_read(self) -> None:
        async with house(sizes=((640, 480),)) as here:
            client = await here.viewer(bitmap_profile(planar=False))
            await client.until_shown(here.console.surface.frame.pixels)
            await clog(here, client)
            before = next(iter(here.registry)).bytes_sent
            for colour in range(1, 200):
                here.console.show_cursor(arrow(colour, 90))
                here.console.set_leds(Led(colour % 8))
            await asyncio.sleep(0.05)
            assert next(iter(here.registry)).bytes_sent == before
            client._writer.transport.resume_reading()
            await client.until(lambda: client.leds == 199 % 8, "the lights of now")
            assert codes(client).count(POINTER_NEW) == 1

    async def test_it_is_that_of_the_console_which_is_pointed_at(self) -> None:
        async with house(sizes=((320, 200), (320, 200))) as here:
            first, second = here.guest.consoles.values()
            first.show_cursor(arrow(0xFF0000))
            second.show_cursor(arrow(0x0000FF))
            monitors = ((0, 0, 319, 199, 1), (320, 0, 639, 199, 0))
            client = await here.viewer(graphics_profile(monitors=monitors))
            await client.until(lambda: codes(client) == [POINTER_NEW], "the first one")
            await client.until(lambda: client.screen.size == (640, 200), "both consoles")
            client.point(400, 5)
            await client.until(lambda: codes(client) == [POINTER_NEW] * 2, "the second one")
            first.show_cursor(arrow(0x00FF00))
            client.point(10, 5)
            await client.until(lambda: codes(client) == [POINTER_NEW] * 3, "what the first one is now")


async def clog(here: RdpHouse, client: RdpViewer) -> None:
    """Has the client not read, and the server's queue for it filled up."""
    (viewer,) = here.server.viewers
    client._writer.transport.pause_reading()
    for seed in range(200):
        here.console.draw(
            0, 0, np.random.default_rng(seed).integers(0, 1 << 24, (480, 640)).astype(np.uint32)
        )
        await asyncio.sleep(0.02)
        if viewer._congested:
            return
    raise AssertionError("the queue never fills up")


def codes(client: RdpViewer) -> list[int]:
    return [code for code, _ in client.pointers]


async def test_leds_are_told_at_once_and_at_every_change() -> None:
    async with house() as here:
        here.console.keyboard.leds = Led.NUM
        client = await here.viewer()
        await client.until(lambda: client.leds == 2, "the lights of now")
        here.console.set_leds(Led.CAPS | Led.NUM)
        await client.until(lambda: client.leds == 6, "the change")


async def test_leds_that_nobody_knows_are_not_told() -> None:
    async with house() as here:
        here.console.keyboard.leds_known = False
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)
        assert client.leds is None


class TestPointerPositions:
    """The guest moves its pointer by itself, or only says where a session has put it."""

    @pytest.fixture(autouse=True)
    def hasty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pointer_follower, "SETTLED", 0.03)

    async def test_what_the_guest_does_by_itself_is_followed(self) -> None:
        async with house() as here:
            here.console.show_cursor(arrow(0xFF0000))
            one, other = await here.viewer(), await here.viewer(bitmap_profile())
            await other.until_shown(here.console.surface.frame.pixels)
            for client in (one, other):
                await client.until(lambda client=client: codes(client), "the picture")
            move(here, 200, 100)
            for client in (one, other):
                await client.until(lambda client=client: positions(client) == [(200, 100)], "the place")

    async def test_what_a_session_points_at_comes_back_to_nobody(self) -> None:
        async with house() as here:
            here.console.show_cursor(arrow(0xFF0000))
            one, other, vnc = await here.viewer(), await here.viewer(), await here.vnc()
            for client in (one, other):
                await client.until(lambda client=client: codes(client), "the picture")
            one.point(200, 100)
            await until(lambda: here.console.pointer.log)
            move(here, 200, 100)
            await one.listen(0.1)
            await vnc.send(b"\x05\0\0\x05\0\x06")
            await until(lambda: here.console.pointer.log[-1] == ("to", 5, 6))
            move(here, 5, 6)
            await asyncio.sleep(pointer_follower.REST)
            # much later, and without the hot spot
            move(here, 2, 4)
            await one.listen(0.1)
            await other.listen(0.1)
            assert positions(one) == positions(other) == []

    async def test_a_client_that_answers_with_its_new_place_moves_nobody(self) -> None:
        async with house() as here:
            here.console.show_cursor(arrow(0xFF0000))
            clients = [await here.viewer(), await here.viewer()]
            for client in clients:
                await client.until(lambda client=client: codes(client), "the picture")
            move(here, 200, 100)
            for client in clients:
                await client.until(lambda client=client: positions(client), "the place")
                client.point(*positions(client)[-1])
                await client.listen(0.05)
            assert here.console.pointer.log == []
            # from where it was told to be the user goes on
            clients[0].point(201, 100)
            clients[0].point(200, 100)
            await until(lambda: here.console.pointer.log == [("to", 201, 100), ("to", 200, 100)])

    async def test_a_relative_mouse_and_a_hidden_pointer_are_left_alone(self) -> None:
        async with house() as here:
            client = await here.viewer()
            await client.until_shown(here.console.surface.frame.pixels)
            move(here, 200, 100)
            await client.listen(0.1)
            here.console.show_cursor(arrow(0xFF0000))
            here.console.pointer.is_absolute = False
            move(here, 100, 100)
            await client.listen(0.1)
            assert positions(client) == []


def move(here: RdpHouse, x: int, y: int) -> None:
    here.console.cursor_position = (x, y)
    here.console.changes.notify(ConsoleChange.CURSOR_POSITION)


def positions(client: RdpViewer) -> list[tuple[int, ...]]:
    return [struct.unpack("<HH", data) for code, data in client.pointers if code == POINTER_POSITION]


async def test_input_during_an_activation_is_not_lost() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile())
        await client.until_shown(here.console.surface.frame.pixels)
        client.answers_demand = False
        here.console.resize(300, 200)
        await client.until(lambda: client.desktop == (300, 200), "the demand")
        client.type(0x1E)
        client.type(0x1E, 1)
        await until(lambda: ("release", 0x1E) in here.console.keyboard.log)
        client.answers_demand = True
        client.reactivate()
        here.console.draw(0, 0, picture(1, 200, 300))
        await client.until_shown(here.console.surface.frame.pixels)
