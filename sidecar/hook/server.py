"""The gRPC server on the hook socket, on the plugin socket, or on both."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import quote

import grpc
import grpc.aio

from sidecar.hook.answers import one_line
from sidecar.hook.api.session_status_pb2_grpc import (
    add_SessionStatusServicer_to_server as add_session_status,
)
from sidecar.hook.definition import MAX_ANSWER, MAX_REQUEST, DefineDomain, DomainDefinition
from sidecar.hook.reception import Reception
from sidecar.hook.session_status import SessionStatusService, StatusSource
from sidecar.hook.socket_file import HookSocketError, SocketFile
from sidecar.log import get_logger

log = get_logger(__name__)

SOCKET_NAME = "vdi-sidecar.sock"
"""The basename: virt-launcher tells sockets apart by it alone (facts: kubevirt 1.1)."""

SPARE_CALLS = 16
"""Calls at once besides the watchers."""
HANDSHAKE_SECONDS = 5
"""A connection that has not begun to speak HTTP/2 by then is closed."""
MOST_CONNECTIONS = 64
"""On each socket; one more is closed at once: the daemon's descriptors are for viewers too."""
UNREAD_SECONDS = 1.0
"""For clients to read what was answered at the end."""
IDLE_SECONDS = 60
"""A connection without a call is closed after that; gRPC's clients open another when they need one."""


Services: TypeAlias = list[tuple[Callable[[object, grpc.aio.Server], None], object]]


class HookServer:
    """Answers virt-launcher while it is entered; its sockets are there when entering returns.

    `socket`: where the hook API is, `plugin_socket`: where the plugin API is; absolute paths in different
    folders, one of them at least. The status service is on both. `define_domain`: the rewrite; it is never
    called twice at once. `status`: what the status service tells. `priority`: among the sidecars of one VM a
    higher one is called earlier. `watch_interval`: seconds. Belongs to the loop that enters it. Entering
    raises HookSocketError, and then leaves no socket behind.

    Leaving takes the sockets away, ends the watchers with the last state, lets calls that run finish for
    `leave_within` seconds, then cancels them.
    """

    def __init__(
        self,
        socket: Path | None = None,
        *,
        plugin_socket: Path | None = None,
        define_domain: DefineDomain,
        status: StatusSource,
        name: str = "vdi-sidecar",
        priority: int = 0,
        watch_interval: float = 1.0,
        max_watchers: int = 16,
        leave_within: float = 2.0,
    ) -> None:
        self.shutdown_requested = asyncio.Event()
        """Set when virt-launcher has called Shutdown and has its answer: leave, and exit 0. Nobody calls it
        without a hook socket."""
        self.socket = socket
        self.plugin_socket = plugin_socket
        if socket is not None and plugin_socket is not None and socket.parent == plugin_socket.parent:
            # virt-launcher takes every socket of the hook folder for a hook (facts: kubevirt 1.1)
            raise HookSocketError(
                f"the plugin socket cannot be in the hook folder {socket.parent}: name another folder"
            )
        self._files = [SocketFile(path) for path in (socket, plugin_socket) if path is not None]
        self._prepared: list[SocketFile] = []
        self._name = name
        self._priority = priority
        self._definition = DomainDefinition(define_domain)
        self._session_status = SessionStatusService(
            status, interval=watch_interval, max_watchers=max_watchers
        )
        self._max_calls = max_watchers + SPARE_CALLS
        self._leave_within = leave_within
        self._server: grpc.aio.Server | None = None

    @property
    def watchers(self) -> int:
        """Watch streams that are open."""
        return self._session_status.watchers

    async def __aenter__(self) -> Self:
        try:
            for file in self._files:
                file.prepare()
                self._prepared.append(file)
            self._server = server = self._make_server()
            for file in self._files:
                _listen(server, file)
            await server.start()
            for file in self._files:
                file.publish()
        except BaseException:
            await self._leave()
            raise
        if self.plugin_socket is not None:
            log.info("plugin socket ready", path=str(self.plugin_socket))
        if self.socket is not None:
            log.info("hook socket ready", path=str(self.socket))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()
        log.info("hook sockets closed", paths=[str(file.path) for file in self._files])

    async def _leave(self) -> None:
        while self._prepared:
            self._prepared.pop().remove()
        self._session_status.close()
        server, self._server = self._server, None
        if server is not None:
            await self._stop(server)

    async def _stop(self, server: grpc.aio.Server) -> None:
        stopping = asyncio.create_task(server.stop(self._leave_within))
        done, _ = await asyncio.wait({stopping}, timeout=self._leave_within + UNREAD_SECONDS)
        if not done:
            # what is to be written to a client that reads nothing keeps gRPC, and then the process, for ever
            hung_up = sum(file.hang_up() for file in self._files)
            log.warning("clients of the hook sockets that read nothing are hung up on", connections=hung_up)
        await stopping

    def _make_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MAX_REQUEST),
                ("grpc.max_send_message_length", MAX_ANSWER),
                ("grpc.max_concurrent_streams", self._max_calls),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
                ("grpc.max_allowed_incoming_connections", MOST_CONNECTIONS),
                ("grpc.max_connection_idle_ms", int(IDLE_SECONDS * 1000)),
                # else a window grows to megabytes, for messages that nobody has asked for yet
                ("grpc.http2.bdp_probe", 0),
            ),
            interceptors=(Reception(),),
            maximum_concurrent_rpcs=self._max_calls,
        )
        services: Services = [(add_session_status, self._session_status)]
        if self.socket is not None:
            services += self._hook_services()
        if self.plugin_socket is not None:
            services += self._plugin_services()
        for add, service in services:
            add(service, server)
        return server

    def _hook_services(self) -> Services:
        from sidecar.hook.api import (
            callbacks_v1alpha1_pb2_grpc,
            callbacks_v1alpha2_pb2_grpc,
            callbacks_v1alpha3_pb2_grpc,
            info_pb2_grpc,
        )
        from sidecar.hook.callbacks import (
            CallbacksV1alpha1,
            CallbacksV1alpha2,
            CallbacksV1alpha3,
            InfoService,
        )

        v1alpha1 = CallbacksV1alpha1(self._definition)
        v1alpha2 = CallbacksV1alpha2(self._definition)
        v1alpha3 = CallbacksV1alpha3(self._definition, self.shutdown_requested.set)
        return [
            (info_pb2_grpc.add_InfoServicer_to_server, InfoService(self._name, self._priority)),
            (callbacks_v1alpha1_pb2_grpc.add_CallbacksServicer_to_server, v1alpha1),
            (callbacks_v1alpha2_pb2_grpc.add_CallbacksServicer_to_server, v1alpha2),
            (callbacks_v1alpha3_pb2_grpc.add_CallbacksServicer_to_server, v1alpha3),
        ]

    def _plugin_services(self) -> Services:
        from sidecar.hook.api.domain_hook_v1alpha1_pb2_grpc import add_DomainHookServiceServicer_to_server
        from sidecar.hook.plugin import DomainHookService

        return [(add_DomainHookServiceServicer_to_server, DomainHookService(self._definition))]


def _listen(server: grpc.aio.Server, file: SocketFile) -> None:
    try:
        server.add_insecure_port(f"unix:{quote(str(file.staging))}")
    except RuntimeError as error:
        # what follows the semicolon is gRPC's advice to its programmer
        reason = one_line(error).partition(";")[0]
        raise HookSocketError(f"cannot listen on {file.path}: {reason}") from error
