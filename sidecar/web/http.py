"""What every HTTP server of ours has: limits, a quiet log, and a connection's way from HTTP to WebSocket."""

import logging
from contextlib import suppress
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.log import get_logger
from sidecar.web.websocket import CLOSE_TIME, WebSocketTransport

log = get_logger(__name__)

HANDSHAKE_TIME: Final = 10.0
"""Seconds for a connection to send its request, and for its TLS handshake."""

LONGEST_LINE: Final = 4096
"""Bytes of a request line or a header."""

MOST_HEADERS: Final = 64

BACKLOG: Final = 256


class _RefusedRequests(logging.Filter):
    """aiohttp logs a bad request as an error, with a traceback and what the client sent. It is neither our
    fault nor ours to keep."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        log.info("bad HTTP request refused", server=record.name, cause=type(error).__name__)
        return False


_REFUSED_REQUESTS: Final = _RefusedRequests()


def runner(application: web.Application, name: str) -> web.AppRunner:
    """Runs `application` with our limits; its log is that of `name`."""
    http_log = logging.getLogger(name)
    # a second time it changes nothing
    http_log.addFilter(_REFUSED_REQUESTS)
    return web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=HANDSHAKE_TIME,
        lingering_time=1.0,
        logger=http_log,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
        max_headers=MOST_HEADERS,
        shutdown_timeout=CLOSE_TIME,
    )


def local_address(request: web.Request) -> str:
    """The address that a request came to; empty for a unix socket."""
    name = request.get_extra_info("sockname")
    return str(name[0]) if isinstance(name, tuple) and name else ""


async def carry(
    request: web.Request,
    writer: AbstractStreamWriter,
    connection: WebSocketTransport,
    connections: set[WebSocketTransport],
) -> None:
    """Gives what comes on the request's connection to `connection` until it is gone.

    It is among `connections` meanwhile. `writer`: of the response with the handshake.
    """
    connections.add(connection)
    try:
        connection.open()
        request.protocol.keep_alive(False)
        # it asks no more of its parser than feed_data and feed_eof
        request.protocol.set_parser(cast("Any", connection))
        while not connection.gone.is_set():
            await connection.over_high_water.wait()
            with suppress(ConnectionError):
                await writer.drain()
            connection.drained()
    finally:
        connections.discard(connection)
        if not connection.gone.is_set():
            connection.abort()
            connection.feed_eof()
