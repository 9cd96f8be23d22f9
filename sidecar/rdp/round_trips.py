"""How long a client's answer takes: asked now and then, for the session's record (MS-RDPBCGR 2.2.14)."""

import asyncio
from collections.abc import Callable

from sidecar.rdp.connection import ServerConnection
from sidecar.session.session import Session

INTERVAL = 10.0
"""Seconds between two questions; one that is not answered by then counts for nothing."""


class RoundTrips:
    """Asks until it is closed. A client that does not take such questions is asked none.

    `flush` sends what the connection has.
    """

    def __init__(self, connection: ServerConnection, session: Session, flush: Callable[[], None]) -> None:
        self._connection = connection
        self._session = session
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ask()

    def answered(self, sequence: int) -> None:
        """The client has answered a question; only the latest one counts."""
        if sequence == self._sequence and self._asked_at:
            self._session.round_trip = self._loop.time() - self._asked_at
            self._asked_at = 0.0

    def close(self) -> None:
        """Asks no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self) -> None:
        self._timer = None
        self._sequence = (self._sequence + 1) & 0xFFFF
        if self._connection.measure_round_trip(self._sequence):
            self._asked_at = self._loop.time()
            self._timer = self._loop.call_later(INTERVAL, self._ask)
            self._flush()
