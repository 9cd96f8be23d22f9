"""Where connections of an HTTP server come in: how many at once, how many of one client, and TLS."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from sidecar.access.throttle import network_of
from sidecar.log import get_logger
from sidecar.socket_path import remove_stale, why_not
from sidecar.web.http import BACKLOG, HANDSHAKE_TIME
from sidecar.web.peer import peer_uid
from sidecar.web.tls import fault_of

log = get_logger(__name__)

PAUSE: Final = 1.0
"""Seconds until the next try where the system has no room for another connection."""

_LOCAL: Final = "uid "
"""What the names of owners by unix sockets begin with, and no address does."""

_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Doorway:
    """Lets connections in until it is closed; what is made of each is a protocol from `made`.

    `most`: connections at once by TCP, and as many again by unix sockets: strangers must not take the places
    of the host's own users. `most_of_one`: those of one address (IPv6: one /64), or of one user. `left`:
    whether a protocol's connection is over. `tls`: makes a context for each TCP connection; None: no TLS.
    Unix sockets never have it.
    """

    def __init__(
        self,
        made: Callable[[], asyncio.Protocol],
        left: Callable[[asyncio.Protocol], bool],
        *,
        most: int,
        most_of_one: int,
        tls: Callable[[], ssl.SSLContext] | None = None,
        handshake_time: float = HANDSHAKE_TIME,
    ) -> None:
        self._made = made
        self._left = left
        self._most = most
        self._most_of_one = most_of_one
        self._tls = tls
        self._handshake_time = handshake_time
        self._inside: dict[asyncio.Protocol, str] = {}
        """With whose each is."""
        self._accepting: list[asyncio.Task[None]] = []
        self._coming: set[asyncio.Protocol] = set()
        """Those whose connection is not made yet, for there is TLS to be agreed upon."""
        self._opening: dict[asyncio.Task[None], socket.socket | None] = {}
        """With what a task that has not begun must not leave open."""
        self._paths: list[Path] = []

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listens on every address of `host` (empty: all interfaces); the port, of use where `port` is 0.

        Raises OSError.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listeners: list[socket.socket] = []
        try:
            for family, _kind, _protocol, _name, address in dict.fromkeys(found):
                try:
                    # asyncio sends small messages at once only where it is told that this is TCP
                    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
                except OSError:
                    # a system without IPv6 may name addresses of it
                    continue
                listeners.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address[0], port, *address[2:]))
                port = listener.getsockname()[1]
                listener.listen(BACKLOG)
            if not listeners:
                raise OSError(None, "no such address here")  # noqa: TRY301 - the same end
        except OSError:
            for listener in listeners:
                listener.close()
            raise
        for listener in listeners:
            self._accept_from(listener, self._tls)
        return port

    def listen_unix(self, path: Path, mode: int) -> None:
        """Listens on a unix socket of that mode, in the place of one that nobody serves. Raises OSError."""
        remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            self._paths.append(path)
            # before listen: until then nobody can connect
            os.chmod(path, mode)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._accept_from(listener, None)

    async def close(self) -> None:
        """Lets nobody in any more; the connections that are inside stay."""
        for task in (*self._accepting, *self._opening):
            task.cancel()
        if waiting := [*self._accepting, *self._opening]:
            await asyncio.wait(waiting)
        self._accepting.clear()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths.clear()

    def _accept_from(self, listener: socket.socket, tls: Callable[[], ssl.SSLContext] | None) -> None:
        listener.setblocking(False)
        task = asyncio.create_task(self._accept(listener, tls), name="accept HTTP connections")
        # also where it is cancelled before it has begun
        task.add_done_callback(lambda _: listener.close())
        self._accepting.append(task)

    async def _accept(self, listener: socket.socket, tls: Callable[[], ssl.SSLContext] | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("cannot accept an HTTP connection", cause=why_not(error))
                await asyncio.sleep(PAUSE)
                continue
            task = asyncio.create_task(self._open(connection, tls), name="open an HTTP connection")
            self._opening[task] = connection
            task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        connection = self._opening.pop(task)
        if connection is not None:
            # it was cancelled before it has begun
            connection.close()

    async def _open(self, connection: socket.socket, tls: Callable[[], ssl.SSLContext] | None) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._opening[task] = None
        try:
            address, owner = _whence(connection)
        except OSError:
            # it has left already
            connection.close()
            return
        if self._is_full_for(owner):
            log.warning("HTTP connection refused, there are too many", address=address, of=owner)
            await self._refuse(connection, in_the_clear=tls is None)
            return
        protocol = self._made()
        self._inside[protocol] = owner
        self._coming.add(protocol)
        try:
            await self._let_in(connection, protocol, address, tls)
        finally:
            self._coming.discard(protocol)

    async def _let_in(
        self,
        connection: socket.socket,
        protocol: asyncio.Protocol,
        address: str,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        context: ssl.SSLContext | None = None
        time_limit: dict[str, Any] = {}
        if tls is not None:
            context = tls()
            time_limit["ssl_handshake_timeout"] = self._handshake_time
        try:
            await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context, **time_limit)
        except (OSError, EOFError) as error:
            # ssl.SSLError and time-outs are OSErrors
            log.warning("TLS handshake failed", address=address, cause=fault_of(context, error))

    async def _refuse(self, connection: socket.socket, *, in_the_clear: bool) -> None:
        """Says that there are too many, where that can be said, and closes."""
        if not in_the_clear:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.connect_accepted_socket(_Full, connection)

    def _is_full_for(self, owner: str) -> bool:
        self._inside = {
            protocol: whose
            for protocol, whose in self._inside.items()
            if protocol in self._coming or not self._left(protocol)
        }
        is_local = owner.startswith(_LOCAL)
        whose = [each for each in self._inside.values() if each.startswith(_LOCAL) is is_local]
        return len(whose) >= self._most or whose.count(owner) >= self._most_of_one


class _Full(asyncio.Protocol):
    """Tells a client that there are too many, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        lower = cast("asyncio.Transport", transport)
        lower.write(_FULL)
        lower.close()


def _whence(connection: socket.socket) -> tuple[str, str]:
    """Whence it comes: for people (empty by a unix socket), and as whose it is counted. Raises OSError."""
    if connection.family == socket.AF_UNIX:
        return "", f"{_LOCAL}{peer_uid(connection)}"
    host, port = connection.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", network_of(host)
