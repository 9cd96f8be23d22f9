"""The status document, and how often watchers hear of it."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import cast

from sidecar.guest import Guest, GuestState
from sidecar.observers import Observers
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.state import EndReason
from sidecar.session.status import UsbDeviceStatus


class LoopTime:
    """A clock that stands until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0
        self.slept: list[float] = []
        self.during_sleep: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.during_sleep()


def machine() -> Guest:
    console = SimpleNamespace(
        index=0, label="VGA", surface=SimpleNamespace(frame=SimpleNamespace(width=1024, height=768))
    )
    lifecycle: Observers[[GuestState]] = Observers()
    return cast(
        Guest,
        SimpleNamespace(
            state=GuestState.ATTACHED, name="myvm", uuid="u", consoles={0: console}, lifecycle=lifecycle
        ),
    )


def ignore(_reason: EndReason) -> None:
    pass


def log_in(registry: Registry) -> None:
    session = registry.connect("vnc", "tcp", "[2001:db8::1]:4000", True, end=ignore)
    registry.initialize(session, user="ann", auth="X509Plain")


def test_the_document_has_the_agreed_shape() -> None:
    registry = Registry(clock=lambda: 2**30 + 0.25)
    log_in(registry)
    registry.connect("rdp", "tcp", "192.0.2.1:1", end=ignore)
    document = StatusFeed(registry, machine()).status()
    assert json.loads(json.dumps(document)) == {
        "generation": 3,
        "service": {"vnc": {"sessions": 1}, "rdp": {"sessions": 0}},
        "sessions": [
            {
                "id": "v1",
                "protocol": "vnc",
                "transport": "tcp",
                "tls": True,
                "state": "initialized",
                "address": "[2001:db8::1]:4000",
                "user": "ann",
                "auth": "X509Plain",
                "ticket": "",
                "view_only": False,
                "console": 0,
                "connected": "2004-01-10T13:37:04.250Z",
                "initialized": "2004-01-10T13:37:04.250Z",
                "bytes_sent": 0,
                "bytes_received": 0,
                "frames": 0,
                "encoding": "",
                "audio": "",
                "audio_drop_outs": 0,
                "microphone": False,
                "round_trip_ms": None,
            },
            {
                "id": "r2",
                "protocol": "rdp",
                "transport": "tcp",
                "tls": False,
                "state": "connected",
                "address": "192.0.2.1:1",
                "user": "",
                "auth": "",
                "ticket": "",
                "view_only": False,
                "console": 0,
                "connected": "2004-01-10T13:37:04.250Z",
                "initialized": None,
                "bytes_sent": 0,
                "bytes_received": 0,
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
            "name": "myvm",
            "uuid": "u",
            "consoles": [{"index": 0, "label": "VGA", "width": 1024, "height": 768}],
        },
        "health": {"state": "ok", "problems": []},
    }


class Devices:
    """One USB stick."""

    def __init__(self) -> None:
        self.changes: Observers[[]] = Observers()
        self.there: list[UsbDeviceStatus] = []

    def devices(self) -> list[UsbDeviceStatus]:
        return self.there


STICK = UsbDeviceStatus(
    slot="org.qemu.usbredir",
    vendor="0951",
    product="1666",
    kind="mass storage",
    speed="high",
    address="192.0.2.7:50010",
)


def test_devices_are_counted_and_told_where_there_can_be_some() -> None:
    devices = Devices()
    feed = StatusFeed(Registry(), machine(), usb=devices)
    before = feed.status()
    assert (before["service"].get("usb"), before.get("usb")) == ({"devices": 0}, [])
    devices.there = [STICK]
    devices.changes.notify()
    after = feed.status()
    assert after["generation"] == before["generation"] + 1
    assert (after["service"].get("usb"), after.get("usb")) == ({"devices": 1}, [STICK])
    feed.close()
    devices.changes.notify()
    assert feed.status()["generation"] == after["generation"]


async def test_a_watcher_gets_the_state_at_once() -> None:
    async with aclosing(StatusFeed(Registry(), machine()).watch()) as statuses:
        assert (await anext(statuses))["generation"] == 0


async def test_a_change_after_a_quiet_while_comes_without_delay() -> None:
    time, registry = LoopTime(), Registry()
    feed = StatusFeed(registry, machine(), clock=time.clock, sleep=time.sleep)
    async with aclosing(feed.watch()) as statuses:
        await anext(statuses)
        time.now += 5
        log_in(registry)
        assert (await anext(statuses))["service"]["vnc"]["sessions"] == 1
    assert time.slept == []


async def test_many_changes_in_one_interval_come_as_one_with_the_last_state() -> None:
    time, registry = LoopTime(), Registry()
    feed = StatusFeed(registry, machine(), interval=1.0, clock=time.clock, sleep=time.sleep)
    async with aclosing(feed.watch()) as statuses:
        await anext(statuses)
        time.now += 0.25
        log_in(registry)
        time.during_sleep = lambda: log_in(registry)
        status = await anext(statuses)
        assert status["service"]["vnc"]["sessions"] == 2
        assert status["generation"] == registry.generation
    assert time.slept == [0.75]


async def test_a_change_that_comes_while_a_watcher_is_busy_is_not_lost() -> None:
    time, registry = LoopTime(), Registry()
    feed = StatusFeed(registry, machine(), clock=time.clock, sleep=time.sleep)
    async with aclosing(feed.watch()) as statuses:
        before = await anext(statuses)
        log_in(registry)
        registry.end_all()
        status = await anext(statuses)
        assert status["service"] == before["service"]
        assert status["generation"] > before["generation"]


async def test_nothing_comes_when_nothing_changes() -> None:
    async with aclosing(StatusFeed(Registry(), machine()).watch()) as statuses:
        await anext(statuses)
        waiting = asyncio.ensure_future(anext(statuses))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_counters_are_refreshed_where_that_is_asked_for() -> None:
    time, registry = LoopTime(), Registry()
    log_in(registry)
    (session,) = registry
    feed = StatusFeed(registry, machine(), clock=time.clock, sleep=time.sleep)
    async with aclosing(feed.watch(refresh=0.001)) as statuses:
        first = await anext(statuses)
        session.bytes_sent += 7
        second = await anext(statuses)
    assert second["sessions"][0]["bytes_sent"] == 7
    assert second["generation"] == first["generation"]


async def test_the_machines_own_changes_are_changes_too() -> None:
    guest, registry = machine(), Registry()
    feed = StatusFeed(registry, guest)
    guest.lifecycle.notify(GuestState.LOST)
    assert feed.status()["generation"] == 1
    feed.close()
    guest.lifecycle.notify(GuestState.ATTACHED)
    assert feed.status()["generation"] == 1


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    registry = Registry()
    async with aclosing(StatusFeed(registry, machine()).watch()) as statuses:
        await anext(statuses)
        assert len(registry.changes) == 1
    assert len(registry.changes) == 0
