"""The commands of the admin socket for screenshots and messages."""

import base64
from collections.abc import AsyncGenerator
from typing import Final

from sidecar.control.admin_commands import Arguments, Command, Json
from sidecar.control.screenshots import Screenshots
from sidecar.session.messages import DEFAULT_SECONDS, show_message, show_message_to_all
from sidecar.session.registry import Registry

PIECE: Final = 768 * 1024
"""Bytes of a file in one answer: a line of a mebibyte."""


def screen_commands(registry: Registry, screenshots: Screenshots) -> tuple[Command, ...]:
    """`screenshot`, `message` and `message-all`."""

    async def screenshot(arguments: Arguments) -> Json:
        taken = await screenshots.take(arguments["console"], cursor=arguments.get("cursor", False))
        return _streamed(taken.png, {"width": taken.width, "height": taken.height, "bytes": len(taken.png)})

    def message(arguments: Arguments) -> Json:
        show_message(registry, arguments["id"], arguments["text"], _seconds(arguments))
        return {"shown": 1}

    def message_all(arguments: Arguments) -> Json:
        return {"shown": show_message_to_all(registry, arguments["text"], _seconds(arguments))}

    return (
        Command(
            "screenshot",
            "streams what a console shows: its size and the bytes of a PNG file, then the file in base64",
            screenshot,
            required={"console": int},
            optional={"cursor": bool},
        ),
        Command(
            "message",
            "shows a text in the picture of one session",
            message,
            required={"id": str, "text": str},
            optional={"seconds": float},
            changes=True,
            audited=("id", "seconds"),
        ),
        Command(
            "message-all",
            "shows a text in the picture of every session",
            message_all,
            required={"text": str},
            optional={"seconds": float},
            changes=True,
            audited=("seconds",),
        ),
    )


def _seconds(arguments: Arguments) -> float:
    return float(arguments.get("seconds", DEFAULT_SECONDS))


async def _streamed(file: bytes, head: Json) -> AsyncGenerator[Json, None]:
    yield head
    for start in range(0, len(file), PIECE):
        yield base64.b64encode(file[start : start + PIECE]).decode()
