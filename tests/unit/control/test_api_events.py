"""The stream of events: what it tells, what can be had again, and who is dropped."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_house import ApiHouse, as_admin
from support.waiting import eventually

from sidecar.control import api_events, session_events
from sidecar.control.api_access import ApiAccess
from sidecar.control.roles import RolesFile
from sidecar.control.session_events import SessionEvents, TooManyReaders
from sidecar.session.registry import Registry
from sidecar.session.state import EndReason

EVENTS = "/api/v1/events"


@pytest.fixture
def house() -> Iterator[ApiHouse]:
    with contextlib.closing(ApiHouse()) as house:
        yield house


@pytest.fixture
async def client(house: ApiHouse) -> AsyncIterator[aiohttp.ClientSession]:
    async with house.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session


async def next_event(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next event that is more than a comment."""
    told: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while line := (await answer.content.readline()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                told[name] = value
            elif line == "\n" and "data" in told:
                return told | {"data": json.loads(told["data"])}
    raise AssertionError("the stream has ended")


async def test_a_life_of_a_session_is_told(house: ApiHouse, client: aiohttp.ClientSession) -> None:
    async with client.get(EVENTS) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        session = house.log_in()
        house.registry.end(session.id)
        events = [await next_event(answer) for _ in range(3)]
    assert [event["event"] for event in events] == ["connected", "initialized", "disconnected"]
    assert [event["data"]["session"]["state"] for event in events] == [event["event"] for event in events]
    assert events[1]["data"]["session"]["user"] == "ann"
    assert [event["data"].get("reason") for event in events] == [None, None, EndReason.DISCONNECTED.code]
    assert len({event["id"] for event in events}) == 3


async def test_who_comes_again_gets_what_was_missed(house: ApiHouse, client: aiohttp.ClientSession) -> None:
    async with client.get(EVENTS) as answer:
        house.connect()
        seen = await next_event(answer)
    house.log_in()
    async with client.get(EVENTS, headers={"Last-Event-ID": seen["id"]}) as answer:
        assert [(await next_event(answer))["event"] for _ in range(2)] == ["connected", "initialized"]


@pytest.mark.parametrize("last", ["0-1", "x", "-", "9" * 50, "{run}-7", "{run}--1"])
async def test_who_asks_for_what_is_not_known_is_told_so(
    house: ApiHouse, client: aiohttp.ClientSession, last: str
) -> None:
    house.connect()
    last = last.format(run=house.events.run)
    async with client.get(EVENTS, headers={"Last-Event-ID": last}) as answer:
        assert (await next_event(answer))["event"] == "missed"
        house.connect()
        assert (await next_event(answer))["event"] == "connected"


async def test_a_comment_shows_that_a_quiet_stream_lives(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "HEARTBEAT", 0.01)
    async with client.get(EVENTS) as answer:
        async with asyncio.timeout(60):
            while await answer.content.readline() != b": alive\n":
                pass


async def test_a_stream_ends_with_the_right_to_it(house: ApiHouse, tmp_path: Path) -> None:
    path = tmp_path / "roles"
    path.write_text(f'[[user]]\nrole = "viewer"\nuid = {os.geteuid()}\n')
    async with (
        house.serving(ApiAccess(roles=RolesFile(path))) as server,
        as_admin(server, tmp_path / "api") as user,
        user.get(EVENTS) as answer,
    ):
        house.connect()
        assert (await next_event(answer))["event"] == "connected"
        path.write_text(f'[[user]]\nrole = "operator"\nuid = {os.geteuid()}\n')
        house.connect()
        async with asyncio.timeout(60):
            assert b"connected" not in await answer.read()


async def test_streams_are_few_and_one_client_leaves_room_for_others(
    house: ApiHouse, client: aiohttp.ClientSession
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(session_events.MOST_OF_ONE):
            assert (await stack.enter_async_context(client.get(EVENTS))).status == 200
        async with client.get(EVENTS) as answer:
            assert (answer.status, "too many" in (await answer.json())["error"]) == (503, True)
        assert house.events.follow("somebody else").missed is False


async def test_a_stream_ends_with_the_server(house: ApiHouse) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(house.serving())
        port = await server.listen_tcp("127.0.0.1", 0)
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        answer = await stack.enter_async_context(session.get(EVENTS))
        ending = asyncio.create_task(server.__aexit__(None, None, None))
        async with asyncio.timeout(60):
            await answer.read()
        await ending


async def test_who_does_not_read_is_dropped_and_disturbs_nobody(
    house: ApiHouse, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "READ_TIME", 0.05)
    async with client.get(EVENTS) as lazy:
        assert lazy.status == 200
        await eventually(lambda: house.events.readers == 1, "it follows")
        async with asyncio.timeout(60):
            while house.events.readers:
                # faster than a stream that is not read can be written
                for _ in range(100):
                    house.connect()
                await asyncio.sleep(0.001)


async def test_the_past_is_bounded_and_a_reader_that_is_behind_is_ended() -> None:
    registry = Registry()
    events = SessionEvents(registry)
    with contextlib.closing(events):
        reader = events.follow("x")
        for _ in range(session_events.MOST_BEHIND // 2):
            registry.disconnected(registry.connect("vnc", "tcp", "h:1", end=lambda _: None))
        assert not reader.is_over
        registry.connect("vnc", "tcp", "h:1", end=lambda _: None)
        assert reader.is_over
        assert await reader.next(0.0) is None
        assert events.follow("x", f"{events.run}-0").missed
        for number in range(session_events.MOST_READERS - 2):
            events.follow(f"y{number}")
        with pytest.raises(TooManyReaders):
            events.follow("z")
