"""GTK-VNC, the library of virt-viewer, plays what a machine plays: the whole tone, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import numpy as np
import pytest
from support.bus import Bus
from support.gtk_vnc import GtkVnc
from support.tone import measure, tone_qemu
from support.viewers import XServer
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.guest import Guest
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.guest import QemuGuest
from sidecar.session.registry import Registry
from sidecar.vnc.audio import audio_tunnel
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.server import VncServer
from sidecar.vnc.wire import SampleFormat

HERTZ, SECONDS = 440, 3.0

FORMS = {
    "s16/44100/2": ((SampleFormat.S16, 2, 44_100), "<i2", 0),
    "u8/22050/1": ((SampleFormat.U8, 1, 22_050), "u1", 128),
}
"""By what a session tells of it: what GTK-VNC is told, the type of a sample, and silence."""


@asynccontextmanager
async def attached(address: str) -> AsyncIterator[QemuGuest]:
    """A guest that has sound."""
    guest = QemuGuest(BusAttach(address))
    task = asyncio.create_task(guest.run())
    try:
        await eventually(lambda: guest.audio.is_there, "the machine's sound is there")
        yield guest
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def served(guest: Guest) -> AsyncIterator[tuple[Registry, int]]:
    """A VNC server with sound, as its registry and its port."""
    registry = Registry()
    with ThreadPoolExecutor(2) as pool, closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        seats = Seats(guest)
        async with VncServer(
            guest,
            registry,
            broadcasts,
            seats,
            layout=Layout("us"),
            tunnels=[audio_tunnel(guest.audio)],
            offered=Extension.QEMU_AUDIO,
        ) as server:
            yield registry, await server.listen_tcp("127.0.0.1", 0)
        seats.close()


async def test_two_viewers_play_the_whole_tone_each_in_its_own_form(
    bus: Bus, short_dir: Path, x_server: XServer
) -> None:
    with tone_qemu(short_dir, bus.address) as machine:
        async with attached(bus.address) as guest, served(guest) as (registry, port):
            viewers = {name: GtkVnc(x_server, port, form) for name, (form, _, _) in FORMS.items()}
            try:
                await eventually(lambda: {session.audio for session in registry} == set(FORMS), "all listen")
                machine.play(HERTZ, SECONDS)
                await asyncio.to_thread(machine.wait)
                for name, viewer in viewers.items():
                    await eventually(lambda viewer=viewer: viewer.has_stopped, f"{name}: the sound has ended")
                for name, (form, kind, silence) in FORMS.items():
                    viewer, (_, channels, rate) = viewers[name], form
                    starts = [event for event in viewer.events if event["event"] == "start"]
                    wanted = {"format": form[0], "channels": channels, "rate": rate}
                    assert starts == [{"event": "start", **wanted}], name
                    samples = (
                        np.frombuffer(viewer.samples, kind).reshape(-1, channels).astype(float) - silence
                    )
                    heard = measure(samples, rate)
                    assert heard.frequency == pytest.approx(HERTZ, rel=0.01), name
                    assert heard.duration == pytest.approx(SECONDS, rel=0.01), name
                    assert not heard.gaps, name
                for session in registry:
                    assert session.audio_drop_outs == 0
                    assert session.frames > 0, "the screen is there, too"
            finally:
                for viewer in viewers.values():
                    viewer.close()
