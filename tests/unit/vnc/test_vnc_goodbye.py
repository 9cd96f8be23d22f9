"""How VNC sessions end that the server ends: RFB has no word for it, so it stands on the screen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.rfb_client import AsyncRfbClient
from support.rfb_wire import RGB565, Encoding, key_event
from support.synthetic_guest import SyntheticGuest
from support.waiting import DEADLINE, eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.broadcast.last_words import last_words
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.session.state import EndReason
from sidecar.transport import connection
from sidecar.vnc.server import VncServer

Address = tuple[str, int]

EXACT_ENCODINGS = (Encoding.RAW, Encoding.HEXTILE, Encoding.ZLIB, Encoding.ZRLE, Encoding.TIGHT)


@pytest.fixture(autouse=True)
def quick_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READING_TIME", 0.1)


@pytest.fixture
def guest() -> SyntheticGuest:
    guest = SyntheticGuest()
    guest.console.resize(640, 400)
    guest.console.draw(0, 0, np.arange(640 * 400, dtype=np.uint32).reshape(400, 640))
    return guest


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def address(guest: SyntheticGuest, registry: Registry) -> AsyncIterator[Address]:
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        async with VncServer(guest, registry, broadcasts, Seats(guest), layout=Layout("us")) as server:
            yield "127.0.0.1", await server.listen_tcp("127.0.0.1", 0)


async def hear_out(client: AsyncRfbClient) -> None:
    """Takes what comes, and asks for nothing, until the server has closed the connection."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
        async with asyncio.timeout(DEADLINE):
            while True:
                await client.receive()
    assert client.reader.at_eof()


def with_last_words(guest: SyntheticGuest, reason: EndReason) -> np.ndarray:
    """The guest's picture with the box that tells `reason`."""
    picture = guest.console.surface.frame.pixels.copy()
    area, pixels = last_words(640, 400, reason.text)
    picture[area.y : area.bottom, area.x : area.right] = pixels
    return picture


@pytest.mark.parametrize("encoding", EXACT_ENCODINGS)
async def test_why_it_ends_stands_over_the_last_picture(
    address: Address, guest: SyntheticGuest, registry: Registry, encoding: Encoding
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(encoding,)) as client:
        await client.until_shown(guest.console.surface.frame.pixels)
        registry.close(EndReason.GONE)
        assert registry.count() == 0
        await hear_out(client)
        assert client.shows(with_last_words(guest, EndReason.GONE))


async def test_it_comes_in_the_pixel_format_of_the_client(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(
        address, encodings=(Encoding.ZRLE,), pixel_format=RGB565
    ) as client:
        await client.until_shown(guest.console.surface.frame.pixels)
        registry.close(EndReason.GONE)
        await hear_out(client)
        assert client.shows(with_last_words(guest, EndReason.GONE))


async def test_it_comes_although_the_client_has_asked_for_nothing(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.RAW,)) as client:
        await eventually(lambda: registry.count() == 1, "it is logged in")
        registry.end_all(EndReason.DISCONNECTED)
        await hear_out(client)
        area, pixels = last_words(640, 400, EndReason.DISCONNECTED.text)
        assert np.array_equal(client.rgb[area.y : area.bottom, area.x : area.right], pixels)


async def test_the_name_tells_it_too(address: Address, registry: Registry) -> None:
    async with await AsyncRfbClient.connect(
        address, encodings=(Encoding.RAW, Encoding.DESKTOP_NAME)
    ) as client:
        await client.refresh()
        registry.close(EndReason.GONE)
        await hear_out(client)
        assert client.name.endswith(f" - {EndReason.GONE.text}")


async def test_who_takes_over_is_told_to_the_one_who_is_thrown_out(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    registry.policy = Policy(share=SharePolicy.EXCLUSIVE)
    async with await AsyncRfbClient.connect(address) as first:
        await first.until_shown(guest.console.surface.frame.pixels)
        async with await AsyncRfbClient.connect(address) as second:
            await second.until_shown(guest.console.surface.frame.pixels)
            await hear_out(first)
            assert first.shows(with_last_words(guest, EndReason.REPLACED))
            assert registry.count() == 1


async def test_what_is_typed_while_it_stands_there_reaches_nobody_and_what_was_held_is_let_go(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    keyboard = guest.console.keyboard
    async with await AsyncRfbClient.connect(address) as client:
        await client.send(key_event(ord("a"), True))
        await eventually(lambda: keyboard.held, "a key is held")
        registry.close(EndReason.GONE)
        assert not keyboard.held
        before = list(keyboard.log)
        await client.send(key_event(ord("b"), True) + key_event(ord("b"), False))
        await hear_out(client)
        assert keyboard.log == before


async def test_one_that_does_not_read_keeps_nobody_waiting(
    address: Address, guest: SyntheticGuest, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "GOODBYE", 0.2)
    guest.console.resize(4000, 3000)
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.RAW,)) as client:
        client.writer.transport.pause_reading()
        client.request(incremental=False)
        await client.flush()
        (session,) = registry
        await eventually(lambda: session.bytes_sent > 4000 * 3000 * 4, "more is sent than anybody keeps")
        registry.close(EndReason.GONE)
        # the fixture waits for it without end
