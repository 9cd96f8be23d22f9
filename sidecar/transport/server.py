"""A server of one protocol: its listeners, its connections, and how all of them end."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.session.registry import Registry
from sidecar.session.session import Transport
from sidecar.socket_path import remove_stale, why_not

if TYPE_CHECKING:
    from sidecar.transport.connection import Connection

log = get_logger(__name__)

BACKLOG = 256
"""Connections that the system keeps until they are accepted: many viewers may come in one instant."""

SOCKET_MODE = 0o660

ConnectionT = TypeVar("ConnectionT", bound="Connection")


class CannotListen(SidecarError):
    """An address is taken, or not ours to use."""


class Server(ABC, Generic[ConnectionT]):
    """A context: inside it viewers are served, at its end all of them are told goodbye.

    `viewers`: the connections that are there. Subclasses start what they need in `_enter` and end it in
    `_leave`, which is called when the viewers have been told, before their tasks are cancelled.
    """

    def __init__(self, registry: Registry, auth_timeout: float) -> None:
        """`auth_timeout`: seconds that a connection has to log in."""
        self.registry = registry
        self.auth_timeout = auth_timeout
        self.viewers: set[ConnectionT] = set()
        self._listeners: list[asyncio.Server] = []
        self._socket_paths: list[Path] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def protocol(self, kind: Transport) -> ConnectionT:
        """The protocol of a connection that has just come over `kind`, also for those who accept connections
        themselves (the web, tests)."""

    def _enter(self) -> None:
        """The server begins."""

    def _leave(self) -> None:
        """The server ends."""

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for listener in self._listeners:
            listener.close()
        for viewer in list(self.viewers):
            viewer.shut_down()
        self._leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for viewer in list(self.viewers):
            await viewer.gone.wait()
        for listener in self._listeners:
            await listener.wait_closed()
        for path in self._socket_paths:
            with suppress(FileNotFoundError):
                path.unlink()

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listens on every address of `host` (empty: all interfaces); the port, of use where `port` is 0.

        Raises CannotListen.
        """
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                lambda: self.protocol("tcp"), host or None, port, backlog=BACKLOG
            )
        except OSError as error:
            raise CannotListen(f"cannot listen on {host or '*'}:{port}: {why_not(error)}") from None
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def listen_unix(self, path: Path) -> None:
        """Listens on a unix socket, which its owner and group may use. Raises CannotListen."""
        loop = asyncio.get_running_loop()
        try:
            remove_stale(path)
            listener = await loop.create_unix_server(
                lambda: self.protocol("unix"), str(path), backlog=BACKLOG
            )
            os.chmod(path, SOCKET_MODE)
        except OSError as error:
            raise CannotListen(f"cannot listen on unix:{path}: {why_not(error)}") from None
        self._listeners.append(listener)
        self._socket_paths.append(path)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Has `work` done on behalf of a viewer; it ends with the server at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a viewer's task failed", cause=repr(error))
