"""The checks, asked while the daemon runs, and what they find told to `Problems`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sidecar.advice import arrival, cpu, graphics, memory, pod_network
from sidecar.advice.arrival import ArrivalWatch
from sidecar.advice.container import (
    Limits,
    MemoryUse,
    ReadLimits,
    ReadMemoryUse,
    read_limits,
    read_memory_use,
)
from sidecar.advice.graphics import check_graphics
from sidecar.advice.listeners import Listener
from sidecar.advice.pod_network import check_pod_network
from sidecar.alongside import alongside
from sidecar.domain.vmi import Vmi
from sidecar.guest import Guest, GuestState
from sidecar.problems import Problems

INTERVAL = 30.0
"""Seconds between two looks at what changes by itself."""

CONTAINER_CODES: Final = (memory.LIMIT, memory.NEARLY_FULL, memory.KILLED, cpu.LIMIT)
VMI_CODES: Final = (*pod_network.CODES, graphics.NO_SCREEN)


class Advisor:
    """Belongs to the main loop.

    `listeners`: the daemon's. `rdp`, `h264`: whether it serves RDP, and can make H.264. `screen`: the option
    of that name. `clock`: monotonic seconds.
    """

    def __init__(
        self,
        problems: Problems,
        guest: Guest,
        listeners: Sequence[Listener],
        *,
        rdp: bool,
        h264: bool,
        screen: bool | None = None,
        limits: ReadLimits = read_limits,
        memory_use: ReadMemoryUse = read_memory_use,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._problems = problems
        self._guest = guest
        self._listeners = tuple(listeners)
        self._rdp = rdp
        self._h264 = h264
        self._screen = screen
        self._read_limits = limits
        self._read_memory_use = memory_use
        self._clock = clock
        self._arrival = ArrivalWatch()
        self._nearly_full = False

    def defined(self, vmi: Vmi) -> None:
        """The domain of `vmi` was answered to virt-launcher. One that says nothing is no reason to take back
        what another has said: the plugin API may be called without a VMI.
        """
        if vmi == Vmi():
            self._arrival.defined(self._clock())
            return
        found = check_pod_network(vmi, self._listeners)
        no_screen = check_graphics(vmi, self._screen)
        if no_screen is not None:
            found.append(no_screen)
        else:
            self._arrival.defined(self._clock())
        self._problems.looked(VMI_CODES, found)

    def guest_changed(self, state: GuestState) -> None:
        """The guest has come or gone; heard by itself while `at_work`."""
        self._arrival.guest_changed(state)
        self._look_for_qemu()

    def look(self) -> None:
        """Looks at everything that changes by itself; reads a few files of the kernel's."""
        self._judge(*self._read())

    def _judge(self, limits: Limits, use: MemoryUse) -> None:
        needed = memory.needed_memory(self._pixels(), rdp=self._rdp, h264=self._h264)
        nearly_full = memory.check_memory_use(limits, use, needed, was_full=self._nearly_full)
        self._nearly_full = nearly_full is not None
        found = (
            memory.check_memory_limit(limits, needed),
            nearly_full,
            memory.check_memory_killed(limits, use, needed),
            cpu.check_cpu_limit(limits),
        )
        self._problems.looked(CONTAINER_CODES, [problem for problem in found if problem is not None])
        self._look_for_qemu()

    @asynccontextmanager
    async def at_work(self, *, interval: float = INTERVAL) -> AsyncIterator[None]:
        """Looks on entering and every `interval` seconds while it is entered, and follows the guest."""
        unsubscribe = self._guest.lifecycle.subscribe(self.guest_changed)
        self.guest_changed(self._guest.state)
        self.look()
        try:
            async with alongside(self._look_again(interval), name="advice"):
                yield
        finally:
            unsubscribe()

    async def _look_again(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            # in a thread, since there are viewers now: the kernel may have much to add up for these files
            self._judge(*await asyncio.to_thread(self._read))

    def _read(self) -> tuple[Limits, MemoryUse]:
        return self._read_limits(), self._read_memory_use()

    def _look_for_qemu(self) -> None:
        problem = self._arrival.problem(self._clock())
        self._problems.looked((arrival.NOT_ON_THE_BUS,), [] if problem is None else [problem])

    def _pixels(self) -> int:
        frames = [console.surface.frame for console in self._guest.consoles.values()]
        return max(memory.USUAL_PIXELS, sum(frame.width * frame.height for frame in frames))
