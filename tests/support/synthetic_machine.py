"""A test double: a machine that does nothing but wait where it is told to; real ones are in tests/qemu."""

import asyncio
from collections.abc import Mapping

from sidecar.machine import (
    Capability,
    Device,
    Host,
    MachineInformation,
    MachineRefused,
    MachineState,
)

GIB = 1 << 30


class SyntheticMachine:
    """Remembers what was done. A change waits for `go_on`; `fails`, if set, is raised by it then."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fails: Exception | None = None
        self.reasons: dict[Capability, str | None] = dict.fromkeys(Capability)
        self.taken_back = 0

    async def information(self) -> MachineInformation:
        if self.fails:
            raise self.fails
        return MachineInformation(
            name="synthetic",
            uuid="1-2",
            state=MachineState.RUNNING,
            memory=GIB,
            maximum_memory=2 * GIB,
            cpus=1,
            maximum_cpus=None,
            uptime=1.5,
            devices=(Device("disk", "disk0", "virtio-blk-pci", "disk.img"),),
            host=Host(kvm=False, accelerator="tcg", version="7.2.22"),
        )

    async def capabilities(self) -> Mapping[Capability, str | None]:
        return self.reasons

    async def shut_down(self) -> None:
        await self._change("shut-down")

    async def power_off(self) -> None:
        await self._change("power-off")

    async def reset(self) -> None:
        await self._change("reset")

    async def pause(self) -> None:
        await self._change("pause")

    async def resume(self) -> None:
        await self._change("resume")

    async def start(self) -> None:
        await self._change("start")

    async def set_memory(self, size: int) -> None:
        if size > 2 * GIB:
            raise MachineRefused("the machine can have at most 2 GiB")
        await self._change(f"memory {size}")

    async def set_cpus(self, count: int) -> None:
        await self._change(f"cpus {count}")

    async def _change(self, what: str) -> None:
        self.begun.append(what)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.taken_back += 1
            raise
        if self.fails:
            raise self.fails
        self.done.append(what)
