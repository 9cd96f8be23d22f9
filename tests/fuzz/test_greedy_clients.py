"""Clients that want more than their share: of memory, of the main loop, of the guest's patience."""

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable
from itertools import cycle, islice

import numpy as np
import pytest
from served_guest import ServedGuest, served, until, until_closed
from support import rfb_wire
from support.rfb_wire import BGR233, BGRX, COLOUR_MAP, RGBX, Encoding
from support.synthetic_guest import SyntheticConsole, SyntheticGuest

from sidecar.screen.cursor import Cursor
from sidecar.transport import connection as connection_module

MOST_UNSENT = 2 << 20
"""Bytes that may wait for a client that reads nothing, whatever it asks for."""

CURSORS = (Encoding.CURSOR, Encoding.ALPHA_CURSOR, Encoding.VMWARE_CURSOR)
PLENTY = (
    Encoding.RAW,
    Encoding.FENCE,
    Encoding.CONTINUOUS_UPDATES,
    Encoding.XVP,
    Encoding.EXTENDED_DESKTOP_SIZE,
    Encoding.DESKTOP_NAME,
    Encoding.QEMU_LED,
    Encoding.POINTER_TYPE,
    Encoding.CURSOR,
)


def large_cursor(seed: int = 1) -> Cursor:
    pixels = np.random.default_rng(seed).integers(0, 1 << 32, (256, 256), np.uint64).astype(np.uint32)
    return Cursor(pixels, 0, 0)


def unsent(here: ServedGuest) -> int:
    """Bytes that wait in the transports of all viewers."""
    return sum(viewer._transport.get_write_buffer_size() for viewer in here.server.viewers)


async def flood(here: ServedGuest, client: object, data: bytes, seconds: float = 0.6) -> int:
    """Sends `data` as far as it is taken, for a while, and reads nothing; the most that was unsent."""
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, unsent(here))
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for start in range(0, len(data), 1 << 16):
                client.writer.write(data[start : start + (1 << 16)])  # type: ignore[attr-defined]
                await client.writer.drain()  # type: ignore[attr-defined]
            await asyncio.sleep(seconds)
    watcher.cancel()
    return most


FLOODS: dict[str, bytes] = {
    "pixel formats": b"".join(
        islice(cycle(rfb_wire.set_pixel_format(form) for form in (BGRX, RGBX, BGR233)), 60000)
    ),
    "colour maps": rfb_wire.set_pixel_format(COLOUR_MAP) * 60000,
    "cursor kinds": b"".join(
        islice(cycle(rfb_wire.set_encodings([Encoding.RAW, kind]) for kind in CURSORS), 60000)
    ),
    "fences": rfb_wire.fence(1 << 31, bytes(64)) * 60000,
    "power": b"\xfa\0\x01\x03" * 400000,
    "refused sizes": struct.pack(">BxHHBx", 251, 0, 0, 0) * 200000,
    "full updates": rfb_wire.update_request(False, 0, 0, 320, 200) * 200000,
    "ends of continuous updates": rfb_wire.enable_continuous_updates(False, 0, 0, 0, 0) * 200000,
}


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS.keys())
async def test_answers_that_nobody_reads_do_not_pile_up(data: bytes) -> None:
    async with served(allow_power=True) as here:
        here.console.show_cursor(large_cursor())
        async with await here.connect(encodings=PLENTY) as greedy, await here.connect() as other:
            await greedy.refresh()
            assert await flood(here, greedy, data) < MOST_UNSENT
            here.console.draw(0, 0, np.full((9, 9), 5, np.uint32))
            await other.until_shown(here.console.surface.frame.pixels)
            greedy.writer.transport.abort()
        await until(lambda: here.registry.count() == 0)


async def test_a_client_that_floods_and_then_reads_gets_every_answer() -> None:
    count = 40000
    async with served() as here, await here.connect(encodings=PLENTY) as client:
        await client.refresh()
        client.writer.transport.pause_reading()
        sending = asyncio.create_task(client.send(rfb_wire.fence(1 << 31, bytes(64)) * count))
        await asyncio.sleep(0.3)
        client.writer.transport.resume_reading()
        answers = 0
        async with asyncio.timeout(30):
            while answers < count:
                message = await client.receive()
                answers += isinstance(message, rfb_wire.Fence) and message.payload == bytes(64)
        await sending


@pytest.mark.parametrize("change", ["cursor", "leds", "name"])
async def test_what_the_guest_does_meanwhile_is_told_once_to_a_client_that_did_not_read(change: str) -> None:
    async with served(name="vm") as here, await here.connect(encodings=PLENTY) as client:
        await client.refresh()
        here.console.show_cursor(large_cursor())
        client.writer.transport.pause_reading()
        for number in range(300):
            # the first fill the system's buffers
            here.console.show_cursor(large_cursor(number % 3))
            if change == "leds":
                here.console.set_leds(type(here.console.keyboard.leds)(number % 8))
            if change == "name":
                here.server._name = f"vm{number}"
                here.registry.changed()
            await asyncio.sleep(0)
            assert unsent(here) < MOST_UNSENT
        last = large_cursor(77)
        here.console.show_cursor(last)
        client.writer.transport.resume_reading()
        shown = last.pixels | np.uint32(0)
        opaque = shown >= 0x80000000
        await client.until(
            lambda: (
                client.cursor is not None
                and bool((client.cursor[opaque] == shown[opaque] | 0xFF000000).all())
            ),
            "the last cursor is shown",
        )
        if change == "leds":
            await client.until(lambda: client.leds == 299 % 8, "the lights of now")
        if change == "name":
            await client.until(lambda: client.name == "vm299 - 1 viewer", "the name of now")


