import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from hook_sides import Domains, MakeServer, Screens
from hypothesis import given
from hypothesis import strategies as st

from sidecar.hook.api.callbacks_v1alpha3_pb2 import OnDefineDomainParams
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.api.session_status_pb2 import GetRequest, Status, WatchRequest
from sidecar.hook.api.session_status_pb2_grpc import SessionStatusStub
from sidecar.hook.server import HookServer
from sidecar.hook.session_status import status_message

AN_HOUR = 3600.0

DOCUMENT = {
    "generation": 12,
    "service": {"vnc": {"sessions": 1}, "rdp": {"sessions": 0}, "usb": {"devices": 1}},
    "sessions": [
        {
            "id": "v7",
            "protocol": "vnc",
            "transport": "tcp",
            "tls": True,
            "state": "initialized",
            "address": "192.0.2.7:50000",
            "user": "ada",
            "auth": "X509Plain",
            "ticket": "",
            "view_only": True,
            "console": 1,
            "connected": "2026-11-20T09:00:00.000Z",
            "initialized": "2026-11-20T09:00:01.250Z",
            "bytes_sent": 2**40,
            "bytes_received": 99,
            "frames": 3,
            "encoding": "ZRLE",
            "audio": "s16/48000/2",
            "audio_drop_outs": 2,
            "microphone": True,
            "round_trip_ms": 12.5,
        },
        {
            "id": "v8",
            "protocol": "vnc",
            "transport": "unix",
            "tls": False,
            "state": "connected",
            "address": "",
            "user": "",
            "auth": "",
            "ticket": "",
            "view_only": False,
            "console": 0,
            "connected": "2026-11-20T09:00:02.000Z",
            "initialized": None,
            "bytes_sent": 12,
            "bytes_received": 12,
            "frames": 0,
            "encoding": "",
            "audio": "",
            "audio_drop_outs": 0,
            "microphone": False,
            "round_trip_ms": None,
        },
    ],
    "vm": {
        "state": "attached",
        "name": "fedora",
        "uuid": "5a9fc181-957e-5c32-9e5a-2de5e9673531",
        "consoles": [{"index": 0, "label": "VGA", "width": 1280, "height": 800}],
    },
    "health": {
        "state": "degraded",
        "problems": [{"code": "BusEnded", "severity": "degraded", "message": "start the machine again"}],
    },
    "usb": [
        {
            "slot": "org.qemu.usbredir",
            "vendor": "0951",
            "product": "1666",
            "kind": "mass storage",
            "speed": "high",
            "address": "192.0.2.7:50010",
        }
    ],
}

Stream: TypeAlias = "grpc.aio.UnaryStreamCall[WatchRequest, Status]"


def watch(channel: grpc.aio.Channel) -> Stream:
    return SessionStatusStub(channel).Watch(WatchRequest())


async def next_of(stream: Stream) -> Status:
    message = await asyncio.wait_for(stream.read(), 10)
    assert isinstance(message, Status)
    return message


async def is_over(stream: Stream) -> bool:
    return await asyncio.wait_for(stream.read(), 10) is grpc.aio.EOF


async def read_to_the_end(stream: Stream) -> tuple[int, grpc.StatusCode]:
    """How many messages were there still, and how the stream ended."""
    messages = 0
    try:
        while not await is_over(stream):
            messages += 1
    except grpc.aio.AioRpcError as error:
        return messages, error.code()
    return messages, grpc.StatusCode.OK


