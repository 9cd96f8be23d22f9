"""The sessions in the management API: who is connected, and their ends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypedDict

from msgspec import Meta, Struct

from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.session.registry import Registry
from sidecar.session.state import NoSuchSession
from sidecar.session.status import SessionStatus, session_status

PATH: Final = "/api/v1/sessions"

SessionId = Annotated[str, Meta(description="A session's id, such as v7.")]
Why = Annotated[str, Meta(max_length=200, description="Why, for the audit log.")]

ERRORS: Final[Mapping[type[Exception], int]] = MappingProxyType({NoSuchSession: 404})


class SessionList(TypedDict):
    """Those that are initialized, then those that have not logged in yet."""

    sessions: list[SessionStatus]


class Ended(TypedDict):
    """How many there were."""

    disconnected: int


class SessionChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is changed of a session."""

    view_only: Annotated[bool, Meta(description="Whether its input is ignored.")]


def session_operations(registry: Registry) -> tuple[Operation, ...]:
    """Listing, ending, taking input away."""

    async def listed(_call: Call) -> SessionList:
        return SessionList(sessions=[session_status(session) for session in registry])

    async def one(call: Call) -> SessionStatus:
        return session_status(registry.find(call.parameters["id"]))

    async def end(call: Call) -> None:
        registry.end(call.parameters["id"])

    async def end_all(_call: Call) -> Ended:
        return Ended(disconnected=registry.end_all())

    async def change(call: Call) -> SessionStatus:
        registry.set_view_only(call.parameters["id"], call.body.view_only)
        return session_status(registry.find(call.parameters["id"]))

    return (
        Operation("GET", PATH, "listSessions", "Who is connected", Role.VIEWER, listed, result=SessionList),
        Operation(
            "DELETE",
            PATH,
            "endAllSessions",
            "End every session",
            Role.OPERATOR,
            end_all,
            parameters={"reason": Why},
            result=Ended,
            audited=_why,
        ),
        Operation(
            "GET",
            f"{PATH}/{{id}}",
            "getSession",
            "One session",
            Role.VIEWER,
            one,
            parameters={"id": SessionId},
            result=SessionStatus,
            errors=ERRORS,
        ),
        Operation(
            "DELETE",
            f"{PATH}/{{id}}",
            "endSession",
            "End a session",
            Role.OPERATOR,
            end,
            parameters={"id": SessionId, "reason": Why},
            errors=ERRORS,
            description="Its user is told that an administrator has ended it.",
            audited=_why,
        ),
        Operation(
            "PATCH",
            f"{PATH}/{{id}}",
            "changeSession",
            "Take input away from a session, or give it back",
            Role.OPERATOR,
            change,
            parameters={"id": SessionId},
            body=SessionChange,
            result=SessionStatus,
            errors=ERRORS,
            description="A session that has not logged in yet is not found.",
            audited=lambda call: {"view_only": call.body.view_only},
        ),
    )


def _why(call: Call) -> Mapping[str, object]:
    return {"reason": call.parameters["reason"]} if "reason" in call.parameters else {}
