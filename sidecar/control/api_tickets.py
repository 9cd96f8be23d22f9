"""Tickets in the management API. Loaded where there is one: it needs msgspec."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypedDict

import msgspec

from sidecar.access.grant import LoginProtocol
from sidecar.access.tickets import (
    LONGEST_NAME,
    LONGEST_NOTE,
    LONGEST_SECRET,
    LONGEST_VALIDITY,
    MOST_CONSOLES,
    SHORTEST_SECRET,
    NoSuchTicket,
    TicketClash,
    TicketUnacceptable,
    TooManyTickets,
)
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.control.ticket_watch import NewTicket, TicketsOff, TicketStatus, TicketWatch
from sidecar.control.ticket_wishes import wished

PATH: Final = "/api/v1/tickets"

_MAKING: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {TicketUnacceptable: 422, TicketClash: 409, TooManyTickets: 409, TicketsOff: 409}
)

_Console = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]


class WantedTicket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a ticket is to be."""

    valid: (
        Annotated[
            float,
            msgspec.Meta(gt=0, le=LONGEST_VALIDITY, description="Seconds from now; 600 if nothing is said."),
        ]
        | None
    ) = None
    valid_to: (
        Annotated[float, msgspec.Meta(ge=0, description="Until when, in seconds since 1970.")] | None
    ) = None
    once: Annotated[bool, msgspec.Meta(description="Good for one session, or one request.")] = False
    protocols: (
        Annotated[
            list[LoginProtocol],
            msgspec.Meta(
                min_length=1,
                max_length=4,
                description="`web`: VNC through a WebSocket; `api`: USB devices. All but `api` if left out.",
            ),
        ]
        | None
    ) = None
    view_only: bool = False
    consoles: (
        Annotated[
            list[_Console],
            msgspec.Meta(
                min_length=1,
                max_length=MOST_CONSOLES,
                description="Labels or numbers of consoles, or names of serial ports; all if left out.",
            ),
        ]
        | None
    ) = None
    user: Annotated[
        str,
        msgspec.Meta(
            max_length=LONGEST_NAME,
            description="The name to give with it, where the protocol has names; empty: any.",
        ),
    ] = ""
    note: Annotated[str, msgspec.Meta(max_length=LONGEST_NOTE, description="For people.")] = ""
    end_sessions: Annotated[
        bool, msgspec.Meta(description="Sessions that it let in end when it is over or revoked.")
    ] = False
    secret: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=SHORTEST_SECRET,
                max_length=LONGEST_SECRET,
                description="One is made up if left out. VNC's own authentication looks at 8 bytes of it.",
            ),
        ]
        | None
    ) = None

    def __repr__(self) -> str:
        # the secret stays out of what is shown of it anywhere
        return "WantedTicket(...)"


class TicketList(TypedDict):
    """The tickets that are not over, in the order in which they were made."""

    tickets: list[TicketStatus]


class TicketRevoked(TypedDict):
    """How many sessions ended with a ticket."""

    sessions_ended: int


def ticket_operations(watch: TicketWatch) -> list[Operation]:
    """GET and POST /api/v1/tickets, GET and DELETE /api/v1/tickets/{id}."""

    async def listed(_call: Call) -> TicketList:
        return TicketList(tickets=watch.listed())

    async def made(call: Call) -> NewTicket:
        return watch.create(wished(watch.now, **msgspec.structs.asdict(call.body)), call.caller.name)

    async def one(call: Call) -> TicketStatus:
        return watch.find(call.parameters["id"])

    async def revoked(call: Call) -> TicketRevoked:
        ended = watch.revoke(call.parameters["id"], end_sessions=call.parameters.get("end_sessions", False))
        return TicketRevoked(sessions_ended=ended)

    return [
        Operation(
            "GET",
            PATH,
            "listTickets",
            "The tickets that are not over, without their secrets",
            Role.VIEWER,
            listed,
            result=TicketList,
        ),
        Operation(
            "POST",
            PATH,
            "createTicket",
            "Make a ticket; its secret is shown this once",
            Role.OPERATOR,
            made,
            body=WantedTicket,
            result=NewTicket,
            errors=_MAKING,
            description="A ticket is given as a password: to VNC, RDP and noVNC, and to this API as a bearer "
            "token. 409 where 256 are there, where another secret of the machine is the same to VNC's "
            "authentication, and where nobody is asked for a password at all.",
            audited=_told,
        ),
        Operation(
            "GET",
            f"{PATH}/{{id}}",
            "getTicket",
            "One ticket, without its secret",
            Role.VIEWER,
            one,
            parameters={"id": str},
            result=TicketStatus,
            errors={NoSuchTicket: 404},
        ),
        Operation(
            "DELETE",
            f"{PATH}/{{id}}",
            "revokeTicket",
            "Take a ticket away",
            Role.OPERATOR,
            revoked,
            parameters={"id": str, "end_sessions": bool},
            result=TicketRevoked,
            errors={NoSuchTicket: 404},
            description="Sessions that it let in go on, unless `end_sessions` is true or it was made so.",
            audited=lambda call: {"end_sessions": call.parameters.get("end_sessions", False)},
        ),
    ]


def _told(call: Call) -> Mapping[str, object]:
    return {
        name: value
        for name, value in msgspec.structs.asdict(call.body).items()
        if name not in ("secret", "note") and value is not None
    }
