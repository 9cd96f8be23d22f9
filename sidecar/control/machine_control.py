"""The machine's control, as the management API, the admin socket and the command line share it.

One change at a time: a second one is turned away at once, and learns nothing about the first. A change that
has begun is seen through, whether or not its caller waits for it, and ends with the daemon at the latest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, Self

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.machine import Capability, Machine, MachineInformation, MachineUnreachable

log = get_logger(__name__)

CHANGE_TIME: Final = 150.0
"""Seconds after which a change is given up, and taken back as far as it can be."""

PATIENCE: Final = 5.0
"""Seconds that a change has left when the daemon ends."""

NO_MACHINE: Final = "the machine can be asked and controlled only with --qmp, --control-qmp or --libvirt"


class NoControl(SidecarError):
    """There is nobody who could be asked about the machine; the text says what would help."""


class Busy(SidecarError):
    """Another change is under way."""

    def __init__(self) -> None:
        super().__init__("busy: another change of the machine is under way, try again when it has ended")


class NotPossible(SidecarError):
    """The machine cannot do this as things stand; nothing was tried. The text says why."""


class MachineControl:
    """Asks and changes `machine`; None: there is none to ask, for the reason `why_not`.

    An async context manager: with it ends what is under way. Every method raises NoControl,
    MachineUnreachable; those that change something also Busy, NotPossible, MachineRefused.
    """

    def __init__(
        self,
        machine: Machine | None,
        *,
        why_not: str = NO_MACHINE,
        change_time: float = CHANGE_TIME,
        patience: float = PATIENCE,
    ) -> None:
        self._machine = machine
        self._why_not = why_not
        self._change_time = change_time
        self._patience = patience
        self._change: asyncio.Task[None] | None = None
        self._ending = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        while self._change is not None and not self._change.done():
            # it has this time to end, and then again to take back what it did
            await asyncio.wait([self._change], timeout=self._patience)
            self._change.cancel()

    async def information(self) -> MachineInformation:
        """How the machine is now."""
        return await self._asked().information()

    async def capabilities(self) -> Mapping[Capability, str | None]:
        """Why each is not possible now; None: it is."""
        return await self._asked().capabilities()

    async def shut_down(self) -> None:
        """Presses the power button."""
        await self._do(Capability.SHUT_DOWN, lambda machine: machine.shut_down())

    async def power_off(self) -> None:
        """Ends the machine at once."""
        await self._do(Capability.POWER_OFF, lambda machine: machine.power_off())

    async def reset(self) -> None:
        """Resets it at once."""
        await self._do(Capability.RESET, lambda machine: machine.reset())

    async def pause(self) -> None:
        """Stops its processors."""
        await self._do(Capability.PAUSE, lambda machine: machine.pause())

    async def resume(self) -> None:
        """Has them go on."""
        await self._do(Capability.RESUME, lambda machine: machine.resume())

    async def start(self) -> None:
        """Starts a machine that is shut off."""
        await self._do(Capability.START, lambda machine: machine.start())

    async def set_memory(self, size: int) -> None:
        """Gives the guest `size` bytes, all or nothing; it may need a while to take or leave them."""
        await self._do(Capability.SET_MEMORY, lambda machine: machine.set_memory(size))

    async def set_cpus(self, count: int) -> None:
        """Gives the guest `count` processors, all or nothing."""
        await self._do(Capability.SET_CPUS, lambda machine: machine.set_cpus(count))

    def _asked(self) -> Machine:
        if self._machine is None:
            raise NoControl(self._why_not)
        return self._machine

    async def _do(self, what: Capability, change: Callable[[Machine], Awaitable[None]]) -> None:
        machine = self._asked()
        if self._ending:
            raise MachineUnreachable("the daemon is ending")
        # nothing is awaited from here until the change is ours
        if self._change is not None and not self._change.done():
            raise Busy
        self._change = asyncio.create_task(
            self._carry_out(machine, what, change), name=f"machine {what.value}"
        )
        self._change.add_done_callback(_heed)
        waiting = self._change
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if waiting.cancelled() and not (caller and caller.cancelling()):
                raise MachineUnreachable("the daemon ended before this was done") from None
            raise

    async def _carry_out(
        self, machine: Machine, what: Capability, change: Callable[[Machine], Awaitable[None]]
    ) -> None:
        try:
            async with asyncio.timeout(self._change_time):
                if reason := (await machine.capabilities()).get(what, "it is not known how"):
                    raise NotPossible(reason)
                await change(machine)
        except TimeoutError:
            raise MachineUnreachable(f"given up after {self._change_time:g} s without an end") from None
        log.info("machine changed", change=what.value)


def _heed(change: "asyncio.Task[None]") -> None:
    """Whoever asked for it may have gone, and then this is the only place that tells."""
    if change.cancelled() or (error := change.exception()) is None:
        return
    if isinstance(error, SidecarError):
        log.info("machine not changed", change=change.get_name(), cause=str(error))
    else:
        log.error("a change of the machine failed", change=change.get_name(), cause=repr(error))
