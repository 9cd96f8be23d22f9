"""Text is copied and pasted between TigerVNC's viewer and the guest; clients without a clipboard do not mind.

The guest is a synthetic one: it is the viewer's side that is tried here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncvnc
import numpy as np
import pytest
from support.pictures import from_rgb_bytes
from support.synthetic_guest import SyntheticClipboard, SyntheticGuest
from support.viewers import TigerVnc, XServer, vncdotool_picture
from support.waiting import DEADLINE, eventually
from support.x_clipboard import XClipboard

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.session.registry import Registry
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.cut_text import clipboard_tunnel
from sidecar.vnc.server import VncServer

LONG = "Zeile für Zeile, 行\n" * 24_000
"""More than 500 kB of UTF-8."""


@dataclass(frozen=True)
class House:
    guest: SyntheticGuest
    registry: Registry
    port: int

    @property
    def machine(self) -> SyntheticClipboard:
        return self.guest.clipboard


@pytest.fixture
async def house() -> AsyncIterator[House]:
    guest = SyntheticGuest()
    guest.console.draw(0, 0, np.arange(320 * 200, dtype=np.uint32).reshape(200, 320) * 257)
    registry = Registry()
    clipboard = SharedClipboard(guest.clipboard, direction=ClipboardDirection.BOTH)
    with ThreadPoolExecutor(2) as pool, contextlib.closing(clipboard):
        with contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
            async with VncServer(
                guest,
                registry,
                broadcasts,
                Seats(guest),
                layout=Layout("us"),
                tunnels=[clipboard_tunnel(clipboard)],
                offered=Extension.EXTENDED_CLIPBOARD,
            ) as server:
                yield House(guest, registry, await server.listen_tcp("127.0.0.1", 0))


@contextlib.asynccontextmanager
async def viewer(x_server: XServer, house: House, *options: str) -> AsyncIterator[None]:
    """A viewer whose window has the focus, which is when it shares its clipboard."""
    tiger = await asyncio.to_thread(TigerVnc, x_server, f"127.0.0.1::{house.port}", options=options)
    try:
        # it has told what it can do before it asks for the first picture
        await eventually(
            lambda: any(session.frames for session in house.registry), "the viewer has a picture"
        )
        await asyncio.to_thread(x_server.run, "xdotool", "windowfocus", "--sync", tiger.window)
        yield
    finally:
        await asyncio.to_thread(tiger.close)


async def pastes(clipboard: XClipboard, text: str) -> None:
    """Returns when programs on the X display paste `text`."""
    async with asyncio.timeout(2 * DEADLINE):
        while await asyncio.to_thread(clipboard.paste) != text:
            await asyncio.sleep(0.05)


async def test_text_goes_both_ways_whatever_it_is_written_in(house: House, x_server: XServer) -> None:
    machine = house.machine
    with contextlib.closing(XClipboard(x_server)) as outside:
        async with viewer(x_server, house, "-MaxCutText=2000000"):
            for text in ("Größe: 東京 🎉\nzweite Zeile", LONG):
                machine.copy(text)
                await pastes(outside, text)
            for text in ("naïve 文字 🎈\nsecond line", LONG + "."):
                await asyncio.to_thread(outside.copy, text)
                await eventually(lambda text=text: machine.offered[-1:] == [text], "the guest has the text")
            # what a viewer got from us it does not send back
            assert LONG not in machine.offered


async def test_clients_that_share_nothing_are_not_disturbed(house: House, short_dir: Path) -> None:
    shown = house.guest.console.surface.frame.pixels
    async with asyncvnc.connect("127.0.0.1", house.port) as client:
        assert np.array_equal(from_rgb_bytes(await client.screenshot()), shown)
        # asyncvnc takes cut text for something else: it would wait for its next picture in vain
        house.machine.copy("Größe")
        assert np.array_equal(await asyncio.to_thread(vncdotool_picture, short_dir, house.port), shown)
        house.guest.console.draw(0, 0, np.full((50, 50), 0x123456, np.uint32))
        async with asyncio.timeout(2 * DEADLINE):
            assert np.array_equal(from_rgb_bytes(await client.screenshot()), shown)
    assert house.machine.offered == []
