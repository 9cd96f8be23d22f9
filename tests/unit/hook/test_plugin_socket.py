"""The plugin's socket, alone and beside the hook's."""

import asyncio
import socket
import stat
from pathlib import Path

import grpc
import grpc.aio
import pytest
from hook_sides import Domains, MakeServer, Screens

from sidecar.hook.api.callbacks_v1alpha3_pb2 import ShutdownParams
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.api.domain_hook_v1alpha1_pb2 import MutateDomainRequest
from sidecar.hook.api.domain_hook_v1alpha1_pb2_grpc import DomainHookServiceStub
from sidecar.hook.api.info_pb2 import InfoParams
from sidecar.hook.api.info_pb2_grpc import InfoStub
from sidecar.hook.api.session_status_pb2 import GetRequest
from sidecar.hook.api.session_status_pb2_grpc import SessionStatusStub
from sidecar.hook.server import HookServer
from sidecar.hook.socket_file import HookSocketError

REQUEST = MutateDomainRequest(domain_type="libvirt", domain=b"vnc", vmi=b"{}")


@pytest.fixture
def make_plugin_server(plugin_path: Path, screens: Screens, domains: Domains) -> MakeServer:
    def make() -> HookServer:
        return HookServer(plugin_socket=plugin_path, define_domain=domains, status=screens)

    return make


def mutate_at(path: Path) -> bytes:
    """The call in the moment in which the socket is seen: virt-launcher gives it two seconds to connect."""
    options = (("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(f"unix:{path}", options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=2)
        answer: bytes = DomainHookServiceStub(channel).MutateDomain(REQUEST, timeout=30).domain
        return answer


async def test_alone_it_answers_the_plugin_and_the_status_and_nothing_else(
    make_plugin_server: MakeServer, plugin_path: Path
) -> None:
    async with (
        make_plugin_server() as server,
        grpc.aio.insecure_channel(f"unix:{plugin_path}") as channel,
    ):
        assert (await DomainHookServiceStub(channel).MutateDomain(REQUEST, timeout=30)).domain == b"dbus"
        assert (await SessionStatusStub(channel).Get(GetRequest(), timeout=30)).vm.name == "fedora"
        for call in (
            InfoStub(channel).Info(InfoParams(), timeout=30),
            CallbacksStub(channel).Shutdown(ShutdownParams(), timeout=30),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert not server.shutdown_requested.is_set()


async def test_without_it_nobody_answers_as_a_plugin(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await DomainHookServiceStub(channel).MutateDomain(REQUEST, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_both_tell_the_status_of_the_same_sessions(
    hook_channel: grpc.aio.Channel, plugin_channel: grpc.aio.Channel, screens: Screens
) -> None:
    screens.watched_by(3)
    for channel in (hook_channel, plugin_channel):
        status = await SessionStatusStub(channel).Get(GetRequest(), timeout=30)
        assert status.service.vnc.sessions == 3


async def test_the_socket_answers_from_the_moment_in_which_it_is_seen(
    make_plugin_server: MakeServer, plugin_path: Path
) -> None:
    def call_when_seen() -> bytes:
        while not plugin_path.exists():
            if leave:
                return b""
        return mutate_at(plugin_path)

    leave: list[bool] = []
    try:
        for _ in range(10):
            calling = asyncio.create_task(asyncio.to_thread(call_when_seen))
            async with make_plugin_server():
                assert await calling == b"dbus"
    finally:
        leave.append(True)


async def test_it_is_a_socket_and_no_link_for_our_user_and_group_only(both: HookServer) -> None:
    # virt-launcher refuses a link (facts: kubevirt 3)
    assert both.plugin_socket is not None
    mode = both.plugin_socket.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_nothing_but_the_sockets_is_in_the_folders_and_nothing_at_all_afterwards(
    make_server: MakeServer, socket_path: Path, plugin_path: Path
) -> None:
    async with make_server(plugin_socket=plugin_path):
        assert set(socket_path.parent.iterdir()) == {socket_path, plugin_path.parent}
        assert list(plugin_path.parent.iterdir()) == [plugin_path]
    assert list(socket_path.parent.iterdir()) == [plugin_path.parent]
    assert list(plugin_path.parent.iterdir()) == []


async def test_a_crashed_predecessors_socket_is_replaced(
    make_plugin_server: MakeServer, plugin_path: Path
) -> None:
    plugin_path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as predecessor:
        predecessor.bind(str(plugin_path))
    async with make_plugin_server():
        assert await asyncio.to_thread(mutate_at, plugin_path) == b"dbus"


@pytest.mark.parametrize("taken", ["hook", "plugin"])
async def test_when_one_socket_cannot_be_the_other_is_not_left_behind(
    taken: str, make_server: MakeServer, socket_path: Path, plugin_path: Path
) -> None:
    in_the_way = socket_path if taken == "hook" else plugin_path
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("notes")
    with pytest.raises(HookSocketError, match="is no socket"):
        async with make_server(plugin_socket=plugin_path):
            pass
    files = [path for path in socket_path.parent.rglob("*") if not path.is_dir()]
    assert files == [in_the_way]
    assert in_the_way.read_text() == "notes"


def test_a_plugin_socket_where_virt_launcher_would_take_it_for_a_hook_is_refused(
    make_server: MakeServer, socket_path: Path
) -> None:
    with pytest.raises(HookSocketError, match="cannot be in the hook folder"):
        make_server(plugin_socket=socket_path.with_name("plugin.sock"))
