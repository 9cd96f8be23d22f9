"""A hook server that runs, and a channel to it as virt-launcher opens it."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from hook_sides import Domains, MakeServer, Screens

from sidecar.errors import SidecarError
from sidecar.hook.server import HookServer

AS_VIRT_LAUNCHER = (
    # it names itself so; the message size is grpc-go's default
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
)


@pytest.fixture
def screens() -> Screens:
    return Screens()


@pytest.fixture
def domains() -> Domains:
    return Domains()


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "vdi-sidecar.sock"


@pytest.fixture
def plugin_path(tmp_path: Path) -> Path:
    return tmp_path / "plugin" / "hook.sock"


@pytest.fixture
def make_server(socket_path: Path, screens: Screens, domains: Domains) -> MakeServer:
    def make(**options: object) -> HookServer:
        given = {"define_domain": domains, "status": screens, "watch_interval": 0.01, **options}
        return HookServer(socket_path, **given)  # type: ignore[arg-type]

    return make


@pytest.fixture
async def server(make_server: MakeServer) -> AsyncIterator[HookServer]:
    async with make_server() as server:
        yield server


@pytest.fixture
async def channel(server: HookServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{server.socket}", options=AS_VIRT_LAUNCHER) as channel:
        yield channel


@pytest.fixture
async def both(make_server: MakeServer, plugin_path: Path) -> AsyncIterator[HookServer]:
    """A server of both APIs."""
    async with make_server(plugin_socket=plugin_path) as server:
        yield server


@pytest.fixture
async def plugin_channel(both: HookServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{both.plugin_socket}", options=AS_VIRT_LAUNCHER) as channel:
        yield channel


@pytest.fixture
async def hook_channel(both: HookServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{both.socket}", options=AS_VIRT_LAUNCHER) as channel:
        yield channel


@pytest.fixture
def refusal() -> SidecarError:
    return SidecarError("the domain\nhas no devices")
