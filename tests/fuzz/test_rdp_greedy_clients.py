"""RDP clients that want more than their share: of memory, of the main loop, of the guest's patience."""

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
import pytest
from served_guest import until
from served_rdp_guest import ServedRdpGuest, served_rdp
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_rough_client import BITMAPS, CAPS_ADVERTISE, PIPELINE, RoughClient
from support.rdp_script import STEPS, Profile
from support.synthetic_guest import SyntheticConsole, SyntheticGuest

from sidecar.screen.cursor import Cursor
from sidecar.transport import connection as connection_module

MOST_UNSENT = 2 << 20
"""Bytes that may wait for a client that reads nothing, whatever it asks for."""

SIZE = 1 << 20
"""Bytes of one flood."""


@dataclass(frozen=True)
class Flood:
    """`pdus`: what is said again and again. `step`: in front of which."""

    pdus: Callable[[RoughClient], bytes]
    step: str = ""
    profile: Profile = BITMAPS


def strokes(count: int) -> bytes:
    """A fast-path input PDU of many keys, the longest way to say it."""
    events = b"".join(bytes((number & 1, 0x1E)) for number in range(count))
    return b"\0" + struct.pack(">H", 0x8000 | 4 + len(events)) + bytes((count,)) + events


def refresh(count: int, *area: int) -> bytes:
    return struct.pack("<B3x", count) + struct.pack("<4H", *area) * count


FLOODS = {
    "control, finalizing": Flood(lambda peer: peer.request_control(), "font_list"),
    "control": Flood(lambda peer: peer.request_control()),
    "shutdown, finalizing": Flood(lambda peer: peer.share(client.SHUTDOWN_REQUEST), "font_list"),
    "shutdown": Flood(lambda peer: peer.share(client.SHUTDOWN_REQUEST)),
    "synchronize": Flood(lambda peer: peer.synchronize()),
    "synchronize, finalizing": Flood(lambda peer: peer.synchronize(), "cooperate"),
    "fonts": Flood(lambda peer: peer.font_list()),
    "cache keys": Flood(lambda peer: peer.share(client.PERSISTENT_KEY_LIST)),
    "refresh": Flood(lambda peer: peer.share(client.REFRESH_RECT, refresh(1, 0, 0, 319, 199))),
    "refresh by the hundred": Flood(
        lambda peer: peer.share(client.REFRESH_RECT, refresh(255, 0, 0, 65535, 65535))
    ),
    "hide and show": Flood(
        lambda peer: (
            peer.share(client.SUPPRESS_OUTPUT, bytes(4))
            + peer.share(client.SUPPRESS_OUTPUT, struct.pack("<B3x4H", 1, 0, 0, 319, 199))
        )
    ),
    "strokes": Flood(lambda peer: strokes(255)),
    "strokes, slow path": Flood(
        lambda peer: peer.share(
            client.INPUT,
            client.slow_path_input([(4, bytes(2) + b"\x1e\0\0\0"), (4, b"\0\x80\x1e\0\0\0")] * 600),
        )
    ),
    "text": Flood(
        lambda peer: peer.share(client.INPUT, client.slow_path_input([(5, b"\0\0A\0\0\0")] * 1200))
    ),
    "empty chunks": Flood(
        lambda peer: client.send_data(peer.user, peer.channels["drdynvc"], struct.pack("<II", 9, 1))
    ),
    "chunks for nobody": Flood(
        lambda peer: client.send_data(peer.user, peer.channels["cliprdr"], struct.pack("<II", 9, 3))
    ),
    "starting over": Flood(lambda peer: peer.dynamic_data(1, CAPS_ADVERTISE), profile=PIPELINE),
    "acknowledgements": Flood(
        lambda peer: peer.dynamic_data(1, struct.pack("<HHIIII", 13, 0, 20, 0xFFFFFFFF, 1, 1) * 79),
        profile=PIPELINE,
    ),
    "cache offers": Flood(
        lambda peer: peer.dynamic_data(1, struct.pack("<HHI", 16, 0, 8) * 199), profile=PIPELINE
    ),
    "closes": Flood(lambda peer: peer.channel("drdynvc", b"\x40\x02"), profile=PIPELINE),
}


