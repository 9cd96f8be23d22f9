"""WebSockets of the management API: each carries a byte stream for a protocol of its own."""

import asyncio
from collections import deque
from typing import Final

from aiohttp import web

from sidecar.control.api_access import Refused
from sidecar.control.role import Caller
from sidecar.web.frames import CloseCode
from sidecar.web.http import carry
from sidecar.web.upgrade import UpgradeRefused, accept, is_upgrade
from sidecar.web.websocket import HEARTBEAT, WebSocketTransport

REMEMBERED: Final = 256
"""Tickets that were over: who comes with one of them may be on the way to a WebSocket."""

TICKET_OVER: Final = "your ticket is over"


class WebSockets:
    """Those that are open. `heartbeat`: see `WebSocketTransport`."""

    def __init__(self, heartbeat: float = HEARTBEAT) -> None:
        self._heartbeat = heartbeat
        self._connections: set[WebSocketTransport] = set()
        self._tickets: dict[WebSocketTransport, str] = {}
        """With whose ticket each came, where it was one."""
        self._over: deque[str] = deque(maxlen=REMEMBERED)

    def handshake(self, request: web.Request) -> dict[str, str]:
        """The headers of the answer 101. Raises UpgradeRefused where the request asks for no WebSocket."""
        if not is_upgrade(request.headers):
            raise UpgradeRefused(426, "a WebSocket is spoken here: ask for an upgrade")
        return accept(request.headers)

    async def serve(
        self, request: web.Request, headers: dict[str, str], protocol: asyncio.Protocol, caller: Caller
    ) -> web.StreamResponse:
        """Answers with the `headers` of the handshake, and serves `caller` until the connection is gone.

        Raises Refused where the caller's ticket was over before it came to this.
        """
        if caller.ticket in self._over:
            raise Refused(401, TICKET_OVER)
        response = web.StreamResponse(status=101, headers=headers)
        response.force_close()
        try:
            writer = await response.prepare(request)
        except ConnectionError:
            # it has left meanwhile
            return response
        lower = request.transport
        if writer is None or lower is None:
            return response
        subprotocol = headers.get("Sec-WebSocket-Protocol", "")
        connection = WebSocketTransport(lower, protocol, subprotocol=subprotocol, heartbeat=self._heartbeat)
        if caller.ticket:
            self._tickets[connection] = caller.ticket
        try:
            await carry(request, writer, connection, self._connections)
        finally:
            self._tickets.pop(connection, None)
        return response

    def end_of_ticket(self, ticket: str) -> None:
        """Ends those who came with that ticket."""
        self._over.append(ticket)
        for connection in [each for each, whose in self._tickets.items() if whose == ticket]:
            connection.close_with(CloseCode.POLICY_VIOLATION, TICKET_OVER)

    async def close(self) -> None:
        """Says goodbye to all and waits until they are gone, a few seconds at most."""
        connections = list(self._connections)
        for connection in connections:
            connection.close_with(CloseCode.GOING_AWAY, "the server stops")
        await asyncio.gather(*(connection.gone.wait() for connection in connections))


WEBSOCKETS: Final = web.AppKey("websockets", WebSockets)
"""Where the handlers of an API find them."""
