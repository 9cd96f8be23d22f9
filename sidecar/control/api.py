"""The management API: HTTP, JSON and WebSockets, by aiohttp. What it can do is in its routes.

Routes are aiohttp's own (`aiohttp.web.RouteDef`). A handler may raise `Refused`, or any `NotReady`; both
are told as `{"error": "..."}`.
"""

import asyncio
import os
import ssl as tls
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from aiohttp import web

from sidecar.control.api_access import ApiAccess, Refused
from sidecar.control.api_websocket import WEBSOCKETS, WebSockets
from sidecar.errors import NotReady, SidecarError
from sidecar.log import get_logger
from sidecar.socket_path import remove_stale, why_not
from sidecar.web.http import BACKLOG, HANDSHAKE_TIME, local_address, runner
from sidecar.web.upgrade import UpgradeRefused

log = get_logger(__name__)

MOST_CONNECTIONS: Final = 64
"""At once, those of WebSockets included."""

LONGEST_BODY: Final = 64 * 1024
"""Bytes of a request's body."""

WRONG_PASSWORD_PAUSE: Final = 1.0
"""Seconds for which a wrong password is left without an answer."""

SOCKET_MODE: Final = 0o660

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannotServeApi(SidecarError):
    """An address is taken, or not ours to use."""


class ApiServer:
    """Serves `routes` while it is entered, at the addresses that it is told to listen on.

    `access`: who may ask. `ssl`: for TCP; a unix socket is never encrypted.
    """

    def __init__(
        self,
        routes: Iterable[web.RouteDef],
        access: ApiAccess,
        *,
        ssl: tls.SSLContext | None = None,
        wrong_password_pause: float = WRONG_PASSWORD_PAUSE,
    ) -> None:
        self._access = access
        self._ssl = ssl
        self._wrong_password_pause = wrong_password_pause
        self._websockets = WebSockets()
        self._listeners: list[asyncio.Server] = []
        self._socket_paths: list[Path] = []
        application = web.Application(client_max_size=LONGEST_BODY, middlewares=[self._gate])
        application[WEBSOCKETS] = self._websockets
        application.on_response_prepare.append(_sign)
        application.add_routes(routes)
        self._runner = runner(application, "sidecar.control.http")

    @property
    def connections(self) -> int:
        """Clients that are there."""
        return len(self._runner.server.connections) if self._runner.server else 0

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners:
            listener.close()
        await self._websockets.close()
        await self._runner.cleanup()
        for path in self._socket_paths:
            path.unlink(missing_ok=True)

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listens on every address of `host` (empty: all interfaces); the port, of use where `port` is 0.

        Raises CannotServeApi.
        """
        time_limit: dict[str, Any] = {} if self._ssl is None else {"ssl_handshake_timeout": HANDSHAKE_TIME}
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                self._accept, host or None, port, ssl=self._ssl, backlog=BACKLOG, **time_limit
            )
        except OSError as error:
            raise CannotServeApi(f"cannot listen on {host or '*'}:{port}: {why_not(error)}") from None
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def listen_unix(self, path: Path) -> None:
        """Listens on a unix socket, which its owner and group may use. Raises CannotServeApi."""
        loop = asyncio.get_running_loop()
        try:
            remove_stale(path)
            listener = await loop.create_unix_server(self._accept, str(path), backlog=BACKLOG)
            os.chmod(path, SOCKET_MODE)
        except OSError as error:
            raise CannotServeApi(f"cannot listen on unix:{path}: {why_not(error)}") from None
        self._listeners.append(listener)
        self._socket_paths.append(path)

    def _accept(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or self.connections >= MOST_CONNECTIONS:
            log.warning("API connection refused, there are too many", limit=MOST_CONNECTIONS)
            return _Full()
        return cast("asyncio.Protocol", server())

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._access.check(request.headers, local_address(request))
            return await handler(request)
        except Refused as refusal:
            if refusal.status == 401:
                log.warning("API request with no or a wrong password", address=peer_address(request))
                await asyncio.sleep(self._wrong_password_pause)
            return error_response(refusal.status, str(refusal))
        except UpgradeRefused as refusal:
            return error_response(refusal.status, str(refusal))
        except NotReady as error:
            return error_response(503, str(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return error_response(error.status, error.reason.lower(), error.headers.get("Allow"))


def error_response(status: int, text: str, allow: str | None = None) -> web.Response:
    """An error, as this API tells it."""
    response = web.json_response({"error": text}, status=status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="vdi-sidecar", charset="UTF-8"'
    elif status == 426:
        response.headers["Upgrade"] = "websocket"
        response.headers["Sec-WebSocket-Version"] = "13"
    elif allow is not None:
        response.headers["Allow"] = allow
    return response


def peer_address(request: web.Request) -> str:
    """Whence a request comes, for people; empty for a unix socket."""
    name = request.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return ""
    return f"[{name[0]}]:{name[1]}" if ":" in str(name[0]) else f"{name[0]}:{name[1]}"


class _Full(asyncio.Protocol):
    """Tells a client that there are too many, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        lower = cast("asyncio.Transport", transport)
        lower.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        lower.close()


async def _sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "vdi-sidecar"
    response.headers["Cache-Control"] = "no-store"