async def flood(here: ServedRdpGuest, peer: RoughClient, data: bytes) -> int:
    """Sends `data` as far as it is taken, for a while, and reads nothing; the most that was unsent."""
    peer.writer.transport.pause_reading()
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, here.unsent)
            await asyncio.sleep(0)

    watcher = asyncio.create_task(watch())
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.5):
            for start in range(0, len(data), 1 << 16):
                peer.send(data[start : start + (1 << 16)])
                await peer.writer.drain()
            await asyncio.sleep(0.1)
    watcher.cancel()
    return most


@pytest.mark.parametrize("what", FLOODS.values(), ids=FLOODS.keys())
async def test_floods_fill_no_memory_and_hold_nobody_up(what: Flood) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.dial(what.profile)
        await peer.until_step(what.step)
        if what.profile is PIPELINE:
            await peer.open_graphics()
        pdus = what.pdus(peer)
        assert await flood(here, peer, pdus * (SIZE // len(pdus))) < MOST_UNSENT
        await here.serves(witness)
        peer.abort()
        await until(lambda: len(here.server.viewers) == 1, "who has left is forgotten")


async def test_a_client_that_floods_and_then_reads_gets_every_answer() -> None:
    count = 30_000
    async with served_rdp() as here:
        peer = await here.connect()
        peer.writer.transport.pause_reading()
        pdu = peer.request_control()

        async def say() -> None:
            for _ in range(count // 100):
                peer.send(pdu * 100)
                await peer.flush()

        saying = asyncio.create_task(say())
        await asyncio.sleep(0.3)
        assert here.unsent < MOST_UNSENT
        peer.writer.transport.resume_reading()
        granted = struct.pack("<H", 2)
        async with asyncio.timeout(30):
            while sum(getattr(pdu, "body", b"")[:2] == granted for pdu in peer.inbox) < count:
                await peer.hear()
        await saying
        await here.serves(peer)


class SlowConsole(SyntheticConsole):
    """Takes input events when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0
        self.most = 0

    @property  # type: ignore[override]
    def input_backlog(self) -> int:
        waiting = len(self.keyboard.log) + len(self.pointer.log) - self.taken
        self.most = max(self.most, waiting)
        return waiting

    @input_backlog.setter
    def input_backlog(self, _value: int) -> None:
        pass


MOST_AHEAD = 256 + 2 * 5000
"""What one client may have waiting, and the events of the longest PDU."""


async def test_a_guest_that_is_slow_to_take_keys_gets_all_of_them_and_never_too_many() -> None:
    console = SlowConsole()
    count = 30_000
    async with served_rdp(guest=SyntheticGuest(console)) as here:
        peer = await here.connect()
        pdu = client.fast_path_input([client.fast_path_scancode(0x1E, number & 1) for number in range(10)])

        async def say() -> None:
            for _ in range(count // 1000):
                peer.send(pdu * 100)
                await peer.flush()

        saying = asyncio.create_task(say())
        async with asyncio.timeout(60):
            while console.taken < count:
                await asyncio.sleep(0.001)
                console.taken = min(len(console.keyboard.log), console.taken + 2000)
        await saying
        assert len(console.keyboard.log) == count
        assert console.most < 1000


async def test_a_client_that_types_ahead_of_a_dead_guest_and_leaves_is_not_counted_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "PATIENCE", 0.3)
    console = SlowConsole()
    async with served_rdp(guest=SyntheticGuest(console)) as here:
        other = await here.connect()
        peer = await here.connect()
        peer.send((strokes(255)) * 300)
        await until(lambda: console.most > 128, "keys wait")
        await peer.flush()
        await peer.close()
        await until(lambda: here.registry.count() == 1, "the one who left is not counted")
        assert here.log.with_words("warning input dropped, a client sends more than the machine takes")
        assert console.keyboard.log[-1] == ("release", 0x1E)
        assert console.most < MOST_AHEAD
        console.taken = len(console.keyboard.log)
        other.send(client.fast_path_input([client.fast_path_scancode(0x30)]))
        await until(lambda: console.keyboard.log[-1] == ("press", 0x30), "others type on")


@pytest.mark.parametrize("profile", [BITMAPS, PIPELINE], ids=["bitmaps", "pipeline"])
async def test_a_client_that_never_reads_is_ended_when_it_has_stalled(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "STALLED_CHECK", 0.1)
    guest = SyntheticGuest(SyntheticConsole(0, 1024, 768))
    async with served_rdp(guest=guest) as here:
        witness = await here.connect()
        # one that acknowledges no frame gets no more than two: here it says that it never will
        stuck = await here.connect(replace(profile, capability_sets=unframed()))
        if profile is PIPELINE:
            number = await stuck.open_graphics()
            stuck.send(stuck.dynamic_data(number, struct.pack("<HHIIII", 13, 0, 20, 0xFFFFFFFF, 0, 0)))
            await stuck.flush()
            await asyncio.sleep(0.05)
        stuck.writer.transport.pause_reading()
        stuck.acknowledges = False
        most, seed = 0, 0
        async with asyncio.timeout(30):
            while here.registry.count() == 2:
                seed += 1
                noise = np.random.default_rng(seed).integers(0, 1 << 24, (768, 1024)).astype(np.uint32)
                here.console.draw(0, 0, noise)
                here.console.show_cursor(Cursor(noise[:64, :64] | 0xFF000000, 0, 0))
                await asyncio.sleep(0.03)
                most = max(most, here.unsent)
                witness.inbox.clear()
                witness._read = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        while True:
                            await witness.hear()
        # one picture, and little more
        assert most < 2 * 4 * 1024 * 768
        assert any("info    client does not read" in line for line in here.lines_of(stuck))
        await here.serves(witness)


def unframed() -> tuple[bytes, ...]:
    """Capability sets of a client that acknowledges no bitmaps."""
    return tuple(each for each in client.capability_sets(1024, 768) if each[:2] != b"\x1e\0")


async def test_a_client_is_heard_while_its_size_changes_and_shown_nothing() -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.connect()
        peer.follows = False
        here.console.resize(640, 480)
        await peer.expect(server.DeactivateAll)
        await peer.expect(server.DemandActive)
        peer.send(client.fast_path_input([client.fast_path_scancode(0x1E)]))
        await until(lambda: here.console.keyboard.log == [("press", 0x1E)], "it is typed")
        for size in ((800, 600), (320, 200), (500, 400)):
            here.console.resize(*size)
            here.console.draw(0, 0, np.full((9, 9), size[0], np.uint32))
            await asyncio.sleep(0.02)
        peer.send(peer.share(client.REFRESH_RECT, refresh(1, 0, 0, 99, 99)) * 100)
        peer.send(peer.share(client.SUPPRESS_OUTPUT, bytes(4)) * 100)
        await asyncio.sleep(0.02)
        # nothing is drawn for a client that has not confirmed
        peer.inbox.clear()
        peer._read = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.hear()
        assert not peer.heard(server.FastPathUpdate)
        for name in STEPS[6:]:
            peer.send(peer.step(name))
        # the guest has gone on meanwhile: the client follows once more
        await peer.expect(server.DeactivateAll)
        await peer.activate()
        assert peer.desktop == (500, 400)
        peer.send(peer.share(client.SUPPRESS_OUTPUT, struct.pack("<B3x4H", 1, 0, 0, 319, 199)))
        await here.serves(peer)
        await witness.expect(server.DeactivateAll)
        await peer.close()
        await until(lambda: not here.console.keyboard.held)


async def test_a_hundred_rounds_leave_no_descriptor_behind() -> None:
    async with served_rdp() as here:
        peer = await here.connect(PIPELINE)
        await peer.open_graphics()
        await peer.close()
        await until(lambda: not here.server.viewers)
        before = len(os.listdir("/proc/self/fd"))
        leave: tuple[Callable[[RoughClient], None], ...] = (
            lambda peer: peer.writer.close(),
            lambda peer: peer.abort(),
            lambda peer: peer.send(client.disconnect_ultimatum()),
            lambda peer: peer.send(client.disconnect_request()),
        )
        for step, go in islice(zip(cycle((*STEPS, "")), cycle(leave), strict=False), 100):
            peer = await here.dial(PIPELINE)
            await peer.until_step(step)
            go(peer)
            await peer.close()
        await until(lambda: not here.server.viewers and here.registry.count() == here.registry.waiting == 0)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before, "every socket is closed")
