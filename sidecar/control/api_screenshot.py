"""Screenshots in the management API."""

from typing import Annotated, Final

import msgspec
from aiohttp import web
from aiohttp.helpers import ETag

from sidecar.control.api_answer import send
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.control.screenshots import (
    NoScreenshotNow,
    NoSuchConsole,
    NotToBeSeen,
    Screenshots,
    ScreenshotsOff,
    ScreenWatched,
)

MOST_UNSENT: Final = 64 * 1024 * 1024
"""Bytes of files that wait for clients to take them; a single one may have more."""

Index = Annotated[int, msgspec.Meta(ge=0, le=255, description="Number of the console.")]
Cursor = Annotated[bool, msgspec.Meta(description="Whether the guest's pointer is drawn in; default: no.")]


def screenshot_operations(screenshots: Screenshots) -> list[Operation]:
    """GET /api/v1/consoles/{index}/screenshot."""
    unsent = 0

    async def screenshot(call: Call) -> web.Response:
        index, cursor = call.parameters["index"], call.parameters.get("cursor", False)
        names = call.caller.consoles
        tag = screenshots.tag(index, cursor=cursor, names=names)
        if ETag(tag) in (call.request.if_none_match or ()):
            return web.Response(status=304, headers={"ETag": f'"{tag}"'})
        taken = await screenshots.take(index, cursor=cursor, names=names)
        response = web.Response(body=taken.png, content_type="image/png", headers={"ETag": f'"{taken.tag}"'})
        nonlocal unsent
        if unsent and unsent + len(taken.png) > MOST_UNSENT:
            raise NoScreenshotNow("too many screenshots are on their way to who does not read: try again")
        unsent += len(taken.png)
        try:
            await send(call.request, response)
        finally:
            unsent -= len(taken.png)
        return response

    return [
        Operation(
            "GET",
            "/api/v1/consoles/{index}/screenshot",
            "getScreenshot",
            "What a console shows now, as a PNG file",
            Role.VIEWER,
            screenshot,
            parameters={"index": Index, "cursor": Cursor},
            media="image/png",
            errors={NoSuchConsole: 404, NotToBeSeen: 403, ScreenWatched: 409, ScreenshotsOff: 403},
            description="Every pixel is as the guest has drawn it. The answer has an `ETag`; with the same "
            "one in `If-None-Match` it is 304 as long as the picture is the same. The setting `screenshots` "
            "says when there are any: `always`, `unwatched` (409 while a session is connected) or `never` "
            "(403). Who has logged in as a user for some consoles gets those of these alone (403).",
        )
    ]
