"""Every session of every frontend, with the limits and the sharing policy that they keep to."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.session.session import Session, SessionProtocol, Transport
from sidecar.session.state import (
    EndReason,
    NoSuchSession,
    SessionEvent,
    SessionRefused,
    SessionState,
    after,
)

log = get_logger(__name__)


class SharePolicy(StrEnum):
    """What happens when somebody logs in while others are there.

    The policy alone decides. The client's own flag is recorded and not followed: TigerVNC and gtk-vnc
    send "exclusive" by habit, and one viewer must not throw the others out without meaning to.
    """

    SHARED = "shared"
    """everybody may watch"""
    EXCLUSIVE = "exclusive"
    """the newcomer takes over and the others are ended"""
    SINGLE = "single"
    """the newcomer is refused"""


@dataclass(frozen=True)
class Policy:
    """The rules of one registry. Not slotted: its defaults can be read from the class."""

    share: SharePolicy = SharePolicy.SHARED
    max_sessions: int = 32
    """Initialized sessions at once, over all protocols, >= 1."""
    max_waiting: int = 128
    """Connections that have not authenticated, >= 1; one more ends the oldest of the busiest address."""
    view_only: bool = False
    """Makes every session view-only from its beginning."""


class Registry:
    """Who is connected. Does no I/O and belongs to the main loop; `clock` gives seconds since 1970.

    A session that the registry ends is disconnected, and no longer counted, before its `end` is called,
    so limits hold at every moment. `end` is called at most once, must not raise and must not wait: it
    makes the frontend say goodbye and close. What the frontend reports afterwards changes nothing.
    """

    def __init__(self, policy: Policy | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.policy = policy or Policy()
        self._clock = clock
        self._numbers = itertools.count(1)
        # by id, in order of connecting; the two never share a session
        self._waiting: dict[str, Session] = {}
        self._initialized: dict[str, Session] = {}
        self._closed: EndReason | None = None
        self.generation = 0
        """Raised by one at every change that observers hear of."""
        self.changes: Observers[[]] = Observers()
        """Called at once when a session has come, was initialized, was switched or has gone."""
        self.events: Observers[[Session]] = Observers()
        """Called with a session whose state has just changed (it has come, was initialized, has gone), before
        `changes`."""

    def connect(
        self,
        protocol: SessionProtocol,
        transport: Transport,
        address: str,
        tls: bool = False,
        *,
        end: Callable[[EndReason], None],
    ) -> Session:
        """Takes note of a connection that was accepted. Raises SessionRefused when the registry is closed.

        Never refuses because others wait: where too many do, the oldest of the address that has most
        waiting is ended (CROWDED_OUT), so sockets that say nothing lock nobody out.
        """
        if self._closed is not None:
            raise SessionRefused(self._closed)
        while len(self._waiting) >= self.policy.max_waiting:
            self._end(self._oldest_of_the_busiest_address(), EndReason.CROWDED_OUT)
        session_id = f"{protocol[0]}{next(self._numbers)}"
        session = Session(
            session_id,
            protocol=protocol,
            transport=transport,
            address=address,
            tls=tls,
            connected_at=self._clock(),
            end=end,
        )
        self._waiting[session_id] = session
        log.debug("session connected", session=session_id, protocol=protocol, address=address)
        self.events.notify(session)
        self.changed()
        return session

    def would_refuse(self) -> EndReason | None:
        """Why a session would not be initialized now, for protocols that must say so before they do it."""
        if self._closed is not None:
            return self._closed
        if self.policy.share is SharePolicy.SINGLE and self._initialized:
            return EndReason.OCCUPIED
        if (
            self.policy.share is not SharePolicy.EXCLUSIVE
            and len(self._initialized) >= self.policy.max_sessions
        ):
            return EndReason.FULL
        return None

    def initialize(
        self,
        session: Session,
        *,
        user: str = "",
        auth: str = "none",
        shared: bool = True,
        view_only: bool = False,
        console: int = 0,
        ticket: str = "",
        consoles: frozenset[str] | None = None,
    ) -> None:
        """Counts a session that has authenticated, as the policy allows. `ticket`, `consoles`: see Session.

        Raises SessionRefused: FULL, OCCUPIED, why the registry was closed, or why it was ended meanwhile.
        A refused session stays connected: its frontend tells the peer and reports `disconnected`.
        """
        if session.end_reason is not None:
            raise SessionRefused(session.end_reason)
        following = after(session.state, SessionEvent.INITIALIZE)
        self._make_room()
        del self._waiting[session.id]
        self._initialized[session.id] = session
        session.state = following
        session.initialized_at = self._clock()
        session.user = user
        session.auth = auth
        session.shared = shared
        session.view_only = view_only or self.policy.view_only
        session.console = console
        session.ticket = ticket
        session.consoles = consoles
        log.info(
            "session initialized",
            session=session.id,
            protocol=session.protocol,
            transport=session.transport,
            address=session.address,
            tls=session.tls,
            user=user,
            auth=auth,
            sessions=len(self._initialized),
        )
        self.events.notify(session)
        self.changed()

    def disconnected(self, session: Session, reason: EndReason = EndReason.CLOSED) -> None:
        """Takes note of a connection that is gone or is being closed by its frontend; may be repeated."""
        if self._leave(session, reason):
            self.changed()

    def end(self, session_id: str, reason: EndReason = EndReason.DISCONNECTED) -> None:
        """Ends one session, initialized or not. Raises NoSuchSession."""
        self._end(self.find(session_id), reason)
        self.changed()

    def end_all(self, reason: EndReason = EndReason.DISCONNECTED) -> int:
        """Ends every session and returns how many there were."""
        sessions = list(self)
        for session in sessions:
            self._end(session, reason)
        if sessions:
            self.changed()
        return len(sessions)

    def close(self, reason: EndReason = EndReason.SHUTDOWN) -> None:
        """Refuses every newcomer from now on and ends all sessions. When repeated the first reason stays."""
        if self._closed is None:
            self._closed = reason
        self.end_all(self._closed)

    def set_view_only(self, session_id: str, view_only: bool) -> None:
        """Takes input away from an initialized session, or gives it back. Raises NoSuchSession."""
        session = self._initialized.get(session_id)
        if session is None:
            raise NoSuchSession(session_id)
        if session.view_only != view_only:
            session.view_only = view_only
            log.info("session view-only switched", session=session_id, view_only=view_only)
            session.view_only_changes.notify()
            self.changed()

    def find(self, session_id: str) -> Session:
        """The session of that id, if it is still there. Raises NoSuchSession."""
        session = self._initialized.get(session_id) or self._waiting.get(session_id)
        if session is None:
            raise NoSuchSession(session_id)
        return session

    def count(self, protocol: SessionProtocol | None = None) -> int:
        """How many initialized sessions there are, of one protocol or of all."""
        if protocol is None:
            return len(self._initialized)
        return sum(session.protocol == protocol for session in self._initialized.values())

    @property
    def waiting(self) -> int:
        """How many connections have not authenticated yet."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Session]:
        """The initialized sessions, then those that wait; each in the order in which they came so far."""
        return itertools.chain(list(self._initialized.values()), list(self._waiting.values()))

    def changed(self) -> None:
        """Raises the generation and calls the observers; for what the status shows beside the sessions."""
        self.generation += 1
        self.changes.notify()

    def _make_room(self) -> None:
        """Applies the policy to a newcomer."""
        reason = self.would_refuse()
        if reason is not None:
            raise SessionRefused(reason)
        if self.policy.share is SharePolicy.EXCLUSIVE:
            for other in list(self._initialized.values()):
                self._end(other, EndReason.REPLACED)

    def _oldest_of_the_busiest_address(self) -> Session:
        # the port differs at every connection of one peer
        hosts = Counter(session.address.rpartition(":")[0] for session in self._waiting.values())
        busiest = max(hosts.values())
        return next(
            session
            for session in self._waiting.values()
            if hosts[session.address.rpartition(":")[0]] == busiest
        )

    def _leave(self, session: Session, reason: EndReason) -> bool:
        """Moves `session` to DISCONNECTED; whether it was not there yet."""
        was = session.state
        session.state = after(was, SessionEvent.DISCONNECT)
        if was is SessionState.DISCONNECTED:
            return False
        counted = self._initialized.pop(session.id, None)
        self._waiting.pop(session.id, None)
        session.end_reason = reason
        session.disconnected_at = self._clock()
        (log.debug if counted is None else log.info)(
            "session disconnected",
            session=session.id,
            reason=reason.code,
            user=session.user,
            address=session.address,
            seconds=round(session.disconnected_at - session.connected_at, 3),
            bytes_sent=session.bytes_sent,
            bytes_received=session.bytes_received,
            sessions=len(self._initialized),
        )
        self.events.notify(session)
        return True

    def _end(self, session: Session, reason: EndReason) -> None:
        if self._leave(session, reason):
            session.end(reason)
