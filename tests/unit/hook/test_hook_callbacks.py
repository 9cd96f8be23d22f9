import asyncio
from logging import WARNING

import grpc.aio
import pytest
from hook_sides import Domains, MakeServer

from sidecar.errors import SidecarError
from sidecar.hook import definition
from sidecar.hook.api.callbacks_v1alpha3_pb2 import OnDefineDomainParams, ShutdownParams
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.definition import MAX_ANSWER, MAX_REQUEST
from sidecar.hook.server import HookServer
from sidecar.log import LineFormatter

ONE_MEGABYTE = 1024 * 1024


async def define(channel: grpc.aio.Channel, domain: bytes, vmi: bytes = b"{}", timeout: float = 60) -> bytes:
    request = OnDefineDomainParams(domainXML=domain, vmi=vmi)
    answer = await CallbacksStub(channel).OnDefineDomain(request, timeout=timeout)
    assert isinstance(answer.domainXML, bytes)
    return answer.domainXML


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the daemon would write, line by line."""
    text = "\n".join(LineFormatter().format(record) for record in caplog.records if record.levelno >= WARNING)
    return text.splitlines()


async def refusal_of(channel: grpc.aio.Channel, domain: bytes) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await define(channel, domain)
    return refused.value


async def test_a_refused_domain_is_an_invalid_argument_with_the_reason_in_one_line(
    channel: grpc.aio.Channel, domains: Domains, refusal: SidecarError, caplog
) -> None:
    domains.error = refusal
    error = await refusal_of(channel, b"<domain/>")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "the domain has no devices"
    assert [line.count("the domain has no devices") for line in warnings_of(caplog)] == [1]


async def test_a_fault_of_the_rewrite_is_an_internal_error_and_shows_no_vmi(
    channel: grpc.aio.Channel, domains: Domains, caplog
) -> None:
    domains.error = ValueError("no\nsuch thing")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await define(channel, b"<domain/>", b'{"userData":"hunter2"}')
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert refused.value.details() == "the sidecar failed in OnDefineDomain (ValueError: no such thing)"
    (line,) = warnings_of(caplog)
    assert "no such thing" in line
    assert "hook_sides.py:" in line
    assert "hunter2" not in line


async def test_an_endless_reason_is_cut(channel: grpc.aio.Channel, domains: Domains) -> None:
    domains.error = SidecarError("\N{SNOWMAN}" * 100_000)
    error = await refusal_of(channel, b"<domain/>")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "\N{SNOWMAN}" * 499 + "…"


async def test_a_refused_domain_does_not_keep_the_next_one_from_being_defined(
    channel: grpc.aio.Channel, domains: Domains, refusal: SidecarError
) -> None:
    domains.error = refusal
    await refusal_of(channel, b"<domain/>")
    domains.error = None
    assert await define(channel, b"vnc") == b"dbus"


async def test_the_longest_domain_that_virt_launcher_can_take_back_passes(
    channel: grpc.aio.Channel,
) -> None:
    domain = b"x" * (MAX_ANSWER - 16)
    assert await define(channel, domain, b"y" * (2 * ONE_MEGABYTE - 64)) == domain


async def test_an_oversized_request_never_reaches_the_rewrite(
    channel: grpc.aio.Channel, domains: Domains
) -> None:
    error = await refusal_of(channel, b"x" * (MAX_REQUEST + 1))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert domains.calls == []
    assert await define(channel, b"vnc") == b"dbus"


async def test_an_answer_that_virt_launcher_would_not_take_is_refused_with_its_size(
    channel: grpc.aio.Channel, domains: Domains
) -> None:
    domains.answer = b"x" * MAX_ANSWER
    error = await refusal_of(channel, b"<domain/>")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_ANSWER) in (error.details() or "")


async def test_domains_are_defined_one_after_another(make_server: MakeServer) -> None:
    running = 0
    most = 0

    async def define_domain(domain: bytes, _vmi: bytes) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return domain

    async with (
        make_server(define_domain=define_domain) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        names = [f"<name>{number}</name>".encode() for number in range(10)]
        assert await asyncio.gather(*(define(channel, name) for name in names)) == names
    assert most == 1


async def test_a_caller_that_gives_up_frees_the_next_one(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definition, "ABANDONED_SECONDS", 0.01)
    stuck = asyncio.Event()

    async def define_domain(domain: bytes, _vmi: bytes) -> bytes:
        if domain == b"stuck":
            stuck.set()
            await asyncio.Event().wait()
        return domain

    async with (
        make_server(define_domain=define_domain) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        waiting = asyncio.create_task(define(channel, b"stuck"))
        await stuck.wait()
        waiting.cancel()
        assert await define(channel, b"next") == b"next"
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_what_was_begun_for_a_caller_that_gives_up_ends_before_the_next_begins(
    make_server: MakeServer,
) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()
    calls = []

    async def define_domain(domain: bytes, _vmi: bytes) -> bytes:
        calls.append(f"{domain.decode()} begins")
        if domain == b"given up":
            begun.set()
            await goes_on.wait()
        calls.append(f"{domain.decode()} ends")
        return domain

    async with (
        make_server(define_domain=define_domain) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        waiting = asyncio.create_task(define(channel, b"given up"))
        await begun.wait()
        waiting.cancel()
        after = asyncio.create_task(define(channel, b"next"))
        asyncio.get_running_loop().call_later(0.05, goes_on.set)
        assert await after == b"next"
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert calls == ["given up begins", "given up ends", "next begins", "next ends"]


async def test_shutdown_is_told_after_it_was_answered(server: HookServer, channel: grpc.aio.Channel) -> None:
    assert not server.shutdown_requested.is_set()
    await CallbacksStub(channel).Shutdown(ShutdownParams(), timeout=30)
    await asyncio.wait_for(server.shutdown_requested.wait(), 5)


async def test_shutdown_is_answered_although_the_server_leaves_for_it(
    make_server: MakeServer, socket_path
) -> None:
    async def serve() -> None:
        async with make_server() as server:
            ready.set()
            await server.shutdown_requested.wait()

    for _ in range(20):
        ready = asyncio.Event()
        serving = asyncio.create_task(serve())
        await ready.wait()
        async with grpc.aio.insecure_channel(f"unix:{socket_path}") as channel:
            await CallbacksStub(channel).Shutdown(ShutdownParams(), timeout=30)
        await serving
        assert not socket_path.exists()
