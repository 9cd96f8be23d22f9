"""A QEMU that comes, or does not come, onto the bus of a machine that was defined."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from support.bus import Bus
from support.qemu import Qemu, dbus_display
from support.waiting import eventually

from sidecar.advice.advisor import Advisor
from sidecar.advice.container import read_limits, read_memory_use
from sidecar.config.options import DaemonOptions
from sidecar.daemon import attached
from sidecar.domain.vmi import Vmi
from sidecar.guest import GuestState
from sidecar.problems import Problems
from sidecar.qemu.attach import BusAttach

StartQemu = Callable[..., Qemu]


async def test_a_qemu_that_is_late_is_missed_until_it_comes(
    bus: Bus, start_qemu: StartQemu, tmp_path: Path
) -> None:
    now, problems = 0.0, Problems()

    def codes() -> set[str]:
        return {problem.code for problem in problems}

    async with attached(BusAttach(bus.address), DaemonOptions(run_dir=tmp_path)) as (guest, _):
        advisor = Advisor(problems, guest, [], rdp=False, h264=False, clock=lambda: now)
        async with advisor.at_work(interval=0.05):
            advisor.defined(Vmi())
            assert "QemuNotOnTheBus" not in codes()
            now = 61
            await eventually(lambda: "QemuNotOnTheBus" in codes(), "the machine is missed")
            qemu = await asyncio.to_thread(start_qemu, dbus_display(bus.address))
            await eventually(lambda: "QemuNotOnTheBus" not in codes(), "the machine has come")
            qemu.kill()
            await eventually(lambda: guest.state is GuestState.LOST, "the machine is gone")
            now = 1000
            advisor.look()
            assert "QemuNotOnTheBus" not in codes()


def test_the_kernels_files_here_are_read_or_say_nothing() -> None:
    limits, use = read_limits(), read_memory_use()
    assert limits.memory is None or limits.memory > 0
    assert limits.cpus is None or limits.cpus > 0
    assert use.used is None or use.used > 0
