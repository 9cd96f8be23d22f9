"""What people write when they want a ticket, made into a wish."""

from collections.abc import Collection
from typing import Final, cast

from sidecar.access.grant import LoginProtocol
from sidecar.access.tickets import VIEWERS, TicketUnacceptable, TicketWish

VALIDITY: Final = 600.0
"""Seconds for which a ticket is valid if nothing is said."""


def wished(
    now: float,
    *,
    valid: float | None = None,
    valid_to: float | None = None,
    protocols: Collection[str] | None = None,
    consoles: Collection[str] | None = None,
    once: bool = False,
    view_only: bool = False,
    end_sessions: bool = False,
    user: str = "",
    note: str = "",
    secret: str | None = None,
) -> TicketWish:
    """The wish; Tickets.create looks at what it holds.

    `valid`: seconds from `now`; `valid_to`: seconds since 1970, as `now`. Raises TicketUnacceptable.
    """
    if valid is not None and valid_to is not None:
        raise TicketUnacceptable("say how long the ticket is valid or until when, not both")
    if valid_to is None:
        valid_to = now + (VALIDITY if valid is None else valid)
    return TicketWish(
        valid_to=float(valid_to),
        once=once,
        # words that are none are found by who makes the ticket
        protocols=VIEWERS if protocols is None else cast("frozenset[LoginProtocol]", frozenset(protocols)),
        view_only=view_only,
        consoles=None if consoles is None else frozenset(consoles),
        user=user,
        note=note,
        end_sessions=end_sessions,
        secret=secret,
    )
