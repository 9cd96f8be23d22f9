"""Text goes both ways between us and an agent behind a real QEMU; `support.vdagent` says what stands in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attached_guest import attached
from support.bus import Bus
from support.qemu import Qemu, dbus_display
from support.vdagent import VdAgent, vdagent_device
from support.waiting import eventually

from sidecar.guest import ResizeRefused
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.guest import QemuGuest

StartQemu = Callable[..., Qemu]


@asynccontextmanager
async def an_agent(start_qemu: StartQemu, bus: Bus, directory: Path) -> AsyncIterator[tuple[VdAgent, Qemu]]:
    """An agent that runs, and the QEMU that it runs in, which is on `bus`."""
    qemu = await asyncio.to_thread(start_qemu, dbus_display(bus.address), extra=vdagent_device(directory))
    agent = VdAgent(directory)
    try:
        await asyncio.to_thread(agent.start)
        yield agent, qemu
    finally:
        agent.close()


@asynccontextmanager
async def sharing(bus: Bus) -> AsyncIterator[QemuGuest]:
    async with attached(BusAttach(bus.address)) as guest:
        await eventually(lambda: guest.clipboard.is_there, "the clipboard is shared")
        yield guest


async def has_heard(guest: QemuGuest) -> None:
    """Returns when all that QEMU has said until now is taken in: its answer comes after that."""
    with pytest.raises(ResizeRefused):
        await guest.consoles[0].request_size(800, 600)


async def test_text_goes_both_ways(start_qemu: StartQemu, bus: Bus, short_dir: Path) -> None:
    async with an_agent(start_qemu, bus, short_dir) as (agent, _), sharing(bus) as guest:
        clipboard = guest.clipboard
        heard: list[str | None] = []
        clipboard.changes.subscribe(lambda: heard.append(clipboard.text))

        await asyncio.to_thread(agent.copy, "Größe\r\n東京")
        await asyncio.to_thread(agent.run_until_requested, 1)
        await eventually(lambda: heard == ["Größe\n東京"], "what the guest copied is there")

        # serials go on from the guest's, whoever copies next
        for text in ("naïve\n文字", "x" * 20_000):
            agent.is_offered = False
            clipboard.offer(text)
            await asyncio.to_thread(agent.run_until_offered)
            assert await asyncio.to_thread(agent.paste) == text
        assert heard == ["Größe\n東京", None]
        clipboard.offer("")
        await asyncio.to_thread(agent.run_until_released)

        # the same text twice is news twice
        await asyncio.to_thread(agent.copy, "y" * 20_000)
        await asyncio.to_thread(agent.run_until_requested, 2)
        await eventually(lambda: len(heard) == 3, "what the guest copied last is there")
        await asyncio.to_thread(agent.copy, "y" * 20_000)
        await asyncio.to_thread(agent.run_until_requested, 3)
        await eventually(lambda: len(heard) == 4, "what the guest copied again is there")
        await asyncio.to_thread(agent.clear)
        await eventually(lambda: heard[2:] == ["y" * 20_000] * 2 + [None], "the guest's clipboard is empty")


async def test_serials_that_begin_anew_on_either_side_do_no_harm(
    start_qemu: StartQemu, bus: Bus, short_dir: Path
) -> None:
    async with an_agent(start_qemu, bus, short_dir) as (agent, qemu):
        async with sharing(bus) as guest:
            guest.clipboard.changes.subscribe(lambda: None)
            for text in ("one", "two", "three"):
                agent.is_offered = False
                guest.clipboard.offer(text)
                await asyncio.to_thread(agent.run_until_offered)
            assert await asyncio.to_thread(agent.paste) == "three"
            guest.clipboard.offer("")
            await asyncio.to_thread(agent.run_until_released)
            await asyncio.to_thread(agent.restart, qemu.qmp)
            await has_heard(guest)
            await asyncio.to_thread(agent.copy, "of another agent")
            await asyncio.to_thread(agent.run_until_requested)
            await eventually(lambda: guest.clipboard.text == "of another agent", "its text is there")
            for text in ("four", "five"):
                agent.is_offered = False
                guest.clipboard.offer(text)
                await asyncio.to_thread(agent.run_until_offered)
            assert await asyncio.to_thread(agent.paste) == "five"
        # now we are the ones who are started again, and QEMU has a grab of ours with a higher serial
        async with sharing(bus) as guest:
            await asyncio.to_thread(agent.restart, qemu.qmp)
            await has_heard(guest)
            guest.clipboard.offer("six")
            await asyncio.to_thread(agent.run_until_offered)
            assert await asyncio.to_thread(agent.paste) == "six"
