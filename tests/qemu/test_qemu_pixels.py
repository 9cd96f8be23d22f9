"""What a real QEMU shows arrives pixel by pixel."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from attached_guest import attached, becomes, running, shows_what_qemu_shows
from support.bus import Bus
from support.guest_image import Mode, desktop
from support.qemu import Qemu, dbus_display, version
from support.waiting import eventually

from sidecar.guest import ConsoleChange, GuestState
from sidecar.qemu.attach import BusAttach


@pytest.fixture(params=["VGA", "virtio-vga"])
def qemu(request: pytest.FixtureRequest, start_qemu: Callable[..., Qemu], bus: Bus) -> Qemu:
    return start_qemu(dbus_display(bus.address), video=request.param)


async def test_a_still_desktop_is_shown_exactly(qemu: Qemu, bus: Bus) -> None:
    qemu.show(Mode.DESKTOP)
    async with attached(BusAttach(bus.address)) as guest:
        await shows_what_qemu_shows(guest, qemu)
        assert np.array_equal(guest.consoles[0].surface.frame.pixels, desktop())


@pytest.mark.parametrize("mode", [Mode.BOX, Mode.REPAINT, Mode.TEXT, Mode.VIDEO])
async def test_a_moving_picture_moves_and_ends_exact(qemu: Qemu, bus: Bus, mode: Mode) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        surface = guest.consoles[0].surface
        changes: list[ConsoleChange] = []
        guest.consoles[0].changes.subscribe(changes.append)
        await asyncio.to_thread(qemu.show, mode)
        await eventually(lambda: len(changes) >= 20, "it moves")
        await asyncio.to_thread(qemu.show, Mode.STILL)
        await shows_what_qemu_shows(guest, qemu)
        # what changed last is told in the next turn of the loop
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        versions = surface.frame.versions.copy()
        changes.clear()
        await asyncio.sleep(0.3)
        assert (surface.frame.versions == versions).all()
        assert not changes


async def test_only_the_tiles_of_a_small_change_are_new(qemu: Qemu, bus: Bus) -> None:
    qemu.show(Mode.STILL)
    async with attached(BusAttach(bus.address)) as guest:
        await shows_what_qemu_shows(guest, qemu)
        frame = guest.consoles[0].surface.frame
        before = frame.versions.copy()
        # its code is drawn at (32..352, 32..64)
        guest.consoles[0].keyboard.press(0x1E)
        await eventually(lambda: (frame.versions != before).any(), "the scan code is drawn")
        await shows_what_qemu_shows(guest, qemu)
        changed = np.argwhere(frame.versions != before)
        assert changed[:, 0].max() == 0
        assert changed[:, 1].max() <= 5
        guest.consoles[0].keyboard.release(0x1E)


async def test_the_screen_follows_the_guests_sizes(qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        for mode, size in [(Mode.SIZE_800X600, (600, 800)), (Mode.SIZE_1024X768, (768, 1024))] * 2:
            await asyncio.to_thread(qemu.show, mode)
            await asyncio.to_thread(qemu.show, Mode.STILL)
            await shows_what_qemu_shows(guest, qemu)
            assert guest.consoles[0].surface.frame.pixels.shape == size


@pytest.mark.parametrize("video", ["VGA", "virtio-vga"])
async def test_the_firmwares_text_is_shown_whatever_sizes_come_before(
    start_qemu: Callable[..., Qemu], bus: Bus, video: str
) -> None:
    async with running(BusAttach(bus.address)) as guest:
        qemu = await asyncio.to_thread(start_qemu, dbus_display(bus.address), None, video=video)
        await becomes(guest, GuestState.ATTACHED)
        await eventually(
            lambda: guest.consoles[0].surface.frame.pixels.shape == (400, 720), "the firmware's text mode"
        )
        await shows_what_qemu_shows(guest, qemu)


async def test_two_heads_are_two_consoles(start_qemu: Callable[..., Qemu], bus: Bus) -> None:
    qemu = start_qemu(dbus_display(bus.address), extra=("-device", "secondary-vga"))
    async with attached(BusAttach(bus.address)) as guest:
        assert list(guest.consoles) == [0, 1]
        assert [console.index for console in guest.consoles.values()] == [0, 1]
        await asyncio.to_thread(qemu.show, Mode.STILL)
        await shows_what_qemu_shows(guest, qemu)


async def test_pixels_come_in_shared_memory_from_a_qemu_that_has_it(
    start_qemu: Callable[..., Qemu], bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "sidecar")
    qemu = start_qemu(dbus_display(bus.address), image=None, video="virtio-vga")
    async with attached(BusAttach(bus.address)) as guest:
        await shows_what_qemu_shows(guest, qemu)
    assert ("pixels come in shared memory" in caplog.text) is (version() >= (9, 2))
