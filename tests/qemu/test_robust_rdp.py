"""The daemon as a process, before a real QEMU, among RDP clients that do everything wrong."""

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import rdp_client_pdus as client
from support import rfb_wire
from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.processes import open_descriptors, resident_bytes
from support.qemu import Qemu
from support.rdp_rough_client import BITMAPS, PIPELINE, RoughClient
from support.rdp_script import STEPS, Profile
from support.rdp_viewer import GRAPHICS_PROFILE, RdpViewer
from support.rfb_client import AsyncRfbClient
from support.waiting import eventually, wait_until

MEGABYTE = 1 << 20
CROWD = 32
PASSWORD = "open sesame"


@pytest.fixture
def start_daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts the daemon, attached to `dbus_qemu`; it must end well, and without complaint, after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, **more: Any) -> Daemon:
            daemon = Daemon(short_dir, "--dbus-address", bus.address, *options, rdp=True, **more)
            stack.callback(daemon.close)
            size = {"width": 1024, "height": 768}
            wait_until(
                lambda: size.items() <= daemon.status()["vm"]["consoles"][0].items(), "the daemon is attached"
            )
            dbus_qemu.show(Mode.DESKTOP)
            return daemon

        yield start


async def nobody_is_left(daemon: Daemon, descriptors: int) -> None:
    await eventually(lambda: open_descriptors(daemon.pid) <= descriptors, "every connection is closed")
    assert daemon.status()["sessions"] == []


async def shown(viewer: RdpViewer, qemu: Qemu) -> None:
    """Makes sure that what the guest shows now is seen."""
    await asyncio.to_thread(qemu.show, Mode.STILL)
    await asyncio.to_thread(qemu.show, Mode.DESKTOP)
    await viewer.until_shown(desktop())


async def test_two_hundred_silent_connections_and_thirty_two_sessions_in_one_instant(
    start_daemon: Callable[..., Daemon],
) -> None:
    daemon = start_daemon("--max-sessions", str(CROWD))
    descriptors = open_descriptors(daemon.pid)
    async with contextlib.AsyncExitStack() as clients:
        with contextlib.ExitStack() as silent:
            for _ in range(200):
                silent.enter_context(socket.create_connection(daemon.rdp, timeout=30))

            async def watch(number: int) -> RdpViewer:
                profile = GRAPHICS_PROFILE if number % 2 else Profile()
                viewer = await clients.enter_async_context(await RdpViewer.connect(*daemon.rdp, profile))
                await viewer.until_shown(desktop())
                return viewer

            await asyncio.gather(*(watch(number) for number in range(CROWD)))
            assert (await asyncio.to_thread(daemon.status))["service"]["rdp"]["sessions"] == CROWD
            with pytest.raises(EOFError):
                await RdpViewer.connect(*daemon.rdp)
    await nobody_is_left(daemon, descriptors)
    assert "cause=full" in daemon.process.output
    assert resident_bytes(daemon.pid) < 200 * MEGABYTE


async def test_endless_keys_over_both_protocols_neither_fill_memory_nor_hold_up_others(
    start_daemon: Callable[..., Daemon], dbus_qemu: Qemu
) -> None:
    """All at once, since what takes time is the daemon's patience with those who are ahead of the guest."""
    daemon = start_daemon()
    # ten thousand each
    events = b"".join(bytes((number & 1, 0x1E)) for number in range(250))
    strokes = (b"\0" + struct.pack(">H", 0x8000 | 4 + len(events)) + b"\xfa" + events) * 40
    vnc_strokes = b"".join(rfb_wire.key_event(ord("a"), down) for down in (True, False)) * 5000
    # codes that no key has: read as fast as they come, since the guest has no part in it
    unknown = strokes.replace(b"\x1e", b"\x7a")
    vnc_unknown = b"".join(rfb_wire.key_event(0x0FFFFFFF, down) for down in (True, False)) * 5000
    fences = (rfb_wire.Encoding.RAW, rfb_wire.Encoding.FENCE)
    async with (
        await RdpViewer.connect(*daemon.rdp, GRAPHICS_PROFILE) as other,
        await AsyncRfbClient.connect(daemon.address, encodings=(rfb_wire.Encoding.TIGHT,)) as vnc_other,
        await RoughClient.connect(*daemon.rdp, BITMAPS) as typist,
        await RoughClient.connect(*daemon.rdp, BITMAPS) as babbler,
        await AsyncRfbClient.connect(daemon.address, encodings=fences) as vnc_typist,
        await AsyncRfbClient.connect(daemon.address, encodings=fences) as vnc_babbler,
    ):
        await other.until_shown(desktop())
        await vnc_other.until_shown(desktop())
        before = resident_bytes(daemon.pid)
        most = 0

        async def flood(writer: asyncio.StreamWriter, data: bytes, seconds: float) -> None:
            """Sends a hundred and fifty thousand keys, or what is taken within that time."""
            nonlocal most
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    for _ in range(15):
                        writer.write(data)
                        await writer.drain()
                        most = max(most, resident_bytes(daemon.pid))

        async def babble() -> None:
            nonlocal most
            await flood(vnc_babbler.writer, vnc_unknown, 60)
            await vnc_babbler.send(rfb_wire.fence(1 << 31, b"all read"))
            async with asyncio.timeout(60):
                while not _is_answer(await vnc_babbler.receive(), b"all read"):
                    most = max(most, resident_bytes(daemon.pid))

        await asyncio.gather(
            flood(typist.writer, strokes, 2),
            flood(babbler.writer, unknown, 2),
            flood(vnc_typist.writer, vnc_strokes, 2),
            babble(),
        )
        await shown(other, dbus_qemu)
        await vnc_other.until_shown(desktop())
        most = max(most, resident_bytes(daemon.pid))
        # as anything but bytes, the keys would take more
        assert most < before + 20 * MEGABYTE
        for writer in (typist.writer, babbler.writer, vnc_typist.writer, vnc_babbler.writer):
            writer.transport.abort()
    await eventually(lambda: not daemon.sessions(), "nobody is counted", 60)


