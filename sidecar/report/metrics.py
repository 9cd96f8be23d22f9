"""The metrics of a daemon: which there are, and their values of this moment. Names no user and no address.

KubeVirt's monitoring guidelines want metrics of a running VM to begin with `kubevirt_vmi_`. The labels of
the pod come from whoever scrapes it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from sidecar import __version__
from sidecar.guest import Guest, GuestState
from sidecar.log import counted
from sidecar.problems import Problems
from sidecar.report.error_metrics import error_families
from sidecar.report.exposition import Family, Sample, exposition, single
from sidecar.report.metrics_sources import Sources
from sidecar.report.picture_metrics import PictureMetrics
from sidecar.report.process_figures import process_families
from sidecar.report.pulse import Pulse
from sidecar.report.session_totals import PROTOCOLS, SessionTotals, Totals
from sidecar.report.source_families import source_families
from sidecar.session.registry import Registry
from sidecar.session.state import EndReason, SessionState

PREFIX: Final = "kubevirt_vmi_vdi_"


class Metrics:
    """Begins to count when it is made. Belongs to the main loop. Close it.

    `sources`: who tells of the rest. `pulse` looks at what nobody counts, once somebody has started it.
    """

    def __init__(
        self, registry: Registry, guest: Guest, problems: Problems, sources: Sources | None = None
    ) -> None:
        self._registry = registry
        self._guest = guest
        self._problems = problems
        self._sources = sources = sources or Sources()
        self._totals = SessionTotals(registry)
        self._pictures = None if sources.pictures is None else PictureMetrics(sources.pictures)
        self.pulse = Pulse(registry)

    def close(self) -> None:
        """Counts no more."""
        self._totals.close()
        self.pulse.close()
        if self._pictures is not None:
            self._pictures.close()

    def page(self) -> bytes:
        """All of them as Prometheus reads them."""
        return exposition(
            [
                *self._session_families(),
                *([] if self._pictures is None else self._pictures.families(PREFIX)),
                *source_families(PREFIX, self._sources),
                *self.pulse.families(PREFIX),
                *error_families(PREFIX, counted()),
                *process_families(),
            ]
        )

    def _session_families(self) -> Iterator[Family]:
        states = Counter((session.protocol, session.state) for session in self._registry)
        totals = {protocol: self._totals.totals(protocol) for protocol in PROTOCOLS}

        def by_protocol(value: Callable[[Totals], int]) -> tuple[Sample, ...]:
            return tuple(Sample(value(total), {"protocol": name}) for name, total in totals.items())

        def in_state(state: SessionState) -> tuple[Sample, ...]:
            return tuple(Sample(states[name, state], {"protocol": name}) for name in PROTOCOLS)

        yield Family(
            PREFIX + "info", "gauge", "Version of vdi-sidecar.", (Sample(1, {"version": __version__}),)
        )
        yield Family(
            PREFIX + "sessions",
            "gauge",
            "Number of sessions: viewers that have logged in and are connected.",
            in_state(SessionState.INITIALIZED),
        )
        yield single(
            PREFIX + "max_sessions",
            "gauge",
            "Number of sessions of all protocols that are let in at once.",
            self._registry.policy.max_sessions,
        )
        yield Family(
            PREFIX + "waiting_connections",
            "gauge",
            "Number of connections that have not logged in yet.",
            in_state(SessionState.CONNECTED),
        )
        yield Family(
            PREFIX + "connections_total",
            "counter",
            "Total connections that were accepted.",
            by_protocol(lambda total: total.connections),
        )
        yield Family(
            PREFIX + "sessions_started_total",
            "counter",
            "Total sessions that have begun: connections that have logged in.",
            by_protocol(lambda total: total.sessions),
        )
        yield Family(
            PREFIX + "connections_ended_total",
            "counter",
            "Total connections that have ended, logged in or not, by the reason for it.",
            self._ends(),
        )
        yield Family(
            PREFIX + "transmit_bytes_total",
            "counter",
            "Total bytes sent to viewers.",
            by_protocol(lambda total: total.bytes_sent),
        )
        yield Family(
            PREFIX + "receive_bytes_total",
            "counter",
            "Total bytes received from viewers.",
            by_protocol(lambda total: total.bytes_received),
        )
        yield Family(
            PREFIX + "transmit_frames_total",
            "counter",
            "Total updates of the screen sent to viewers.",
            by_protocol(lambda total: total.frames),
        )
        yield Family(
            PREFIX + "audio_drop_outs_total",
            "counter",
            "Total times that a viewer did not hear what was played, since its connection was too slow.",
            by_protocol(lambda total: total.audio_drop_outs),
        )
        yield Family(
            PREFIX + "guest_state",
            "gauge",
            "Whether the machine is waited for, attached or lost: 1 for the one that holds.",
            tuple(Sample(int(self._guest.state is each), {"state": each.value}) for each in GuestState),
        )
        yield Family(
            PREFIX + "problem",
            "gauge",
            "1 for each problem that the sidecar has at the moment.",
            tuple(Sample(1, {"code": each.code, "severity": each.severity.value}) for each in self._problems),
        )

    def _ends(self) -> tuple[Sample, ...]:
        # a failed login is there from the start, so that an alert sees the first one; the other reasons
        # come when they happen: most never do
        ends = {(name, EndReason.LOGIN_FAILED): 0 for name in PROTOCOLS} | self._totals.ends
        return tuple(
            Sample(count, {"protocol": name, "reason": reason.code}) for (name, reason), count in ends.items()
        )
