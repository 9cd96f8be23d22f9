"""A message over the picture of one VNC session: there, then gone without a trace, and nobody else's."""

import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import rfb_wire
from support.rfb_client import AsyncRfbClient
from support.rfb_wire import RGB565, Encoding
from support.synthetic_guest import SyntheticConsole, SyntheticGuest
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.screen.notice import notice_box
from sidecar.session.messages import NoPicture, show_message, show_message_to_all
from sidecar.session.registry import Registry
from sidecar.vnc.server import VncServer

Address = tuple[str, int]

SIZE = 640, 400
TEXT = "The machine restarts at noon: save your work."
LONG, SHORT = 60, 1
"""Seconds: a test that waits for a message has it stay, one that waits for its end does not."""

EXACT_ENCODINGS = (Encoding.RAW, Encoding.HEXTILE, Encoding.ZLIB, Encoding.ZRLE, Encoding.TIGHT)


@pytest.fixture
def guest() -> SyntheticGuest:
    guest = SyntheticGuest()
    guest.console.resize(*SIZE)
    guest.console.draw(0, 0, noise(0))
    return guest


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def address(guest: SyntheticGuest, registry: Registry) -> AsyncIterator[Address]:
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        async with VncServer(guest, registry, broadcasts, Seats(guest), layout=Layout("us")) as server:
            yield "127.0.0.1", await server.listen_tcp("127.0.0.1", 0)


def noise(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 24, size[::-1], dtype=np.uint32)


def picture(guest: SyntheticGuest, text: str = "") -> np.ndarray:
    """What the guest shows, with a message over it."""
    pixels = guest.console.surface.frame.pixels.copy()
    if text:
        area, box = notice_box(pixels.shape[1], pixels.shape[0], text)
        pixels[area.y : area.bottom, area.x : area.right] = box
    return pixels


@pytest.mark.parametrize("encoding", EXACT_ENCODINGS)
async def test_it_stands_over_the_picture_and_then_the_picture_is_exact_again(
    address: Address, guest: SyntheticGuest, registry: Registry, encoding: Encoding
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(encoding,)) as client:
        await client.until_shown(picture(guest))
        (session,) = registry
        show_message(registry, session.id, TEXT, SHORT)
        await client.until_shown(picture(guest, TEXT))
        await client.until_shown(picture(guest))


async def test_it_comes_in_the_pixel_format_of_the_client(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(
        address, encodings=(Encoding.ZRLE,), pixel_format=RGB565
    ) as client:
        await client.until_shown(picture(guest))
        show_message_to_all(registry, TEXT, LONG)
        await client.until_shown(picture(guest, TEXT))


async def test_it_stays_when_the_client_wants_other_encodings_and_colours(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.ZRLE,)) as client:
        await client.until_shown(picture(guest))
        show_message_to_all(registry, TEXT, LONG)
        await client.until_shown(picture(guest, TEXT))
        client.set_encodings((Encoding.TIGHT,))
        client.set_pixel_format(RGB565)
        client.values[:] = 0
        await client.until_shown(picture(guest, TEXT))
        show_message_to_all(registry, "Over.", SHORT)
        await client.until_shown(picture(guest))


async def test_around_and_under_it_the_picture_goes_on(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.ZRLE,)) as client:
        await client.until_shown(picture(guest))
        (session,) = registry
        show_message(registry, session.id, TEXT, LONG)
        await client.until_shown(picture(guest, TEXT))
        for seed in range(1, 4):
            guest.console.draw(0, 0, noise(seed))
            await client.until_shown(picture(guest, TEXT))
        guest.console.draw(300, 190, noise(9)[:20, :20])
        show_message(registry, session.id, "Now.", SHORT)
        await client.until_shown(picture(guest))


