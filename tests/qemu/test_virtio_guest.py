"""A guest with virtio-gpu takes the size that is asked for, shows its picture there, and has a cursor."""

import asyncio

import numpy as np
import pytest
from attached_guest import attached, shows_what_qemu_shows
from support.bus import Bus
from support.qemu import Qemu
from support.virtio_guest import FIRST_SIZE, HOT_SPOTS, Pointer, picture, pointer_picture
from support.waiting import eventually

from sidecar.guest import Console
from sidecar.qemu.attach import BusAttach

SIZES = [(800, 600), (1918, 1078), (641, 480), (16, 16), (2560, 1440), FIRST_SIZE]


def _shows(console: Console, width: int, height: int, head: int = 0) -> bool:
    return np.array_equal(console.surface.frame.pixels, picture(width, height, head))


async def test_the_first_picture_is_the_documented_one(virtio_qemu: Qemu, bus: Bus) -> None:
    assert np.array_equal(virtio_qemu.screendump(), picture(*FIRST_SIZE))
    async with attached(BusAttach(bus.address)) as guest:
        await shows_what_qemu_shows(guest, virtio_qemu)


async def test_the_scanout_takes_every_size_that_is_asked_for(virtio_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        console = guest.consoles[0]
        for width, height in SIZES:
            virtio_qemu.com1.forget()
            await console.request_size(width, height)
            await asyncio.to_thread(virtio_qemu.com1.wait_for, f"^HEAD 0 {width}x{height}\n")
            await eventually(lambda size=(width, height): _shows(console, *size), f"{width}x{height}")
            assert np.array_equal(virtio_qemu.screendump(), picture(width, height))


@pytest.mark.parametrize("size", [(8192, 8192), (15, 600)])
async def test_a_size_that_the_guest_cannot_take_leaves_everything_as_it_is(
    virtio_qemu: Qemu, bus: Bus, size: tuple[int, int]
) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        await guest.consoles[0].request_size(*size)
        await asyncio.to_thread(virtio_qemu.com1.wait_for, "^HEAD 0 unfit\n")
        assert _shows(guest.consoles[0], *FIRST_SIZE)


async def test_the_second_head_is_switched_on_by_its_size(virtio_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        assert list(guest.consoles) == [0, 1]
        await guest.consoles[1].request_size(1024, 768)
        await eventually(lambda: _shows(guest.consoles[1], 1024, 768, head=1), "the second head shows")
        assert _shows(guest.consoles[0], *FIRST_SIZE)


async def test_the_cursor_has_a_shape_and_goes_where_the_pointer_is(virtio_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        console = guest.consoles[0]
        for pointer, hot_spot in HOT_SPOTS.items():
            virtio_qemu.com1.send(pointer.command)
            await asyncio.to_thread(virtio_qemu.com1.wait_for, f"^CURSOR {pointer}\n")
            expected = pointer_picture(pointer)
            await eventually(
                lambda expected=expected: (
                    console.cursor is not None and np.array_equal(console.cursor.pixels, expected)
                ),
                pointer.name,
            )
            assert console.cursor
            assert (console.cursor.hot_x, console.cursor.hot_y) == hot_spot
            assert console.cursor_visible
        console.pointer.move_to(300, 200)
        await eventually(lambda: abs(console.cursor_position[0] - 300) <= 1, "the cursor moves")
        virtio_qemu.com1.send(Pointer.NONE.command)
        await eventually(lambda: not console.cursor_visible, "the cursor is gone")
