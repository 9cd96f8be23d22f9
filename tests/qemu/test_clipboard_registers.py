"""The clipboard between us and a real QEMU: who shares it, and what happens when one of the two goes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attached_guest import attached, becomes, running
from support.bus import Bus
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu
from support.waiting import DEADLINE, eventually

from sidecar.guest import GuestState
from sidecar.qemu.attach import BusAttach, QmpAttach
from sidecar.qemu.clipboard import CLIPBOARD, PATH
from sidecar.qemu.connection import Connection, connect_to_bus
from sidecar.qemu.errors import CallRefused
from sidecar.qemu.guest import QemuGuest, Use

REFUSED = "the machine's clipboard cannot be shared, trying again"


@asynccontextmanager
async def other_program(bus: Bus) -> AsyncIterator[Connection]:
    """One that would like to share QEMU's clipboard too."""
    connection = await connect_to_bus(bus.address)
    try:
        yield connection
    finally:
        connection.close()


async def register(connection: Connection) -> None:
    await connection.request("org.qemu", PATH, CLIPBOARD, "Register")


async def may_register(connection: Connection) -> bool:
    try:
        await register(connection)
    except CallRefused:
        return False
    return True


async def shares(guest: QemuGuest) -> None:
    await eventually(lambda: guest.clipboard.is_there, "the clipboard is shared")


async def test_it_is_shared_with_us_alone_and_again_when_qemu_is_back(bus: Bus, dbus_qemu: Qemu) -> None:
    changes: list[bool] = []
    async with attached(BusAttach(bus.address)) as guest, other_program(bus) as other:
        guest.clipboard.changes.subscribe(lambda: changes.append(guest.clipboard.is_there))
        await shares(guest)
        assert not await may_register(other)
        dbus_qemu.kill()
        await becomes(guest, GuestState.LOST)
        assert not guest.clipboard.is_there
        await asyncio.to_thread(dbus_qemu.start)
        await shares(guest)
        assert not await may_register(other)
    assert changes[-3:] == [False, True, False]
    # and whoever comes after us may have it
    async with other_program(bus) as later:
        async with asyncio.timeout(DEADLINE):
            # QEMU hears of our end from the bus
            while not await may_register(later):
                await asyncio.sleep(0.02)


async def test_it_is_waited_for_while_another_program_has_it(
    bus: Bus, dbus_qemu: Qemu, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with other_program(bus) as other:
        await register(other)
        async with attached(BusAttach(bus.address)) as guest:
            await eventually(lambda: REFUSED in caplog.messages, "the refusal is logged")
            assert not guest.clipboard.is_there
            other.close()
            await shares(guest)
    assert caplog.messages.count(REFUSED) == 1


@pytest.mark.usefixtures("dbus_qemu")
async def test_it_is_left_to_another_program_where_nobody_here_wants_it(bus: Bus) -> None:
    async with attached(BusAttach(bus.address), Use(clipboard=False)), other_program(bus) as other:
        assert await may_register(other)


async def test_a_peer_shares_it_after_the_one_before(
    start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    monitor = short_dir / "display-qmp"
    start_qemu(PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
    for _ in range(2):
        async with running(QmpAttach(monitor)) as guest:
            await shares(guest)