def _is_answer(message: object, payload: bytes) -> bool:
    return isinstance(message, rfb_wire.Fence) and message.payload == payload


async def test_clients_that_never_read_or_acknowledge_while_the_guest_repaints(
    start_daemon: Callable[..., Daemon], dbus_qemu: Qemu
) -> None:
    daemon = start_daemon()
    unframed = tuple(each for each in client.capability_sets(1024, 768) if each[:2] != b"\x1e\0")
    async with contextlib.AsyncExitStack() as clients:
        reads = await clients.enter_async_context(await RdpViewer.connect(*daemon.rdp, GRAPHICS_PROFILE))
        await reads.until_shown(desktop())
        for number in range(4):
            profile = replace(PIPELINE if number % 2 else BITMAPS, capability_sets=unframed)
            stuck = await clients.enter_async_context(await RoughClient.connect(*daemon.rdp, profile))
            if number % 2:
                channel = await stuck.open_graphics()
                if number == 3:
                    suspend = struct.pack("<HHIIII", 13, 0, 20, 0xFFFFFFFF, 0, 0)
                    stuck.send(stuck.dynamic_data(channel, suspend))
                    await stuck.flush()
            stuck.writer.transport.pause_reading()
        before = resident_bytes(daemon.pid)
        await asyncio.to_thread(dbus_qemu.show, Mode.REPAINT)
        most = 0
        end = time.monotonic() + 3
        while time.monotonic() < end:
            await reads.listen(0.05)
            most = max(most, resident_bytes(daemon.pid))
        # each may have one whole picture of 3 MB unsent, twice over in TLS, and a little more
        assert most < before + 4 * 8 * MEGABYTE + 20 * MEGABYTE
        assert len(await asyncio.to_thread(daemon.sessions)) == 5
        await shown(reads, dbus_qemu)
    await eventually(lambda: not daemon.sessions(), "nobody is counted")


async def test_random_bytes_at_every_stage_harm_nobody(
    start_daemon: Callable[..., Daemon], dbus_qemu: Qemu
) -> None:
    daemon = start_daemon()
    descriptors = open_descriptors(daemon.pid)
    chance = random.Random(7)
    async with await RdpViewer.connect(*daemon.rdp, GRAPHICS_PROFILE) as good:
        await good.until_shown(desktop())
        before = resident_bytes(daemon.pid)
        for number in range(300):
            step = (*STEPS, "")[number % (len(STEPS) + 1)]
            async with await RoughClient.open(*daemon.rdp, PIPELINE) as rough:
                await rough.until_step(step)
                noise = chance.randbytes(chance.randrange(1, 3000))
                match number % 3:
                    case 0:
                        rough.send(noise)
                    case 1:
                        rough.send(client.x224_data(noise))
                    case 2:
                        rough.send(rough.step(step)[: -chance.randrange(1, 9)] if step else rough.io(noise))
                await rough.flush()
                if number % 2:
                    rough.abort()
        await shown(good, dbus_qemu)
        assert len(await asyncio.to_thread(daemon.sessions)) == 1
        assert resident_bytes(daemon.pid) < before + 40 * MEGABYTE
    await nobody_is_left(daemon, descriptors)


async def test_stalled_logins_wrong_passwords_and_then_the_right_one_from_another_address(
    start_daemon: Callable[..., Daemon], short_dir: Path
) -> None:
    (short_dir / "password").write_text(PASSWORD)
    daemon = start_daemon(
        *("--auth-timeout", "2"),
        auth=("--auth", "password", "--password-file", str(short_dir / "password")),
    )
    descriptors = open_descriptors(daemon.pid)
    proven = Profile(password=PASSWORD)
    stalled = []
    for step in STEPS:
        stalled.append(await RoughClient.open(*daemon.rdp, proven))
        await stalled[-1].until_step(step)
    for beginning in (b"", b"\x30", b"\x30\x82\xff\x00" + bytes(9000)):
        # no RDP follows, but CredSSP
        stalled.append(await RoughClient.open(*daemon.rdp, replace(proven, protocols=3)))
        await stalled[-1].negotiate()
        stalled[-1].send(beginning)
    for number in range(20):
        async with await RoughClient.open(*daemon.rdp, Profile(password=f"wrong{number}")) as guesser:
            with pytest.raises(EOFError):
                await guesser.until_step("confirm_active")
    knowing = replace(GRAPHICS_PROFILE, password=PASSWORD)
    async with await RdpViewer.connect(*daemon.rdp, knowing, "127.0.0.2") as viewer:
        await viewer.until_shown(desktop())
        for peer in stalled:
            await peer.ended()
            await peer.close()
        (session,) = await asyncio.to_thread(daemon.sessions)
        assert (session["protocol"], session["auth"], session["tls"]) == ("rdp", "password", True)
    await nobody_is_left(daemon, descriptors)
    for secret in ("sesame", "wrong7"):
        assert secret not in daemon.process.output
    assert daemon.process.output.count("login timed out") == len(stalled)
