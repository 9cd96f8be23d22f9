"""The status as it changes: never more often than once in an interval, and the last state always arrives."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from sidecar.guest import Guest, GuestState
from sidecar.observers import Observers
from sidecar.problems import Problems
from sidecar.session.registry import Registry
from sidecar.session.status import Status, UsbSource, status_of, vm_status


class StatusFeed:
    """Turns every change of the registry, the guest, the problems and the devices into status documents.

    Belongs to the main loop. `problems`: those of the daemon; None: it has none of its own to tell. `usb`:
    the devices that are redirected; None: none can be.
    `interval`: seconds between two documents of one watcher, at least. `clock` and `sleep` are those of
    the loop, monotonic.
    """

    def __init__(
        self,
        registry: Registry,
        guest: Guest,
        *,
        problems: Problems | None = None,
        usb: UsbSource | None = None,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.registry = registry
        self.guest = guest
        self.interval = interval
        self._clock = clock
        self._sleep = sleep
        self.problems = Problems() if problems is None else problems
        self._usb = usb
        self._unsubscribe = [
            guest.lifecycle.subscribe(self._lifecycle_changed),
            self.problems.changes.subscribe(registry.changed),
        ]
        if usb is not None:
            self._unsubscribe.append(usb.changes.subscribe(registry.changed))

    def close(self) -> None:
        """Stops to listen to all but the registry; watchers hear of sessions only from then on."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()

    @property
    def changes(self) -> Observers[[]]:
        """Called at every change, at once and not merged."""
        return self.registry.changes

    def status(self) -> Status:
        """The document of this moment."""
        devices = None if self._usb is None else self._usb.devices()
        return status_of(self.registry, vm_status(self.guest), self.problems, devices)

    async def watch(self, *, refresh: float | None = None) -> AsyncGenerator[Status, None]:
        """The status now, then after each change, merged; ends only by being closed or cancelled.

        `refresh`: seconds after which a document comes although nothing but counters has changed.
        Close it at once when done (`contextlib.aclosing`), or it stays subscribed until it is collected.
        """
        changed = asyncio.Event()
        unsubscribe = self.registry.changes.subscribe(changed.set)
        try:
            while True:
                changed.clear()
                sent_at = self._clock()
                yield self.status()
                with suppress(TimeoutError):
                    async with asyncio.timeout(refresh):
                        await changed.wait()
                pause = sent_at + self.interval - self._clock()
                if pause > 0:
                    await self._sleep(pause)
        finally:
            unsubscribe()

    def _lifecycle_changed(self, _state: GuestState) -> None:
        self.registry.changed()
