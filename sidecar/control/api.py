"""The management API: HTTP, JSON and WebSockets, by aiohttp. What it can do is in a table of operations."""

import asyncio
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from aiohttp import web

from sidecar.control.api_access import ApiAccess
from sidecar.control.api_gate import Gate
from sidecar.control.api_websocket import WEBSOCKETS, WebSockets
from sidecar.control.operation import Operation
from sidecar.errors import SidecarError
from sidecar.socket_path import why_not
from sidecar.web.doorway import Doorway
from sidecar.web.http import HANDSHAKE_TIME, runner

MOST_CONNECTIONS: Final = 64
"""At once by TCP, and as many by unix sockets; those of WebSockets and of events included."""

MOST_OF_ONE: Final = 32
"""Of those, connections of one address or local user."""

LONGEST_BODY: Final = 64 * 1024
"""Bytes of a request's body."""

WRONG_PASSWORD_PAUSE: Final = 1.0
"""Seconds for which a wrong password is left without an answer."""

SOCKET_MODE: Final = 0o660


class CannotServeApi(SidecarError):
    """An address is taken, or not ours to use."""


class ApiServer:
    """Serves `operations` while it is entered, at the addresses that it is told to listen on.

    `access`: who may ask. `ssl`: makes a context for each TCP connection; None: no TLS. A unix socket is
    never encrypted. `closing`: called at the beginning of the end, so that answers that last end then.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        access: ApiAccess,
        *,
        ssl: Callable[[], tls.SSLContext] | None = None,
        wrong_password_pause: float = WRONG_PASSWORD_PAUSE,
        closing: Iterable[Callable[[], None]] = (),
    ) -> None:
        self._closing = tuple(closing)
        self._websockets = WebSockets()
        gate = self._gate = Gate(operations, access, wrong_password_pause=wrong_password_pause)
        application = web.Application(client_max_size=LONGEST_BODY, middlewares=[gate.middleware])
        application[WEBSOCKETS] = self._websockets
        application.on_response_prepare.append(_sign)
        application.add_routes(gate.routes())
        self._runner = runner(application, "sidecar.control.http")
        self._doorway = Doorway(
            self._protocol,
            self._has_left,
            most=MOST_CONNECTIONS,
            most_of_one=MOST_OF_ONE,
            tls=ssl,
            handshake_time=HANDSHAKE_TIME,
        )

    @property
    def connections(self) -> int:
        """Clients that are there."""
        return len(self._runner.server.connections) if self._runner.server else 0

    @property
    def answers(self) -> Mapping[int, int]:
        """How many requests were answered with each status."""
        return self._gate.answers

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._doorway.close()
        for close in self._closing:
            close()
        await self._websockets.close()
        await self._runner.cleanup()

    def end_of_ticket(self, ticket: str) -> None:
        """Ends the WebSockets of those who came with that ticket."""
        self._websockets.end_of_ticket(ticket)

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listens on every address of `host` (empty: all interfaces); the port, of use where `port` is 0.

        Raises CannotServeApi.
        """
        try:
            return await self._doorway.listen_tcp(host, port)
        except OSError as error:
            raise CannotServeApi(f"cannot listen on {host or '*'}:{port}: {why_not(error)}") from None

    async def listen_unix(self, path: Path) -> None:
        """Listens on a unix socket, which its owner and group may use. Raises CannotServeApi."""
        try:
            self._doorway.listen_unix(path, SOCKET_MODE)
        except OSError as error:
            raise CannotServeApi(f"cannot listen on unix:{path}: {why_not(error)}") from None

    def _protocol(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", cast("Any", self._runner.server)())

    def _has_left(self, protocol: asyncio.Protocol) -> bool:
        return self._runner.server is None or protocol not in self._runner.server.connections


async def _sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "vdi-sidecar"
    response.headers["Cache-Control"] = "no-store"
    # names and texts in the answers come from anywhere; no page is to show a screenshot as its own picture
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
