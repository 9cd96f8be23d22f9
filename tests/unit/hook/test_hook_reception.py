"""Messages that do not come, are not what they should be, or are too many; and connections without calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from hook_sides import MakeServer
from support.waiting import eventually

from sidecar.hook import server as server_module
from sidecar.hook.api.callbacks_v1alpha3_pb2 import OnDefineDomainParams, OnDefineDomainResult
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.api.info_pb2 import InfoParams
from sidecar.hook.api.info_pb2_grpc import InfoStub
from sidecar.hook.reception import Reception
from sidecar.hook.server import HookServer

INFO = "/kubevirt.hooks.info.Info/Info"
DEFINE = "/kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain"
WATCH = "/vdi.sidecar.v1alpha1.SessionStatus/Watch"
GARBAGE = b"\x0a\xff"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2 begins, with settings that say nothing."""


async def define(channel: grpc.aio.Channel, domain: bytes) -> bytes:
    parameters = OnDefineDomainParams(domainXML=domain, vmi=b"{}")
    result: OnDefineDomainResult = await CallbacksStub(channel).OnDefineDomain(parameters, timeout=30)
    return result.domainXML


async def is_there(channel: grpc.aio.Channel) -> bool:
    info = await InfoStub(channel).Info(InfoParams(), timeout=30)
    return bool(info.name == "vdi-sidecar")


def without_a_message(channel: grpc.aio.Channel, method: str) -> grpc.aio.StreamUnaryCall[bytes, bytes]:
    return channel.stream_unary(method)(timeout=30)


@pytest.mark.parametrize("method", [INFO, DEFINE, "/kubevirt.hooks.v1alpha3.Callbacks/Shutdown"])
async def test_a_message_of_another_kind_is_the_caller_s_fault(
    server: HookServer, channel: grpc.aio.Channel, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="is not one of its kind") as refused:
        await channel.unary_unary(method)(GARBAGE, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in caplog.text
    assert not server.shutdown_requested.is_set()
    assert await is_there(channel)


async def test_a_watch_for_garbage_is_refused(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="is not one of its kind"):
        async for _ in channel.unary_stream(WATCH)(GARBAGE, timeout=30):
            pass


@pytest.mark.parametrize("method", [INFO, DEFINE, WATCH])
async def test_a_call_that_ends_without_a_message_is_answered(channel: grpc.aio.Channel, method: str) -> None:
    call = without_a_message(channel, method)
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def another_channel(socket_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    """One with a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"unix:{socket_path}", options=options) as channel:
        yield channel


async def test_calls_whose_message_does_not_come_end_and_make_room(
    make_server: MakeServer, another_channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "Reception", lambda: Reception(seconds=0.3))
    async with (
        make_server(max_watchers=1) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        calls = [without_a_message(channel, method) for method in (INFO, DEFINE, WATCH) for _ in range(5)]
        assert {await call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert await is_there(another_channel)


async def test_one_domain_too_many_is_refused_and_other_calls_are_not(
    make_server: MakeServer, another_channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "Reception", lambda: Reception(most_waiting=3))
    goes_on = asyncio.Event()

    async def define_domain(domain: bytes, _vmi: bytes) -> bytes:
        await goes_on.wait()
        return domain

    async with (
        make_server(define_domain=define_domain) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        calls = [asyncio.create_task(define(channel, b"<domain/>")) for _ in range(4)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert await is_there(another_channel)
        goes_on.set()
        assert await asyncio.gather(*waiting) == [b"<domain/>"] * 3
        (refused,) = done
        with pytest.raises(grpc.aio.AioRpcError, match="3 calls wait for their domains already") as refusal:
            await refused
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await define(channel, b"<domain/>") == b"<domain/>"


async def test_one_connection_too_many_is_closed(
    make_server: MakeServer, another_channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 4)
    async with make_server() as server, contextlib.AsyncExitStack() as stack:
        readers = [await connected(server, stack, PREFACE) for _ in range(6)]
        await eventually(
            lambda: sum(reader.at_eof() or reader.exception() is not None for reader in readers) == 2, ""
        )
        await stack.aclose()

        info = InfoStub(another_channel).Info(InfoParams(), timeout=30, wait_for_ready=True)
        assert (await info).name == "vdi-sidecar"


async def test_a_connection_without_a_call_is_closed(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.2)
    async with make_server() as server, contextlib.AsyncExitStack() as stack:
        reader = await connected(server, stack, PREFACE)
        async with asyncio.timeout(30):
            await reader.read()


async def connected(
    server: HookServer, stack: contextlib.AsyncExitStack, said: bytes
) -> asyncio.StreamReader:
    reader, writer = await asyncio.open_unix_connection(server.socket)
    stack.callback(writer.close)
    writer.write(said)
    return reader
