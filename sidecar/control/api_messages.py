"""Messages to sessions in the management API."""

from collections.abc import Mapping
from typing import Annotated, TypedDict

import msgspec

from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.session.messages import (
    DEFAULT_SECONDS,
    LONGEST,
    LONGEST_TEXT,
    SHORTEST,
    BadMessage,
    NoPicture,
    show_message,
    show_message_to_all,
)
from sidecar.session.registry import Registry
from sidecar.session.state import NoSuchSession

SessionId = Annotated[str, msgspec.Meta(description="The session's id, such as v7.")]


class MessageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message."""

    text: Annotated[
        str,
        msgspec.Meta(
            pattern=r"\S",
            max_length=LONGEST_TEXT,
            description="Line breaks count as spaces; what cannot be shown becomes a question mark.",
        ),
    ]
    seconds: Annotated[
        float, msgspec.Meta(ge=SHORTEST, le=LONGEST, description="How long it stands on the screen.")
    ] = DEFAULT_SECONDS


class MessageAnswer(TypedDict):
    """`shown`: the number of sessions that are shown it."""

    shown: int


def message_operations(registry: Registry) -> list[Operation]:
    """POST /api/v1/sessions/{id}/message, and /api/v1/message to all."""

    async def to_one(call: Call) -> MessageAnswer:
        show_message(registry, call.parameters["id"], call.body.text, call.body.seconds)
        return {"shown": 1}

    async def to_all(call: Call) -> MessageAnswer:
        return {"shown": show_message_to_all(registry, call.body.text, call.body.seconds)}

    return [
        Operation(
            "POST",
            "/api/v1/sessions/{id}/message",
            "sendMessage",
            "Shows a message in the picture of a session",
            Role.OPERATOR,
            to_one,
            body=MessageBody,
            parameters={"id": SessionId},
            result=MessageAnswer,
            errors={NoSuchSession: 404, NoPicture: 409, BadMessage: 422},
            description="A box in the middle of the session's picture, in place of a message before; when "
            "its time is over the picture is as it was. 409: the session has no picture (yet).",
            audited=_seconds,
        ),
        Operation(
            "POST",
            "/api/v1/message",
            "sendMessageToAll",
            "Shows a message in the picture of every session",
            Role.OPERATOR,
            to_all,
            body=MessageBody,
            result=MessageAnswer,
            errors={BadMessage: 422},
            description="The answer says how many sessions have a picture to show it in.",
            audited=_seconds,
        ),
    ]


def _seconds(call: Call) -> Mapping[str, object]:
    # the text is between those two
    return {"seconds": call.body.seconds}
