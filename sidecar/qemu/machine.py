"""A machine's information and control by QEMU's monitor; see `sidecar.machine.Machine`."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from sidecar.machine import (
    Capability,
    Host,
    MachineInformation,
    MachineRefused,
    MachineUnreachable,
)
from sidecar.qemu.errors import ConnectionLost, QmpRefused
from sidecar.qemu.machine_answers import ask, mapping, number, text
from sidecar.qemu.machine_cpus import UNPLUG_TIME, places_to_change, plug_in, processors, unplug
from sidecar.qemu.machine_devices import devices
from sidecar.qemu.machine_memory import do_all, memory, steps_to
from sidecar.qemu.machine_monitor import Monitor
from sidecar.qemu.machine_process import running_for
from sidecar.qemu.machine_states import Doing
from sidecar.qemu.qmp import Qmp

KVM: Final = "/dev/kvm"

ENOUGH: Final = 30.0
"""Seconds that QEMU has to end, or to reset."""


class QmpMachine:
    """Asks by `monitor` whenever it is asked; knows nothing from one question to the next.

    QEMU 7.2 and later: what an older one does not know is not known, and no error. `unplug_time`: seconds
    that a guest has to let go of a processor.
    """

    def __init__(self, monitor: Monitor, *, unplug_time: float = UNPLUG_TIME) -> None:
        self._monitor = monitor
        self._unplug_time = unplug_time

    async def information(self) -> MachineInformation:
        """How it is now. Raises MachineUnreachable."""
        async with self._asked() as qmp:
            doing = await _doing(qmp)
            amount = await memory(qmp)
            cpus = await processors(qmp)
            return MachineInformation(
                name=text(mapping(await ask(qmp, "query-name")).get("name")),
                uuid=_uuid(await ask(qmp, "query-uuid")),
                state=doing.state,
                memory=amount.now or None,
                maximum_memory=amount.most or None,
                cpus=cpus.now,
                maximum_cpus=cpus.most,
                uptime=running_for(qmp.process),
                devices=await devices(qmp),
                host=await _host(qmp),
            )

    async def capabilities(self) -> Mapping[Capability, str | None]:
        """Why each is not possible now, or None. Raises MachineUnreachable."""
        async with self._asked() as qmp:
            doing = await _doing(qmp)
            busy = doing.change_of_parts()
            return {
                **doing.switches(),
                Capability.SET_MEMORY: busy or (await memory(qmp)).unchangeable,
                Capability.SET_CPUS: busy or (await processors(qmp)).unchangeable,
            }

    async def shut_down(self) -> None:
        """Presses the power button. Raises MachineRefused, MachineUnreachable, as all the following."""
        async with self._asked() as qmp:
            await qmp.execute("system_powerdown")

    async def power_off(self) -> None:
        """Ends QEMU; returns when it has closed its monitor."""
        async with self._asked() as qmp:
            try:
                await qmp.execute("quit")
                async with asyncio.timeout(ENOUGH):
                    await qmp.wait_closed()
            except ConnectionLost:
                # it may end before its answer is out
                if qmp.is_open:
                    raise
            except TimeoutError:
                raise MachineUnreachable(f"QEMU has not ended within {ENOUGH:g} s") from None

    async def reset(self) -> None:
        """Resets it; one that has crashed runs again then, one that is paused stays so."""
        async with self._asked() as qmp:
            doing = await _doing(qmp)
            await _reset(qmp)
            if doing.needs_reset:
                await qmp.execute("cont")

    async def pause(self) -> None:
        """Stops its processors."""
        async with self._asked() as qmp:
            await qmp.execute("stop")

    async def resume(self) -> None:
        """Has them go on, or wakes it up."""
        async with self._asked() as qmp:
            doing = await _doing(qmp)
            await qmp.execute("system_wakeup" if doing.goes_on_by_wakeup else "cont")

    async def start(self) -> None:
        """Has it begin, where QEMU was started without that (-S), or again after it has shut down
        (-no-shutdown). A QEMU that has ended is nobody's to start here."""
        async with self._asked() as qmp:
            doing = await _doing(qmp)
            if doing.needs_reset:
                await _reset(qmp)
            await qmp.execute("cont")

    async def set_memory(self, size: int) -> None:
        """Gives the guest `size` bytes, all or nothing; it may need a while to take or leave them."""
        async with self._asked() as qmp:
            await do_all(qmp, steps_to(await memory(qmp), size))

    async def set_cpus(self, count: int) -> None:
        """Gives the guest `count` processors, all or nothing; waits until it has let go of those that go."""
        async with self._asked() as qmp:
            there = await processors(qmp)
            places = places_to_change(there, count)
            if count > (there.now or 0):
                await plug_in(qmp, places, self._unplug_time)
            else:
                await unplug(qmp, places, self._unplug_time)

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[Qmp]:
        try:
            async with self._monitor() as qmp:
                yield qmp
        except ConnectionLost as error:
            raise MachineUnreachable(f"QEMU cannot be asked: {error}") from error
        except QmpRefused as error:
            raise MachineRefused(f"QEMU refuses: {error}") from error


async def _doing(qmp: Qmp) -> Doing:
    status = mapping(await ask(qmp, "query-status")).get("status")
    return Doing(text(status), text(mapping(await ask(qmp, "query-migrate")).get("status")))


async def _reset(qmp: Qmp) -> None:
    with qmp.event(lambda event, _data: event in ("RESET", "SHUTDOWN")) as done:
        await qmp.execute("system_reset")
        try:
            async with asyncio.timeout(ENOUGH):
                event, _ = await done
            if event == "SHUTDOWN":
                raise MachineRefused("the machine has shut down instead: QEMU was started with -no-reboot")
        except TimeoutError:
            raise MachineUnreachable(f"QEMU has not reset the machine within {ENOUGH:g} s") from None


def _uuid(answer: object) -> str:
    """Empty where it has none: zeros are QEMU's word for that."""
    uuid = text(mapping(answer).get("UUID"))
    return uuid if uuid.strip("0-") else ""


async def _host(qmp: Qmp) -> Host:
    kvm = mapping(await ask(qmp, "query-kvm"))
    version = mapping(mapping(await ask(qmp, "query-version")).get("qemu"))
    parts = [number(version.get(name)) for name in ("major", "minor", "micro")]
    runs_it = kvm.get("enabled") is True
    # `present` says only that this QEMU was built with it
    return Host(
        kvm=runs_it or (kvm.get("present") is True and _kvm_opens()),
        accelerator="kvm" if runs_it else await _accelerator(qmp),
        version="" if None in parts else ".".join(map(str, parts)),
    )


def _kvm_opens() -> bool:
    """Asked of the device itself: where virtualisation is off it may be there, and does not open."""
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


async def _accelerator(qmp: Qmp) -> str:
    """Since QEMU 10.2 it can be asked for; before, only TCG answers a question about its translations."""
    if enabled := text(mapping(await ask(qmp, "query-accelerators")).get("enabled")):
        return enabled
    return "tcg" if await ask(qmp, "x-query-jit") else ""
