"""Makes and ends tickets for people, and ends the sessions that live no longer than their ticket."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypedDict

from sidecar.access.tickets import NoSuchTicket, Ticket, Tickets, TicketWish
from sidecar.errors import NotReady
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.session.registry import Registry
from sidecar.session.session import Session
from sidecar.session.state import EndReason, SessionState

log = get_logger(__name__)

LONGEST_SLEEP: Final = 30.0
"""Seconds after which the clock on the wall is looked at again while there are tickets: it may be set, and a
machine that slept has not counted."""

REMEMBERED: Final = 256
"""Tickets that were over with their sessions: one of those may be on its way in just then."""


class TicketsOff(NotReady):
    """Nobody is asked for anything here, so a ticket would be no use."""

    def __init__(self) -> None:
        super().__init__(
            "nobody is asked for a password here, so tickets are no use: start the daemon with --auth ticket,"
            " --password-file PATH or --users-file PATH"
        )


class TicketStatus(TypedDict):
    """A ticket, without its secret. Times in seconds since 1970.

    `consoles`: None: all. `user`: empty: any name. `used_up`: it lets in nobody more. `sessions`: ids of
    those that it let in and that are still there.
    """

    id: str
    valid_to: float
    once: bool
    protocols: list[str]
    view_only: bool
    consoles: list[str] | None
    user: str
    note: str
    end_sessions: bool
    made_by: str
    made_at: float
    uses: int
    used_up: bool
    sessions: list[str]


class NewTicket(TypedDict):
    """A ticket that was just made. `secret` is shown this once."""

    secret: str
    ticket: TicketStatus


class TicketWatch:
    """What people do with `tickets`; None where nobody is asked for anything. Belongs to the main loop.

    A context manager: while it is entered, tickets that are over are taken away, and sessions ended
    (TICKET_OVER) whose ticket wants it.
    """

    def __init__(
        self, tickets: Tickets | None, registry: Registry, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._tickets = tickets
        self._registry = registry
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._over: deque[str] = deque(maxlen=REMEMBERED)
        self._leave: Callable[[], None] = lambda: None
        self.ended: Observers[[str]] = Observers()
        """Called with the id of a ticket that takes along what it has let in."""

    def __enter__(self) -> Self:
        self._leave = self._registry.events.subscribe(self._session_changed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def create(self, wish: TicketWish, made_by: str) -> NewTicket:
        """Makes a ticket. Raises TicketsOff and what Tickets.create does."""
        if self._tickets is None:
            raise TicketsOff
        self.look()
        ticket = self._tickets.create(wish, made_by)
        log.info("ticket made", ticket=ticket.id, made_by=made_by, valid_to=round(ticket.wish.valid_to))
        self._arm()
        return NewTicket(secret=ticket.wish.secret or "", ticket=self._status(ticket))

    def revoke(self, ticket_id: str, *, end_sessions: bool = False) -> int:
        """Takes a ticket away; how many sessions ended with it: all that it let in, if asked now or when it
        was made. Raises NoSuchTicket."""
        if self._tickets is None:
            raise NoSuchTicket(ticket_id)
        self.look()
        ticket = self._tickets.revoke(ticket_id)
        ended = self._end_sessions(ticket) if end_sessions or ticket.wish.end_sessions else 0
        log.info("ticket revoked", ticket=ticket.id, sessions_ended=ended)
        self._arm()
        return ended

    def find(self, ticket_id: str) -> TicketStatus:
        """One that is not over. Raises NoSuchTicket."""
        if self._tickets is None:
            raise NoSuchTicket(ticket_id)
        return self._status(self._tickets.find(ticket_id))

    def listed(self) -> list[TicketStatus]:
        """Those that are not over, in the order in which they were made."""
        return [] if self._tickets is None else [self._status(ticket) for ticket in self._tickets.live()]

    def look(self) -> None:
        """Takes away what is over, and ends the sessions that live no longer."""
        if self._tickets is None:
            return
        for ticket in self._tickets.drop_over():
            ended = self._end_sessions(ticket) if ticket.wish.end_sessions else 0
            log.info("ticket over", ticket=ticket.id, uses=ticket.uses, sessions_ended=ended)

    def _look_again(self) -> None:
        self._timer = None
        self.look()
        self._arm()

    def _arm(self) -> None:
        """Has `_look_again` called when the next ticket is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = None if self._tickets is None else self._tickets.next_end
        if end is not None:
            wait = min(LONGEST_SLEEP, max(0.0, end - self._clock()))
            self._timer = asyncio.get_running_loop().call_later(wait, self._look_again)

    def _end_sessions(self, ticket: Ticket) -> int:
        self._over.append(ticket.id)
        sessions = self._sessions_of(ticket.id)
        for session in sessions:
            self._registry.end(session.id, EndReason.TICKET_OVER)
        self.ended.notify(ticket.id)
        return len(sessions)

    def _sessions_of(self, ticket_id: str) -> list[Session]:
        return [session for session in self._registry if session.ticket == ticket_id]

    def _session_changed(self, session: Session) -> None:
        if not session.ticket:
            return
        if session.state is SessionState.INITIALIZED and session.ticket in self._over:
            # its ticket ended between the login and this; not within the call that lets it in
            asyncio.get_running_loop().call_soon(self._end_late, session)
        elif session.state is SessionState.DISCONNECTED and self._tickets is not None:
            self._tickets.forget_used_up(session.ticket)

    def _end_late(self, session: Session) -> None:
        if session.state is SessionState.INITIALIZED:
            self._registry.end(session.id, EndReason.TICKET_OVER)

    def _status(self, ticket: Ticket) -> TicketStatus:
        wish = ticket.wish
        return TicketStatus(
            id=ticket.id,
            valid_to=wish.valid_to,
            once=wish.once,
            protocols=sorted(wish.protocols),
            view_only=wish.view_only,
            consoles=None if wish.consoles is None else sorted(wish.consoles),
            user=wish.user,
            note=wish.note,
            end_sessions=wish.end_sessions,
            made_by=ticket.made_by,
            made_at=ticket.made_at,
            uses=ticket.uses,
            used_up=ticket.is_used_up,
            sessions=[session.id for session in self._sessions_of(ticket.id)],
        )
