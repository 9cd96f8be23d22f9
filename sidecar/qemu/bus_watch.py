"""Tells when the machine's bus has ended, and when QEMU is left behind on one that has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sidecar.alongside import alongside
from sidecar.guest import Guest, GuestState
from sidecar.problems import Problem, Problems, Severity
from sidecar.qemu.bus import PrivateBus

BUS_ENDED: Final = "BusEnded"


@asynccontextmanager
async def watched(bus: PrivateBus, guest: Guest, problems: Problems) -> AsyncIterator[None]:
    """Keeps the problem BusEnded true while it is entered; `guest` is attached by `bus`.

    It is there while the bus is down, and afterwards until QEMU is attached again, if it was attached to the
    bus that has ended: QEMU survives that, and does not come to a new one (facts: kubevirt 5).
    """
    async with alongside(_Watch(bus, guest, problems).run(), name="watch of the bus"):
        yield


class _Watch:
    def __init__(self, bus: PrivateBus, guest: Guest, problems: Problems) -> None:
        self._bus = bus
        self._guest = guest
        self._problems = problems
        self._changed = asyncio.Event()
        self._attached = False
        self._generation: int | None = None
        """The bus to which QEMU has connected; None: it has not, or has left it of its own accord."""

    async def run(self) -> None:
        unsubscribe = (
            self._bus.changes.subscribe(self._changed.set),
            self._guest.lifecycle.subscribe(self._guest_changed),
        )
        self._guest_changed(self._guest.state)
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._forget_one_that_has_left()
                self._tell()
        finally:
            for leave in unsubscribe:
                leave()

    def _guest_changed(self, state: GuestState) -> None:
        attached = state is GuestState.ATTACHED
        # names and consoles change too, also in the moment before we hear that the bus has ended
        if attached and not self._attached:
            self._generation = self._bus.generation
        self._attached = attached
        self._changed.set()

    async def _forget_one_that_has_left(self) -> None:
        """A machine that is gone while its bus still answers has not gone because of the bus."""
        generation = self._generation
        if self._attached or generation is None or generation != self._bus.generation:
            return
        if await self._bus.answers() and not self._attached and generation == self._bus.generation:
            self._generation = None

    def _tell(self) -> None:
        failure = self._bus.failure
        left_behind = self._generation is not None and (failure or self._generation != self._bus.generation)
        if not failure and not left_behind:
            self._problems.gone(BUS_ENDED)
            return
        words = [failure or "the machine's bus has ended"]
        if left_behind:
            words.append(
                "the machine has no screen until it is shut down and started again (virtctl restart)"
            )
        self._problems.found(Problem(BUS_ENDED, Severity.DEGRADED, "; ".join(words)))