async def test_another_session_does_not_see_it_and_shares_what_is_encoded(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.ZRLE,)) as told:
        await told.until_shown(picture(guest))
        (session,) = registry
        async with await AsyncRfbClient.connect(address, encodings=(Encoding.ZRLE,)) as other:
            await other.until_shown(picture(guest))
            show_message(registry, session.id, TEXT, LONG)
            await told.until_shown(picture(guest, TEXT))
            for seed in range(1, 4):
                guest.console.draw(0, 0, noise(seed))
                await other.until_shown(picture(guest))
                await told.until_shown(picture(guest, TEXT))
        # one who comes while it stands there
        async with await AsyncRfbClient.connect(address, encodings=(Encoding.ZRLE,)) as late:
            await late.until_shown(picture(guest))


async def test_a_second_one_takes_the_place_of_the_first(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.HEXTILE,)) as client:
        await client.until_shown(picture(guest))
        assert show_message_to_all(registry, "A much longer message. " * 15, LONG) == 1
        await client.until_shown(picture(guest, " ".join(["A much longer message."] * 15)))
        show_message_to_all(registry, "Short.", LONG)
        await client.until_shown(picture(guest, "Short."))


async def test_who_asks_for_nothing_meanwhile_is_shown_it_later(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.RAW,)) as client:
        # the answer is read, and nothing more is asked for
        await client.refresh()
        assert client.shows(picture(guest))
        (session,) = registry
        show_message(registry, session.id, TEXT, SHORT)
        assert await client.receive() == rfb_wire.Bell()
        async with await AsyncRfbClient.connect(address) as other:
            # a second and more goes by
            await other.until_shown(picture(guest))
            show_message(registry, list(registry)[1].id, TEXT, SHORT)
            await other.until_shown(picture(guest, TEXT))
            await other.until_shown(picture(guest))
        await client.until_shown(picture(guest, TEXT))
        await client.until_shown(picture(guest))


async def test_it_stays_where_the_screen_becomes_another_size(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(
        address, encodings=(Encoding.ZRLE, Encoding.DESKTOP_SIZE)
    ) as client:
        await client.until_shown(picture(guest))
        show_message_to_all(registry, TEXT, LONG)
        await client.until_shown(picture(guest, TEXT))
        guest.console.resize(1024, 768)
        guest.console.draw(0, 0, noise(1, (1024, 768)))
        await client.until_shown(picture(guest, TEXT))
        show_message_to_all(registry, "Over.", SHORT)
        await client.until_shown(picture(guest))


async def test_it_stays_when_the_session_looks_at_another_console(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    second = SyntheticConsole(1, *SIZE)
    second.draw(0, 0, noise(5))
    guest.consoles[1] = second
    async with await AsyncRfbClient.connect(address, encodings=(Encoding.ZRLE,)) as client:
        await client.until_shown(picture(guest))
        show_message_to_all(registry, TEXT, LONG)
        await client.until_shown(picture(guest, TEXT))
        for keysym in (0xFFE3, 0xFFE9, ord("2")):
            await client.send(rfb_wire.key_event(keysym, True))
        shown = second.surface.frame.pixels.copy()
        area, box = notice_box(*SIZE, TEXT)
        shown[area.y : area.bottom, area.x : area.right] = box
        await client.until_shown(shown)


async def test_a_session_without_a_picture_is_refused_and_left_out(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address) as client:
        await eventually(lambda: registry.count() == 1, "it is logged in")
        (session,) = registry
        with pytest.raises(NoPicture, match=session.id):
            show_message(registry, session.id, TEXT)
        assert show_message_to_all(registry, TEXT) == 0
        await client.until_shown(picture(guest))
        assert show_message_to_all(registry, TEXT) == 1


async def test_one_that_leaves_amid_a_message_leaves_nothing_behind(
    address: Address, guest: SyntheticGuest, registry: Registry
) -> None:
    async with await AsyncRfbClient.connect(address) as client:
        await client.until_shown(picture(guest))
        (session,) = registry
        show_message(registry, session.id, TEXT, SHORT)
        await client.until_shown(picture(guest, TEXT))
    await eventually(lambda: registry.count() == 0, "it is gone")
    assert session.show is None
