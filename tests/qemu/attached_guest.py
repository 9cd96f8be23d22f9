"""A `QemuGuest` for the time of a test, and what it must not leave behind."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
import uvloop
from support.qemu import Qemu
from support.waiting import eventually

from sidecar.guest import GuestState
from sidecar.qemu.attach import Attach
from sidecar.qemu.guest import QemuGuest, Use

# libuv keeps two pipes for the whole process from its first loop on
uvloop.new_event_loop().close()


@asynccontextmanager
async def running(attach: Attach, use: Use | None = None) -> AsyncIterator[QemuGuest]:
    """A guest that runs."""
    guest = QemuGuest(attach, use=use)
    task = asyncio.create_task(guest.run())
    try:
        yield guest
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def attached(attach: Attach, use: Use | None = None) -> AsyncIterator[QemuGuest]:
    """A guest that runs and is attached."""
    async with running(attach, use) as guest:
        await becomes(guest, GuestState.ATTACHED)
        yield guest


async def becomes(guest: QemuGuest, state: GuestState) -> None:
    await eventually(lambda: guest.state is state, f"the guest is {state.value}")


async def shows_what_qemu_shows(guest: QemuGuest, qemu: Qemu) -> None:
    """Returns when the first console and QEMU's own screendump are equal, pixel by pixel."""

    def equal() -> bool:
        return np.array_equal(guest.consoles[0].surface.frame.pixels, qemu.screendump())

    await eventually(equal, "the surface equals the screendump")


@asynccontextmanager
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """Fails when there are other descriptors, threads or tasks than before."""
    before = held()
    yield
    after = held()
    assert after == before, f"{after} instead of {before}"


def held() -> dict[str, object]:
    """What this process holds; without the threads by which the test itself waits."""
    threads = [t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")]
    descriptors = [os.readlink(f"/proc/self/fd/{name}").split(":")[0] for name in open_descriptors()]
    return {"threads": threads, "tasks": len(asyncio.all_tasks()), "descriptors": sorted(descriptors)}


def open_descriptors() -> list[str]:
    """Their numbers, without that of the listing itself."""
    return [name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]
