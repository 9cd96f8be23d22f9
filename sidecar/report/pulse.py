"""Looks once a second how late the main loop is, and how long viewers' answers take."""

import asyncio
from collections.abc import Iterator
from typing import Final

from sidecar.report.exposition import Family, Sample
from sidecar.report.histogram import Histogram
from sidecar.report.session_totals import PROTOCOLS
from sidecar.session.registry import Registry

BEAT: Final = 1.0
"""Seconds between two looks."""


class Pulse:
    """Looks from `start` to `close`; holds what it has seen. Belongs to the main loop."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lags = Histogram()
        self._round_trips = {protocol: Histogram() for protocol in PROTOCOLS}
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_looking(self) -> bool:
        """Whether it has been started, and not closed."""
        return self._handle is not None and not self._handle.cancelled()

    def start(self) -> None:
        """Looks from now on."""
        self._wait(asyncio.get_running_loop())

    def close(self) -> None:
        """Looks no more; what it has seen stays."""
        if self._handle is not None:
            self._handle.cancel()

    def beat(self, lag: float) -> None:
        """One look. `lag`: seconds by which it is late."""
        self._lags.observe(lag)
        for session in self._registry:
            if session.is_initialized and session.round_trip is not None:
                self._round_trips[session.protocol].observe(session.round_trip)

    def families(self, prefix: str) -> Iterator[Family]:
        """The metrics, whose names begin with `prefix`."""
        yield Family(
            prefix + "loop_lag_seconds",
            "histogram",
            "Time by which a timer of the main loop was late, looked at once a second.",
            tuple(self._lags.samples()),
        )
        samples: list[Sample] = []
        for protocol, histogram in self._round_trips.items():
            samples += histogram.samples({"protocol": protocol})
        yield Family(
            prefix + "round_trip_seconds",
            "histogram",
            "Time that the last answer of each viewer has taken, looked at once a second.",
            tuple(samples),
        )

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + BEAT
        self._handle = loop.call_at(due, self._due, loop, due)

    def _due(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.beat(max(0.0, loop.time() - due))
        self._wait(loop)
