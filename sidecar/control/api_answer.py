"""What the management API answers, as HTTP."""

import asyncio
import math
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from sidecar.control.operation import JSON, Operation
from sidecar.log import get_logger

log = get_logger(__name__)

SEND_TIME: Final = 30.0
"""Seconds for a client to take an answer."""


def answer_response(operation: Operation, answer: Any) -> web.StreamResponse:
    """The answer of an operation; one that is a response already stays as it is."""
    if isinstance(answer, web.StreamResponse):
        return answer
    if operation.result is None:
        return web.Response(status=operation.success_status)
    return web.Response(body=msgspec.json.encode(answer), content_type=JSON, status=operation.success_status)


def error_response(
    status: int, text: str, *, challenge: str = "", allow: str | None = None, wait: float | None = None
) -> web.Response:
    """An error, as this API tells it. `challenge`: what a 401 asks for; `wait`: seconds until another try."""
    response = web.Response(body=msgspec.json.encode({"error": text}), content_type=JSON, status=status)
    if status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = challenge
    elif status == 426:
        response.headers[hdrs.UPGRADE] = "websocket"
        response.headers[hdrs.SEC_WEBSOCKET_VERSION] = "13"
    if allow is not None:
        response.headers[hdrs.ALLOW] = allow
    if wait is not None:
        response.headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(wait)))
    return response


async def send(request: web.Request, response: web.StreamResponse) -> None:
    """Sends what is not sent yet; a client that does not take it loses its connection."""
    try:
        async with asyncio.timeout(SEND_TIME):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        log.info("API client does not read its answer")
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        # it has left meanwhile
        return
