"""Serves one guest over VNC: its listeners, and what its viewers have in common."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sidecar.encode.store import SegmentStore
from sidecar.errors import SidecarError
from sidecar.guest import Console, Guest, GuestState
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.input.session_input import SessionInput
from sidecar.log import get_logger
from sidecar.session.registry import Registry
from sidecar.session.session import Session, Transport
from sidecar.vnc.access import Access
from sidecar.vnc.broadcast import Broadcast
from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.desktop import Desktop
from sidecar.vnc.receiver import Receiver
from sidecar.vnc.viewer import Viewer

log = get_logger(__name__)

BACKLOG = 256
"""Connections that the system keeps until they are accepted: many viewers may come in one instant."""

SOCKET_MODE = 0o660


class CannotListen(SidecarError):
    """An address is taken, or not ours to use."""


class VncServer:
    """A context: inside it viewers are served, at its end all of them are told goodbye.

    `name`: what viewers call the machine; empty for the guest's own name. `protocol` makes the asyncio
    protocol for one connection, for those who accept connections themselves (the web, tests).
    """

    def __init__(
        self,
        guest: Guest,
        registry: Registry,
        store: SegmentStore,
        seats: Seats,
        *,
        access: Access | None = None,
        name: str = "",
        layout: Layout,
        auth_timeout: float = 30.0,
        allow_power: bool = False,
    ) -> None:
        self.registry = registry
        self.access = access or Access()
        self.auth_timeout = auth_timeout
        self.offered = ALWAYS_OFFERED | (Extension.XVP if allow_power else Extension(0))
        self.viewers: set[Viewer] = set()
        self._guest = guest
        self._store = store
        self._seats = seats
        self._name = name
        self._layout = layout
        self._broadcasts: dict[int, Broadcast] = {}
        self._listeners: list[asyncio.Server] = []
        self._socket_paths: list[Path] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: list[Callable[[], None]] = []
        self._title = ""

    async def __aenter__(self) -> Self:
        self._title = self._compose_title()
        self._unsubscribe = [
            self.registry.changes.subscribe(self._retitle),
            self._guest.lifecycle.subscribe(self._lifecycle_changed),
        ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for listener in self._listeners:
            listener.close()
        for viewer in list(self.viewers):
            viewer.shut_down()
        for broadcast in self._broadcasts.values():
            broadcast.close()
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

    def protocol(self, kind: Transport) -> Viewer:
        """The protocol of a connection that has just come over `kind`."""
        return Viewer(self, kind)

    async def listen_tcp(self, host: str, port: int) -> int:
        """Listens on every address of `host` (empty: all interfaces); the port, of use where `port` is 0.

        Raises CannotListen.
        """
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                lambda: Viewer(self, "tcp"), host or None, port, backlog=BACKLOG
            )
        except OSError as error:
            raise CannotListen(f"cannot listen on {host or '*'}:{port}: {_reason(error)}") from None
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    async def listen_unix(self, path: Path) -> None:
        """Listens on a unix socket, which its owner and group may use. Raises CannotListen."""
        loop = asyncio.get_running_loop()
        try:
            _remove_stale(path)
            listener = await loop.create_unix_server(lambda: Viewer(self, "unix"), str(path), backlog=BACKLOG)
            os.chmod(path, SOCKET_MODE)
        except OSError as error:
            raise CannotListen(f"cannot listen on unix:{path}: {_reason(error)}") from None
        self._listeners.append(listener)
        self._socket_paths.append(path)

    @property
    def console(self) -> Console:
        """The screen that a newcomer sees."""
        return next(iter(self._guest.consoles.values()))

    @property
    def title(self) -> str:
        """The machine's name, and how many watch it."""
        return self._title

    def open_desktop(self, session: Session, receiver: Receiver) -> Desktop:
        """What an initialized session works with from now on."""
        console = self.console
        session.console = console.index
        broadcast = self._broadcasts.get(console.index)
        if broadcast is None:
            broadcast = self._broadcasts[console.index] = Broadcast(console, self._store)
        return Desktop(
            session,
            receiver,
            console=console,
            power=self._guest.power,
            broadcast=broadcast,
            session_input=SessionInput(self._seats.of(console), self._layout, lambda: session.view_only),
            title=lambda: self._title,
            spawn=self.spawn,
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Has `work` done on behalf of a viewer; it ends with the server at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a viewer's task failed", cause=repr(error))

    def _lifecycle_changed(self, _state: GuestState) -> None:
        self._retitle()

    def _compose_title(self) -> str:
        count = self.registry.count()
        watched = "" if not count else f" - {count} viewer{'' if count == 1 else 's'}"
        return f"{self._name or self._guest.name}{watched}"

    def _retitle(self) -> None:
        title = self._compose_title()
        if title != self._title:
            self._title = title
            for viewer in self.viewers:
                if viewer.desktop is not None:
                    viewer.desktop.rename()


def _remove_stale(path: Path) -> None:
    """Takes away the socket that a daemon left behind; OSError when somebody listens on it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(None, "somebody listens there already")


def _reason(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)
