"""A hook server with the real rewrite behind it, on both sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
from support.domain_samples import ADDRESS

from sidecar.domain.command import define_domain
from sidecar.domain.vmi import read_vmi
from sidecar.hook.api.info_pb2 import InfoParams
from sidecar.hook.api.info_pb2_grpc import InfoStub
from sidecar.hook.server import HookServer
from sidecar.observers import Observers

INFO = "/kubevirt.hooks.info.Info/Info"
DEFINE = "/kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain"
SHUTDOWN = "/kubevirt.hooks.v1alpha3.Callbacks/Shutdown"
MUTATE = "/kubevirt.hooks.plugins.v1alpha1.DomainHookService/MutateDomain"
GET = "/vdi.sidecar.v1alpha1.SessionStatus/Get"
WATCH = "/vdi.sidecar.v1alpha1.SessionStatus/Watch"


class Viewers:
    """A status source."""

    def __init__(self) -> None:
        self.changes: Observers[[]] = Observers()
        self.generation = 1

    def status(self) -> dict[str, object]:
        return {"generation": self.generation, "vm": {"state": "attached", "name": "fedora" * 100}}

    def change(self) -> None:
        self.generation += 1
        self.changes.notify()


async def define(domain: bytes, vmi: bytes) -> bytes:
    """As the pod's daemon does, without its bus."""
    known = await asyncio.to_thread(read_vmi, vmi)
    return await asyncio.to_thread(define_domain, known, domain, dbus_address=ADDRESS)


class ServedHook:
    """`socket` and `plugin_socket`: where it is."""

    def __init__(self, server: HookServer, viewers: Viewers) -> None:
        assert server.socket is not None
        assert server.plugin_socket is not None
        self.server = server
        self.socket = server.socket
        self.plugin_socket = server.plugin_socket
        self.viewers = viewers

    async def is_there(self) -> None:
        """It answers somebody new, by either socket."""
        for path in (self.socket, self.plugin_socket):
            options = (("grpc.use_local_subchannel_pool", 1),)
            async with grpc.aio.insecure_channel(f"unix:{path}", options=options) as channel:
                info = await InfoStub(channel).Info(InfoParams(), timeout=30, wait_for_ready=True)
                assert info.name == "vdi-sidecar"


@asynccontextmanager
async def served_hook(directory: Path) -> AsyncIterator[ServedHook]:
    viewers = Viewers()
    async with HookServer(
        directory / "hooks" / "vdi-sidecar.sock",
        plugin_socket=directory / "plugin" / "hook.sock",
        define_domain=define,
        status=viewers,
        watch_interval=0.01,
        leave_within=0.2,
    ) as server:
        yield ServedHook(server, viewers)
