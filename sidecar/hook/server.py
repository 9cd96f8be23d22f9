"""The gRPC server on the hook socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import grpc
import grpc.aio

from sidecar.hook.answers import one_line
from sidecar.hook.api.callbacks_v1alpha1_pb2_grpc import (
    add_CallbacksServicer_to_server as add_callbacks_v1alpha1,
)
from sidecar.hook.api.callbacks_v1alpha2_pb2_grpc import (
    add_CallbacksServicer_to_server as add_callbacks_v1alpha2,
)
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import (
    add_CallbacksServicer_to_server as add_callbacks_v1alpha3,
)
from sidecar.hook.api.info_pb2_grpc import add_InfoServicer_to_server as add_info
from sidecar.hook.api.session_status_pb2_grpc import (
    add_SessionStatusServicer_to_server as add_session_status,
)
from sidecar.hook.callbacks import (
    MAX_ANSWER,
    MAX_REQUEST,
    CallbacksV1alpha1,
    CallbacksV1alpha2,
    CallbacksV1alpha3,
    DefineDomain,
    DomainDefinition,
    InfoService,
)
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


class HookServer:
    """Answers on the hook socket while it is entered; the socket is there when entering returns.

    `socket`: absolute path. `define_domain`: the rewrite; it is never called twice at once. `status`: what
    the status service tells. `priority`: among the sidecars of one VM a higher one is called earlier.
    `watch_interval`: seconds. Belongs to the loop that enters it. Entering raises HookSocketError.

    Leaving takes the socket away, ends the watchers with the last state, lets calls that run finish for
    `leave_within` seconds, then cancels them.
    """

    def __init__(
        self,
        socket: Path,
        *,
        define_domain: DefineDomain,
        status: StatusSource,
        name: str = "vdi-sidecar",
        priority: int = 0,
        watch_interval: float = 1.0,
        max_watchers: int = 16,
        leave_within: float = 2.0,
    ) -> None:
        self.shutdown_requested = asyncio.Event()
        """Set when virt-launcher has called Shutdown and has its answer: leave, and exit 0."""
        self._file = SocketFile(socket)
        self._info = InfoService(name, priority)
        self._definition = DomainDefinition(define_domain)
        self._session_status = SessionStatusService(
            status, interval=watch_interval, max_watchers=max_watchers
        )
        self._max_calls = max_watchers + SPARE_CALLS
        self._leave_within = leave_within
        self._server: grpc.aio.Server | None = None

    @property
    def socket(self) -> Path:
        """Where it answers."""
        return self._file.path

    @property
    def watchers(self) -> int:
        """Watch streams that are open."""
        return self._session_status.watchers

    async def __aenter__(self) -> Self:
        self._file.prepare()
        try:
            server = self._make_server()
            self._server = server
            try:
                server.add_insecure_port(f"unix:{quote(str(self._file.staging))}")
                await server.start()
            except RuntimeError as error:
                # what follows the semicolon is gRPC's advice to its programmer
                reason = one_line(error).partition(";")[0]
                raise HookSocketError(f"cannot listen on {self.socket}: {reason}") from error
            self._file.publish()
        except BaseException:
            await self._leave()
            raise
        log.info("hook socket ready", path=str(self.socket))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()
        log.info("hook socket closed", path=str(self.socket))

    async def _leave(self) -> None:
        self._file.remove()
        self._session_status.close()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(self._leave_within)

    def _make_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MAX_REQUEST),
                ("grpc.max_send_message_length", MAX_ANSWER),
                ("grpc.max_concurrent_streams", self._max_calls),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
            ),
            maximum_concurrent_rpcs=self._max_calls,
        )
        # what protoc generates has no types
        services: tuple[tuple[Callable[[object, grpc.aio.Server], None], object], ...] = (
            (add_info, self._info),
            (add_callbacks_v1alpha1, CallbacksV1alpha1(self._definition)),
            (add_callbacks_v1alpha2, CallbacksV1alpha2(self._definition)),
            (add_callbacks_v1alpha3, CallbacksV1alpha3(self._definition, self.shutdown_requested.set)),
            (add_session_status, self._session_status),
        )
        for add, service in services:
            add(service, server)
        return server
