"""The events of sessions in the management API: a stream of server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
from typing import Final

import msgspec
from aiohttp import hdrs, web

from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.control.session_events import Reader, SessionEvents
from sidecar.log import get_logger

log = get_logger(__name__)

MEDIA: Final = "text/event-stream"

HEARTBEAT: Final = 15.0
"""Seconds without an event after which a comment shows that the connection lives."""

READ_TIME: Final = 15.0
"""Seconds for a client to take what is sent."""

_DESCRIPTION: Final = """`connected`, `initialized` and `disconnected`, each with the session as `data`.

A client that comes again with `Last-Event-ID` gets what it has missed; if that is not known any more, the
first event is `missed`: read the sessions anew. A comment comes every 15 seconds. A client that does not read
is dropped, and the stream of one ends whose certificate has expired, or whose role has changed."""


def event_operations(events: SessionEvents) -> tuple[Operation, ...]:
    """GET /api/v1/events."""

    async def followed(call: Call) -> web.StreamResponse:
        last = call.request.headers.get("Last-Event-ID", "")
        host = call.caller.address.rpartition(":")[0]
        reader = events.follow(f"{call.caller.name} {host}", last)
        try:
            return await _stream(call, events, reader)
        finally:
            events.leave(reader)

    return (
        Operation(
            "GET",
            "/api/v1/events",
            "followEvents",
            "A stream of what happens to sessions",
            Role.VIEWER,
            followed,
            media=MEDIA,
            description=_DESCRIPTION,
        ),
    )


async def _stream(call: Call, events: SessionEvents, reader: Reader) -> web.StreamResponse:
    request = call.request
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: MEDIA, "X-Accel-Buffering": "no"})
    response.force_close()
    text = ": events of sessions\n\n"
    if reader.missed:
        text += "event: missed\ndata: {}\n\n"
    try:
        await response.prepare(request)
        while not reader.is_over:
            async with asyncio.timeout(READ_TIME):
                await response.write(text.encode())
            event = await reader.next(HEARTBEAT)
            if not call.stays():
                break
            if event is None:
                text = ": alive\n\n"
            else:
                data = msgspec.json.encode(event.news).decode()
                text = f"id: {events.id_of(event)}\nevent: {event.news['event']}\ndata: {data}\n\n"
    except TimeoutError:
        log.info("API client does not read its events", reader=reader.whose)
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        # it has left
        return response
    return response
