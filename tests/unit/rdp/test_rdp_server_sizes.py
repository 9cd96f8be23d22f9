"""Clients that want other sizes, or see several consoles, with a synthetic guest behind the server."""

import asyncio

import numpy as np
import pytest
from support.rdp_house import RdpHouse, house, picture, until
from support.rdp_viewer import DISPLAY_CONTROL, UNSCALED, RdpViewer, bitmap_profile, graphics_profile

from sidecar.rdp import size_wishes
from sidecar.session.registry import Policy

TWO_MONITORS = graphics_profile(monitors=((0, 0, 1023, 767, 1), (1024, 0, 2047, 767, 0)))


class UnscaledViewer(RdpViewer):
    """Cannot scale surfaces, as FreeRDP 2 cannot."""

    graphics_sets = UNSCALED


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_wishes, "RESIZE_TIME", 0.2)


async def ready(client: RdpViewer) -> None:
    await client.until(lambda: DISPLAY_CONTROL in client.numbers, "display control")
    await client.until(lambda: any(each.channel == DISPLAY_CONTROL for each in client.messages), "its caps")


async def drawn(here: RdpHouse, seed: int = 1) -> np.ndarray:
    pixels = here.console.surface.frame.pixels
    here.console.draw(0, 0, picture(seed, *pixels.shape))
    return pixels


@pytest.mark.parametrize("kind", [RdpViewer, UnscaledViewer])
async def test_a_guest_that_obeys_is_shown_in_the_size_that_was_wished(kind: type[RdpViewer]) -> None:
    async with house() as here:
        client = await here.viewer(kind=kind)
        await ready(client)
        for size in ((640, 480), (800, 600), (320, 200)):
            client.wish(size)
            await client.until(lambda size=size: client.screen.size == size, "the size")
            await client.until_shown(await drawn(here))
        # nothing of the wishes is left that would come back later
        here.console.resize(500, 400)
        await client.until_shown(await drawn(here))
        assert client.screen.size == (500, 400)


async def test_a_client_of_bitmaps_may_wish_too() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile())
        await ready(client)
        client.wish((640, 480))
        await client.until(lambda: client.desktop == (640, 480) and client.activations == 2, "the size")
        await client.until_shown(await drawn(here))
        here.console.resizable = False
        client.wish((800, 600))
        await client.listen(0.3)
        assert client.activations == 2


@pytest.mark.parametrize("refuses", [True, False], ids=["refuses", "does not answer"])
async def test_a_guest_that_keeps_its_size_is_scaled(refuses: bool) -> None:
    async with house() as here:
        here.console.resizable, here.console.obeys = not refuses, False
        client = await here.viewer()
        await ready(client)
        client.wish((640, 480))
        await client.until(lambda: client.screen.size == (640, 480), "the desktop")
        pixels = await drawn(here)
        await client.until(lambda: np.array_equal(client.screen.surfaces[0], pixels), "the guest's picture")
        place = client.screen.mappings[0]
        assert (place.x, place.y, place.width, place.height) == (0, 40, 640, 400)
        client.point(321, 241)
        await until(lambda: here.console.pointer.log[-1:] == [("to", 160, 100)])
        client.point(0, 0)
        await until(lambda: here.console.pointer.log[-1:] == [("to", 0, 0)])
        # another wish, and then the guest's own size: each is answered
        client.wish((1000, 300))
        await client.until(lambda: client.screen.size == (1000, 300), "the other desktop")
        client.wish((320, 200))
        await client.until(lambda: client.screen.size == (320, 200), "the guest's size")
        await client.until_shown(pixels)


async def test_a_scaled_client_stays_as_it_is_while_it_waits_for_another_size() -> None:
    async with house() as here:
        here.console.obeys = False
        client = await here.viewer()
        await ready(client)
        client.wish((640, 480))
        await client.until(lambda: client.screen.size == (640, 480), "the desktop")
        client.wish((700, 500))
        await client.listen(0.05)
        assert client.screen.size == (640, 480)
        await client.until(lambda: client.screen.size == (700, 500), "the other desktop")


async def test_a_guest_that_changes_its_size_by_itself_is_fitted_to_the_size_that_was_wished() -> None:
    async with house() as here:
        here.console.obeys = False
        client = await here.viewer()
        await ready(client)
        client.wish((640, 480))
        await client.until(lambda: client.screen.size == (640, 480), "the desktop")
        here.console.resize(400, 400)
        await client.until(lambda: client.screen.mappings[0].width == 480, "the other shape")
        assert client.screen.size == (640, 480)
        here.console.resize(640, 480)
        await client.until_shown(await drawn(here))
        # the wish has come true after all: from now on the client follows
        here.console.resize(500, 400)
        await client.until_shown(await drawn(here))


async def test_a_client_that_cannot_scale_keeps_the_guests_size() -> None:
    async with house() as here:
        here.console.resizable = False
        client = await here.viewer(kind=UnscaledViewer)
        await ready(client)
        client.wish((640, 480))
        await client.listen(0.3)
        await client.until_shown(await drawn(here))
        assert client.screen.size == (320, 200)


