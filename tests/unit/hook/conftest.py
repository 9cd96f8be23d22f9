"""A hook server that runs, and a channel to it as virt-launcher opens it."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from hook_sides import Domains, MakeServer, Screens

from sidecar.errors import SidecarError
from sidecar.hook.server import HookServer


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
    # virt-launcher names itself so; the message size is grpc-go's default
    options = (
        ("grpc.default_authority", "localhost"),
        ("grpc.max_receive_message_length", 4 * 1024 * 1024),
        ("grpc.max_send_message_length", -1),
    )
    async with grpc.aio.insecure_channel(f"unix:{server.socket}", options=options) as channel:
        yield channel


@pytest.fixture
def refusal() -> SidecarError:
    return SidecarError("the domain\nhas no devices")