@pytest.fixture
async def unhurried(
    make_server: MakeServer,
) -> AsyncIterator[tuple[HookServer, grpc.aio.Channel]]:
    """A server with an hour between two messages of a watcher."""
    async with (
        make_server(watch_interval=AN_HOUR, max_watchers=3) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        yield server, channel


def test_the_message_says_everything_that_the_document_says() -> None:
    message = status_message(DOCUMENT)
    told = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for session in told["sessions"]:
        # proto3's JSON writes 64-bit numbers as text, and has no null
        for counter in ("bytes_sent", "bytes_received", "frames", "audio_drop_outs"):
            session[counter] = int(session[counter])
        session["initialized"] = session["initialized"] or None
        session["round_trip_ms"] = session["round_trip_ms"] or None
    told["generation"] = int(told["generation"])
    assert told == DOCUMENT


def test_where_no_devices_can_be_redirected_none_are_counted() -> None:
    service = {"vnc": {"sessions": 1}, "rdp": {"sessions": 0}}
    message = status_message(
        {key: value for key, value in DOCUMENT.items() if key != "usb"} | {"service": service}
    )
    assert not message.service.HasField("usb")
    assert not message.usb


def test_what_the_message_has_no_field_for_is_left_out() -> None:
    assert status_message({**DOCUMENT, "weather": "fine"}) == status_message(DOCUMENT)


@given(st.text(st.characters(exclude_categories=())))
def test_no_name_keeps_the_status_from_the_others(name: str) -> None:
    session = {**DOCUMENT["sessions"][0], "user": name}  # type: ignore[index]
    message = status_message({**DOCUMENT, "sessions": [session]})
    assert len(message.sessions[0].user) == len(name)
    message.SerializeToString()


async def test_get_tells_the_status_of_this_moment(channel: grpc.aio.Channel, screens: Screens) -> None:
    stub = SessionStatusStub(channel)
    assert (await stub.Get(GetRequest(), timeout=30)).service.vnc.sessions == 0
    screens.watched_by(2)
    status = await stub.Get(GetRequest(), timeout=30)
    assert (status.generation, status.service.vnc.sessions, status.vm.name) == (2, 2, "fedora")


async def test_a_status_that_cannot_be_told_is_an_internal_error(
    channel: grpc.aio.Channel, screens: Screens
) -> None:
    screens.document = {"generation": "many"}
    stub = SessionStatusStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Get(GetRequest(), timeout=30)
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert (refused.value.details() or "").startswith("the sidecar failed in Get (TypeError: ")


async def test_a_watcher_hears_at_once(unhurried) -> None:
    _, channel = unhurried
    assert (await next_of(watch(channel))).generation == 1


async def test_a_watcher_hears_of_each_change(channel: grpc.aio.Channel, screens: Screens) -> None:
    stream = watch(channel)
    await next_of(stream)
    for viewers in (1, 2, 1, 0):
        screens.watched_by(viewers)
        assert (await next_of(stream)).service.vnc.sessions == viewers


async def test_changes_within_an_interval_are_told_as_one_and_the_last_arrives(
    unhurried, screens: Screens
) -> None:
    server, channel = unhurried
    stream = watch(channel)
    await next_of(stream)
    for viewers in range(100):
        screens.watched_by(viewers)
        await asyncio.sleep(0)
    # the hour is not over, so the next message is the one that leaving sends
    await server.__aexit__(None, None, None)
    assert (await next_of(stream)).service.vnc.sessions == 99
    assert await is_over(stream)
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_change_that_came_during_the_interval_is_told_after_it(
    channel: grpc.aio.Channel, screens: Screens
) -> None:
    stream = watch(channel)
    await next_of(stream)
    screens.watched_by(1)
    await next_of(stream)
    screens.watched_by(2)
    screens.watched_by(3)
    assert (await next_of(stream)).generation == 4


async def test_a_change_of_nothing_is_not_told(channel: grpc.aio.Channel, screens: Screens) -> None:
    stream = watch(channel)
    first = await next_of(stream)
    screens.changes.notify()
    await asyncio.sleep(0.05)
    screens.watched_by(1)
    assert (await next_of(stream)).generation == first.generation + 1


async def test_leaving_without_a_change_ends_the_stream_with_ok(unhurried) -> None:
    server, channel = unhurried
    stream = watch(channel)
    await next_of(stream)
    await server.__aexit__(None, None, None)
    assert await is_over(stream)
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_watcher_too_many_is_refused_and_a_place_that_gets_free_is_given(unhurried) -> None:
    server, channel = unhurried
    streams = [watch(channel) for _ in range(3)]
    for stream in streams:
        await next_of(stream)
    refused = watch(channel)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await refused.read()
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.value.details() == "3 watch the sessions already: use Get, or end another Watch"

    streams[0].cancel()
    while server.watchers == 3:
        await asyncio.sleep(0.001)
    await next_of(watch(channel))


async def test_watchers_do_not_keep_virt_launcher_waiting(unhurried, domains: Domains) -> None:
    _, channel = unhurried
    streams = [watch(channel) for _ in range(3)]
    for stream in streams:
        await next_of(stream)
    answer = await CallbacksStub(channel).OnDefineDomain(OnDefineDomainParams(domainXML=b"vnc"), timeout=30)
    assert answer.domainXML == b"dbus"


async def test_a_watcher_that_has_gone_is_forgotten(unhurried, screens: Screens) -> None:
    server, channel = unhurried
    stream = watch(channel)
    await next_of(stream)
    assert len(screens.changes) == server.watchers == 1
    stream.cancel()
    while server.watchers:
        await asyncio.sleep(0.001)
    assert len(screens.changes) == 0


async def test_a_watcher_that_does_not_read_keeps_neither_the_others_nor_the_end_waiting(
    make_server: MakeServer, screens: Screens
) -> None:
    # each message is longer than HTTP/2's first window, so that writing to the idle one comes to a stop
    screens.document["vm"] = {"name": "x" * 200_000}
    async with make_server(watch_interval=0.0, leave_within=0.1) as server:
        target = f"unix:{server.socket}"
        one_more = (("grpc.use_local_subchannel_pool", 1),)
        async with (
            grpc.aio.insecure_channel(target) as channel,
            grpc.aio.insecure_channel(target, options=one_more) as idle,
        ):
            asleep = watch(idle)
            awake = watch(channel)
            await next_of(awake)
            while server.watchers < 2:
                await asyncio.sleep(0.001)
            for viewers in range(1, 30):
                screens.watched_by(viewers)
                assert (await next_of(awake)).service.vnc.sessions == viewers
            await server.__aexit__(None, None, None)
            assert await is_over(awake)
            assert await awake.code() is grpc.StatusCode.OK
            late, code = await read_to_the_end(asleep)
            assert late < 30
            # on a busy machine fewer messages are sent, and gRPC may take all of them unread
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK)
    assert len(screens.changes) == 0
