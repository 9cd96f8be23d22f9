"""What all sessions together have done since the daemon began; no total ever falls."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import get_args

from sidecar.session.registry import Registry
from sidecar.session.session import Session, SessionProtocol
from sidecar.session.state import EndReason

PROTOCOLS: tuple[SessionProtocol, ...] = get_args(SessionProtocol)


@dataclass(slots=True)
class Totals:
    """Of one protocol. All but `sessions` is of all connections, logged in or not."""

    connections: int = 0
    sessions: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    frames: int = 0
    audio_drop_outs: int = 0

    def _add(self, session: Session) -> None:
        self.bytes_sent += session.bytes_sent
        self.bytes_received += session.bytes_received
        self.frames += session.frames
        self.audio_drop_outs += session.audio_drop_outs


class SessionTotals:
    """Follows `registry`, whose sessions take their counters with them when they go. Close it.

    A session's counters are taken in the moment in which it ends: the goodbye that follows is not counted.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._live: dict[str, Session] = {}
        self._initialized: set[str] = set()
        self._gone = {protocol: Totals() for protocol in PROTOCOLS}
        self._ends: Counter[tuple[SessionProtocol, EndReason]] = Counter()
        self._unsubscribe = registry.changes.subscribe(self._changed)
        self._changed()

    def close(self) -> None:
        """Follows it no more."""
        self._unsubscribe()

    @property
    def ends(self) -> Counter[tuple[SessionProtocol, EndReason]]:
        """How many connections have ended for which reason."""
        return self._ends

    def totals(self, protocol: SessionProtocol) -> Totals:
        """The totals of this moment."""
        gone = self._gone[protocol]
        total = replace(gone)
        for session in self._live.values():
            if session.protocol == protocol:
                total._add(session)
        return total

    def _changed(self) -> None:
        present = {session.id: session for session in self._registry}
        self._left(session for session_id, session in self._live.items() if session_id not in present)
        for session_id, session in present.items():
            totals = self._gone[session.protocol]
            if session_id not in self._live:
                totals.connections += 1
            if session.is_initialized and session_id not in self._initialized:
                self._initialized.add(session_id)
                totals.sessions += 1
        self._live = present

    def _left(self, sessions: Iterable[Session]) -> None:
        for session in sessions:
            self._initialized.discard(session.id)
            self._gone[session.protocol]._add(session)
            if session.end_reason is not None:
                self._ends[session.protocol, session.end_reason] += 1