async def test_only_the_latest_of_many_wishes_is_asked_for_when_the_guest_is_slow() -> None:
    async with house() as here:
        client = await here.viewer()
        await ready(client)
        asked, go_on = [], asyncio.Event()

        async def slow(width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
            asked.append((width, height))
            await go_on.wait()
            here.console.resize(width, height)

        here.console.request_size = slow  # type: ignore[method-assign]
        for width in range(400, 600, 2):
            client.wish((width, 300))
        await until(lambda: asked)
        await client.listen(0.1)
        go_on.set()
        await until(lambda: asked[-1] == (598, 300))
        assert len(asked) <= 5
        await client.until(lambda: here.console.surface.frame.width == 598, "the last one")
        await client.until_shown(await drawn(here))


async def test_a_view_only_client_changes_no_size() -> None:
    async with house(Policy(view_only=True)) as here:
        client = await here.viewer()
        await ready(client)
        client.wish((640, 480))
        await client.listen(0.3)
        assert client.screen.size == (320, 200)
        assert here.console.surface.frame.width == 320


async def test_other_clients_follow_the_size_that_one_has_wished() -> None:
    async with house() as here:
        one, other, plain = await here.viewer(), await here.viewer(), await here.viewer(bitmap_profile())
        await ready(one)
        one.wish((400, 300))
        await one.until(lambda: one.screen.size == (400, 300), "the size")
        pixels = await drawn(here)
        for client in (one, other, plain):
            await client.until_shown(pixels)


def desktop_of(here: RdpHouse, count: int) -> np.ndarray:
    frames = [here.guest.consoles[number].surface.frame for number in range(count)]
    shown = np.zeros((max(frame.height for frame in frames), sum(frame.width for frame in frames)), np.uint32)
    left = 0
    for frame in frames:
        shown[: frame.height, left : left + frame.width] = frame.pixels
        left += frame.width
    return shown


class TestSeveralConsoles:
    async def test_they_are_monitors_side_by_side(self) -> None:
        async with house(sizes=((320, 200), (200, 300), (100, 100))) as here:
            client = await here.viewer(TWO_MONITORS)
            for seed in range(3):
                for console in here.guest.consoles.values():
                    console.draw(0, 0, picture(seed + console.index, *console.surface.frame.pixels.shape))
                await client.until_shown(desktop_of(here, 2))
            assert client.screen.monitors == [(0, 0, 319, 199, 1), (320, 0, 519, 299, 0)]
            assert client.most_in_flight <= 4

    async def test_a_client_with_one_monitor_sees_the_first(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer()
            await client.until_shown(desktop_of(here, 1))

    async def test_a_client_of_bitmaps_sees_the_first(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer(bitmap_profile())
            await client.until_shown(desktop_of(here, 1))

    async def test_one_that_acknowledges_nothing_gets_two_frames_of_each(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer(TWO_MONITORS, prepare=stop_acknowledging)
            for seed in range(8):
                for console in here.guest.consoles.values():
                    console.draw(0, 0, picture(seed + console.index, *console.surface.frame.pixels.shape))
                await client.listen(0.05)
            assert 2 < len(client.screen.frames) <= 4
            client.acknowledges = True
            client.acknowledge_frames()
            await client.until_shown(desktop_of(here, 2))

    async def test_one_of_them_may_change_its_size(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer(TWO_MONITORS)
            await client.until_shown(desktop_of(here, 2))
            for number, size in ((1, (150, 150)), (0, (250, 222)), (1, (333, 100))):
                here.guest.consoles[number].resize(*size)
                here.guest.consoles[number].draw(0, 0, picture(number, size[1], size[0]))
                await client.until_shown(desktop_of(here, 2))

    async def test_input_goes_to_the_one_that_is_pointed_at(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer(TWO_MONITORS)
            await client.until_shown(desktop_of(here, 2))
            first, second = here.guest.consoles.values()
            client.point(10, 20, 0x9000)
            client.point(330, 40)
            client.type(0x1E)
            await until(lambda: second.keyboard.held == {0x1E})
            assert first.pointer.log[:2] == [("to", 10, 20), ("press", 0)]
            assert second.pointer.log[-1] == ("to", 10, 40)
            client.point(330, 40, 0x1000)
            await until(lambda: ("release", 0) in first.pointer.log)

    async def test_each_may_be_wished_in_its_own_size(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer(TWO_MONITORS)
            await ready(client)
            client.wish((400, 300), (250, 200))
            await client.until(lambda: client.screen.size == (650, 300), "the sizes")
            await client.until(lambda: client.shows(desktop_of(here, 2)), "both")

    async def test_a_client_that_goes_over_to_one_monitor_and_back_is_followed(self) -> None:
        async with house(sizes=((320, 200), (200, 300))) as here:
            client = await here.viewer(TWO_MONITORS)
            await ready(client)
            await client.until_shown(desktop_of(here, 2))
            client.point(400, 40)
            client.wish((640, 480))
            await client.until(lambda: client.screen.size == (640, 480), "one monitor")
            here.guest.consoles[1].draw(0, 0, picture(5, 300, 200))
            await client.until_shown(desktop_of(here, 1))
            assert list(client.screen.surfaces) == [0]
            client.wish((400, 300), (300, 200))
            await client.until(lambda: client.screen.size == (700, 300), "two monitors")
            await client.until_shown(desktop_of(here, 2))


def stop_acknowledging(client: RdpViewer) -> None:
    client.acknowledges = False


async def test_a_monitor_layout_that_cannot_be_ends_that_session_only() -> None:
    async with house() as here:
        bad, good = await here.viewer(), await here.viewer()
        await ready(bad)
        bad.wish()
        bad.wish((300, 200), (300, 200))
        await bad.listen(0.1)
        assert here.registry.count() == 2
        bad.say(DISPLAY_CONTROL, b"\2\0\0\0")
        await bad.ended()
        await good.until_shown(await drawn(here))
        assert bad.errors == [0x10CA]
