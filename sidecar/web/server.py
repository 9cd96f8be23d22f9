"""The web server: WebSockets for a frontend's protocol, by aiohttp."""

import asyncio
import ssl as tls
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.socket_path import why_not
from sidecar.web.doorway import Doorway
from sidecar.web.frames import CloseCode
from sidecar.web.http import LONGEST_LINE, carry, local_address, runner
from sidecar.web.upgrade import OriginPolicy, UpgradeRefused, accept, is_upgrade
from sidecar.web.websocket import HEARTBEAT, WebSocketTransport

log = get_logger(__name__)

WEBSOCKET_PATHS = ("/websockify", "/")
"""Where a WebSocket is served: websockify's path and QEMU's."""

MOST_CONNECTIONS: Final = 512
"""At once: who opens connections and says nothing must not use up the daemon's descriptors."""

MOST_OF_ONE: Final = 256
"""Of those, connections of one address: a proxy brings many."""

_GREETING = "vdi-sidecar: the screen of a virtual machine. VNC over WebSocket is at /websockify.\n"


class CannotServeWeb(SidecarError):
    """An address is taken, or not ours to use."""


class WebServer:
    """Listens until it is closed."""

    def __init__(
        self, protocol_factory: Callable[[], asyncio.Protocol], origins: OriginPolicy, heartbeat: float
    ) -> None:
        self._protocol_factory = protocol_factory
        self._origins = origins
        self._heartbeat = heartbeat
        self._connections: set[WebSocketTransport] = set()
        self._ports: list[int] = []
        application = web.Application(client_max_size=LONGEST_LINE)
        application.on_response_prepare.append(_sign)
        for path in WEBSOCKET_PATHS:
            application.router.add_get(path, self._get)
        self._runner = runner(application, "sidecar.web.http")
        self._doorway: Doorway | None = None

    @property
    def ports(self) -> list[int]:
        """The TCP ports that it listens on, in the order of the addresses."""
        return list(self._ports)

    async def start(self, addresses: Sequence[tuple[str, int]], ssl: tls.SSLContext | None) -> None:
        """Begins to listen. Raises CannotServeWeb, and listens nowhere then."""
        await self._runner.setup()
        self._doorway = Doorway(
            lambda: cast("asyncio.Protocol", cast("Any", self._runner.server)()),
            lambda each: self._runner.server is None or each not in self._runner.server.connections,
            most=MOST_CONNECTIONS,
            most_of_one=MOST_OF_ONE,
            tls=None if ssl is None else lambda: ssl,
        )
        for host, port in addresses:
            try:
                self._ports.append(await self._doorway.listen_tcp(host, port))
            except OSError as error:
                await self.close()
                raise CannotServeWeb(f"cannot listen on {host or '*'}:{port}: {why_not(error)}") from None

    async def close(self) -> None:
        """Stops listening, says goodbye to all and waits until they are gone, a few seconds at most."""
        if self._doorway is not None:
            await self._doorway.close()
        for connection in list(self._connections):
            if not connection.is_ending:
                connection.close_with(CloseCode.GOING_AWAY, "the server stops")
        await asyncio.gather(*(connection.gone.wait() for connection in list(self._connections)))
        await self._runner.cleanup()
        self._ports.clear()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if not is_upgrade(request.headers):
            return web.Response(text=_GREETING)
        if not self._origins.admits(request.headers, local_address(request)):
            log.warning(
                "WebSocket of a foreign page refused",
                address=request.remote or "",
                origin=request.headers.get("Origin"),
            )
            raise web.HTTPForbidden(text="Pages of this origin may not connect.\n")
        try:
            headers = accept(request.headers)
        except UpgradeRefused as refusal:
            return web.Response(
                status=refusal.status, text=f"{refusal}\n", headers={"Sec-WebSocket-Version": "13"}
            )
        response = web.StreamResponse(status=101, headers=headers)
        response.force_close()
        writer = await response.prepare(request)
        if writer is not None:
            await self._serve(request, writer, headers.get("Sec-WebSocket-Protocol", ""))
        return response

    async def _serve(self, request: web.Request, writer: AbstractStreamWriter, subprotocol: str) -> None:
        lower = request.transport
        if lower is None:
            return
        connection = WebSocketTransport(
            lower, self._protocol_factory(), subprotocol=subprotocol, heartbeat=self._heartbeat
        )
        await carry(request, writer, connection, self._connections)


async def start_web(
    addresses: Sequence[tuple[str, int]],
    protocol_factory: Callable[[], asyncio.Protocol],
    *,
    ssl: tls.SSLContext | None = None,
    origins: OriginPolicy | None = None,
    heartbeat: float = HEARTBEAT,
) -> WebServer:
    """Serves WebSockets on every (host, port), each with a protocol of its own from `protocol_factory`.

    `host` empty: all interfaces; `port` 0: the system's choice. The protocol's transport is a
    `WebSocketTransport`. Raises CannotServeWeb. Close what is returned.
    """
    server = WebServer(protocol_factory, origins or OriginPolicy(), heartbeat)
    await server.start(addresses, ssl)
    return server


async def _sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "vdi-sidecar"
