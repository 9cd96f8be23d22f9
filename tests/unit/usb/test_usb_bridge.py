"""A connection into a slot: nothing is lost, and nothing waits without bound."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from support.synthetic_guest import SyntheticGuest
from support.usb_port import SyntheticSlot
from support.waiting import eventually

from sidecar.usb import bridge as bridge_module
from sidecar.usb.bridge import MOST_WAITING, BridgeEnd, UsbBridge
from sidecar.usb.slots import SlotClosed, UsbSlots


@dataclass
class Wire(asyncio.Transport):
    """A transport that keeps what it is told."""

    written: bytearray = field(default_factory=bytearray)
    reading: bool = True
    limit: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limit = high


class House:
    """A bridge that has taken the only slot."""

    def __init__(self) -> None:
        self.guest = SyntheticGuest()
        self.port = SyntheticSlot()
        self.guest.add_port(self.port)
        self.slots = UsbSlots(self.guest)
        self.wire = Wire()
        self.closed: list[BridgeEnd] = []
        self.bridge = UsbBridge("192.0.2.7:1", self.close)

    def close(self, transport: asyncio.Transport, end: BridgeEnd) -> None:
        assert transport is self.wire
        self.closed.append(end)

    @property
    def is_free(self) -> bool:
        return not self.slots.by_name[self.port.name].is_taken


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    with contextlib.closing(house.slots):
        await house.bridge.take(house.slots, None)
        yield house
        house.bridge.leave()


async def test_bytes_go_both_ways_and_the_slot_is_free_when_the_peer_is_gone(house: House) -> None:
    house.bridge.connection_made(house.wire)
    house.port.say(b"from the machine")
    house.bridge.data_received(b"to the machine")
    assert (house.wire.written, house.port.written) == (b"from the machine", b"to the machine")
    assert house.wire.limit == MOST_WAITING
    house.bridge.connection_lost(None)
    assert house.is_free
    assert house.closed == []


async def test_what_the_machine_says_before_the_transport_is_there_comes_first_and_is_bounded(
    house: House,
) -> None:
    house.port.say(b"a" * (MOST_WAITING - 1))
    assert not house.port.held
    house.port.say(b"b")
    assert house.port.held
    house.bridge.connection_made(house.wire)
    assert not house.port.held
    house.port.say(b"c")
    assert house.wire.written == b"a" * (MOST_WAITING - 1) + b"bc"


async def test_a_peer_is_read_no_further_than_the_machine_takes(house: House) -> None:
    house.bridge.connection_made(house.wire)
    house.port.takes = 3
    house.bridge.data_received(b"one two ")
    assert not house.wire.reading
    # what was on its way
    house.bridge.data_received(b"three")
    assert house.port.written == b"one"
    house.port.takes = 1 << 20
    await eventually(lambda: house.wire.reading, "the peer is read again")
    assert house.port.written == b"one two three"


async def test_a_bridge_that_ends_with_bytes_unsent_forgets_them(house: House) -> None:
    house.bridge.connection_made(house.wire)
    house.port.takes = 0
    house.bridge.data_received(b"never")
    house.bridge.connection_lost(None)
    house.port.takes = 1 << 20
    house.bridge.data_received(b"neither")
    assert house.port.written == b""


async def test_a_machine_waits_for_a_peer_that_does_not_keep_up(house: House) -> None:
    house.bridge.connection_made(house.wire)
    house.bridge.pause_writing()
    assert house.port.held
    house.bridge.resume_writing()
    assert not house.port.held
    assert house.closed == []


async def test_a_peer_that_does_not_read_at_all_loses_the_slot(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_module, "READ_TIME", 0.01)
    house.bridge.connection_made(house.wire)
    house.bridge.pause_writing()
    await eventually(lambda: house.closed, "it is sent away")
    assert house.closed == [BridgeEnd.DOES_NOT_READ]
    assert house.is_free


async def test_a_peer_is_told_why_it_loses_the_slot(house: House) -> None:
    house.bridge.connection_made(house.wire)
    house.port.open(False)
    assert house.closed == [BridgeEnd.MACHINE_AWAY]
    house.slots.close()
    assert house.closed == [BridgeEnd.MACHINE_AWAY]


async def test_a_slot_that_is_lost_before_the_transport_is_there_is_told_then(house: House) -> None:
    house.guest.remove_port(house.port)
    house.bridge.connection_made(house.wire)
    assert house.closed == [BridgeEnd.UNPLUGGED]
    house.bridge.data_received(b"too late")
    assert house.port.written == b""


async def test_a_bridge_without_a_slot_can_be_left() -> None:
    guest = SyntheticGuest()
    port = SyntheticSlot()
    port.refuses = True
    guest.add_port(port)
    with contextlib.closing(UsbSlots(guest)) as slots:
        bridge = UsbBridge("", lambda _transport, _end: None)
        with pytest.raises(SlotClosed):
            await bridge.take(slots, None, within=0.01)
        bridge.leave()