class SlowConsole(SyntheticConsole):
    """Takes ten input events a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0
        self.most = 0

    @property  # type: ignore[override]
    def input_backlog(self) -> int:
        waiting = len(self.keyboard.log) - self.taken
        self.most = max(self.most, waiting)
        return waiting

    @input_backlog.setter
    def input_backlog(self, _value: int) -> None:
        pass


async def test_a_guest_that_is_slow_to_take_keys_gets_all_of_them_and_never_too_many() -> None:
    console = SlowConsole()
    count = 20000
    async with served(guest=SyntheticGuest(console)) as here, await here.connect() as client:
        stroke = rfb_wire.extended_key_event(0, 0x1E, True) + rfb_wire.extended_key_event(0, 0x1E, False)
        await client.send(rfb_wire.set_encodings([Encoding.RAW, Encoding.QEMU_EXTENDED_KEY]))
        sending = asyncio.create_task(client.send(stroke * (count // 2)))
        async with asyncio.timeout(60):
            while console.taken < count:
                await asyncio.sleep(0.001)
                console.taken = min(len(console.keyboard.log), console.taken + 300)
        await sending
        assert len(console.keyboard.log) == count
        # what one client may have waiting, and little more
        assert console.most < 1000


async def test_a_chunk_full_of_messages_does_not_stop_the_main_loop() -> None:
    count = 100_000
    async with served() as here, await here.connect() as client:
        await client.refresh()
        (viewer,) = here.server.viewers
        viewer.data_received(rfb_wire.pointer_event(1, 1) * count)
        done = len(here.console.pointer.log)
        assert 0 < done < count
        await until(lambda: len(here.console.pointer.log) == count, "the rest is done later")
        await client.send(rfb_wire.pointer_event(7, 8))
        await until(lambda: here.console.pointer.log[-1] == ("to", 7, 8), "reading goes on")


async def test_one_switch_at_a_time_is_under_way_for_a_client() -> None:
    class StuckPower:
        calls = 0

        async def shut_down(self) -> None:
            StuckPower.calls += 1
            await asyncio.sleep(3600)

        reset = shut_down

    guest = SyntheticGuest()
    guest.power = StuckPower()  # type: ignore[assignment]
    async with served(guest=guest, allow_power=True) as here, await here.connect(encodings=PLENTY) as client:
        await client.refresh()
        await client.send(b"\xfa\0\x01\x04" * 1000)
        failed = 0
        while failed < 999:
            failed += isinstance(await client.receive(), rfb_wire.Xvp)
        assert StuckPower.calls == 1


async def test_a_hundred_rounds_leave_no_descriptor_behind() -> None:
    async with served(auth_timeout=20) as here:
        async with await here.connect() as client:
            await client.refresh()
        await until(lambda: not here.server.viewers)
        before = len(os.listdir("/proc/self/fd"))
        whole = (
            b"RFB 003.008\n\x01\x01"
            + rfb_wire.set_encodings([0])
            + rfb_wire.update_request(False, 0, 0, 9, 9)
        )
        leave: tuple[Callable[[asyncio.StreamWriter], None], ...] = (
            lambda writer: writer.close(),
            lambda writer: writer.transport.abort(),
            lambda writer: writer.write_eof(),
        )
        for end, go in zip(islice(cycle(range(len(whole) + 1)), 120), cycle(leave), strict=False):
            reader, writer = await here.dial()
            writer.write(whole[:end])
            if end % 2:
                await writer.drain()
                await asyncio.sleep(0)
            go(writer)
            if go is leave[2]:
                await until_closed(reader)
                writer.close()
        await until(lambda: not here.server.viewers and here.registry.count() == here.registry.waiting == 0)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before, "every socket is closed")


async def test_a_client_that_types_ahead_of_a_dead_guest_and_leaves_is_not_counted_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "PATIENCE", 0.3)
    console = SlowConsole()
    async with served(guest=SyntheticGuest(console)) as here:
        async with await here.connect() as client, await here.connect() as other:
            await client.send(rfb_wire.key_event(ord("a"), True) * 20000)
            # with more than that, nothing is read until the guest has caught up or patience ends
            await until(lambda: console.most > connection_module.MAX_BACKLOG // 2, "keys wait")
            await client.close()
            await until(lambda: here.registry.count() == 1, "the one who left is not counted")
            assert console.keyboard.log[-1] == ("release", 0x1E)
            assert console.most < 1000
            console.taken = len(console.keyboard.log)
            await other.send(rfb_wire.key_event(ord("b"), True))
            await until(lambda: console.keyboard.log[-1] == ("press", 0x30), "others type on")
