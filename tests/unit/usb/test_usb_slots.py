"""Who holds a slot, what is in it, and how it gets free."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from support.synthetic_guest import SyntheticGuest, SyntheticPort
from support.usb_port import SyntheticSlot
from support.usbredir_peer import (
    ALL,
    DEVICE_CONNECT,
    DEVICE_DISCONNECT,
    device_connect,
    hello,
    packet,
)

from sidecar.guest import GuestState
from sidecar.usb.slots import NoSuchSlot, SlotClosed, SlotEnd, SlotTaken, UsbSeat, UsbSlots

ARRIVAL = packet(DEVICE_CONNECT, device_connect(class_code=8), long_ids=True)
DEPARTURE = packet(DEVICE_DISCONNECT, long_ids=True)
FIRST, SECOND = "org.qemu.usbredir", "usbredir1"


@dataclass
class Somebody:
    """Holds a slot."""

    address: str = "192.0.2.7:50010"
    heard: bytes = b""
    ends: list[SlotEnd] = field(default_factory=list)

    def received(self, data: bytes) -> None:
        self.heard += data

    def ended(self, reason: SlotEnd) -> None:
        self.ends.append(reason)


class House:
    """A machine with two slots."""

    def __init__(self) -> None:
        self.guest = SyntheticGuest()
        self.first, self.second = SyntheticSlot(), SyntheticSlot(SECOND, SECOND)
        for port in (SyntheticPort(), self.first, self.second):
            self.guest.add_port(port)
        self.slots = UsbSlots(self.guest)
        self.changes = 0
        self.slots.changes.subscribe(self.changed)

    def changed(self) -> None:
        self.changes += 1

    def news(self) -> int:
        """Changes since the last call."""
        changes, self.changes = self.changes, 0
        return changes

    async def take(self, name: str | None = None, **options: float) -> tuple[UsbSeat, Somebody]:
        somebody = Somebody()
        return await self.slots.take(name, somebody, within=options.get("within", 30)), somebody


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    with contextlib.closing(house.slots):
        yield house


async def turns(count: int = 5) -> None:
    """Lets the loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_only_slots_for_usb_devices_are_slots_and_none_is_open_unasked(house: House) -> None:
    assert list(house.slots.by_name) == [FIRST, SECOND]
    await turns()
    assert not house.first.is_open
    assert not any(len(port.output) for port in house.guest.ports.values())


async def test_a_slot_that_was_taken_carries_bytes_both_ways(house: House) -> None:
    seat, somebody = await house.take(FIRST)
    assert house.first.is_open
    assert seat.write(b"to the machine") == 14
    house.first.say(b"from the machine")
    assert (bytes(house.first.written), somebody.heard) == (b"to the machine", b"from the machine")
    seat.hold(True)
    assert house.first.held
    seat.leave()
    seat.leave()
    assert seat.write(b"too late") == 0
    await turns()
    assert not house.first.is_open
    assert somebody.ends == []


@pytest.mark.parametrize("name", [FIRST, "usbredir0"])
async def test_a_slot_is_found_by_its_name_and_its_label(house: House, name: str) -> None:
    await house.take(name)
    assert house.slots.by_name[FIRST].is_taken
    with pytest.raises(SlotTaken):
        await house.take(name)


async def test_any_slot_is_the_next_free_one_and_there_is_an_end_of_them(house: House) -> None:
    first, _ = await house.take()
    await house.take()
    assert all(slot.is_taken for slot in house.slots.by_name.values())
    with pytest.raises(SlotTaken, match="every slot"):
        await house.take()
    first.leave()
    await house.take()
    assert house.slots.by_name[FIRST].is_taken


async def test_two_who_ask_at_once_do_not_get_the_same_slot(house: House) -> None:
    results = await asyncio.gather(house.take(FIRST), house.take(FIRST), return_exceptions=True)
    assert [type(result) for result in results] == [tuple, SlotTaken]


async def test_who_comes_right_after_another_has_a_port_of_its_own(house: House) -> None:
    seat, _ = await house.take(FIRST)
    opened: list[bool] = []
    house.first.changes.subscribe(lambda: opened.append(house.first.is_open))
    seat.leave()
    # the port has not closed yet
    assert house.first.is_open
    next_seat, somebody = await house.take(FIRST)
    assert opened == [False, True]
    assert next_seat.write(b"x") == 1
    assert somebody.ends == []


@pytest.mark.parametrize("name", ["org.qemu.console.serial.0", "nowhere"])
async def test_what_is_no_slot_cannot_be_taken(house: House, name: str) -> None:
    with pytest.raises(NoSuchSlot, match=f"there are {FIRST}, {SECOND}"):
        await house.take(name)


async def test_a_machine_without_slots_says_what_to_do() -> None:
    with (
        contextlib.closing(UsbSlots(SyntheticGuest())) as slots,
        pytest.raises(NoSuchSlot, match="usb-redir device"),
    ):
        await slots.take(None, Somebody())


@pytest.mark.parametrize("state", [GuestState.LOST, GuestState.WAITING])
async def test_no_slot_is_taken_while_the_machine_is_away(house: House, state: GuestState) -> None:
    house.guest.state = state
    with pytest.raises(SlotClosed, match="away"):
        await house.take()


async def test_a_slot_that_the_machine_does_not_open_is_free_again(house: House) -> None:
    house.first.refuses = True
    with pytest.raises(SlotClosed, match="does not open"):
        await house.take(FIRST, within=0.01)
    assert not house.slots.by_name[FIRST].is_taken
    assert not len(house.first.output)


async def test_who_gives_up_waiting_leaves_the_slot_free(house: House) -> None:
    house.first.refuses = True
    taking = asyncio.create_task(house.take(FIRST))
    await turns()
    assert house.slots.by_name[FIRST].is_taken
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert not house.slots.by_name[FIRST].is_taken


async def test_a_slot_ends_with_the_machine_and_is_the_same_with_the_next(house: House) -> None:
    seat, somebody = await house.take(FIRST)
    slot = house.slots.by_name[FIRST]
    house.first.open(False)
    assert (somebody.ends, slot.is_taken, seat.has_left) == ([SlotEnd.MACHINE_AWAY], False, True)
    await house.take(FIRST)
    assert house.slots.by_name[FIRST] is slot


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "still opening"])
async def test_a_slot_that_is_unplugged_is_nobodys(house: House, is_open: bool) -> None:
    house.first.refuses = not is_open
    somebody = Somebody()
    taking = asyncio.create_task(house.slots.take(FIRST, somebody))
    await turns()
    house.guest.remove_port(house.first)
    if is_open:
        await taking
        assert somebody.ends == [SlotEnd.UNPLUGGED]
    else:
        with pytest.raises(SlotClosed, match="no such slot any more"):
            await taking
        assert somebody.ends == []
    assert list(house.slots.by_name) == [SECOND]
    assert not len(house.first.output)


async def test_slots_that_are_plugged_in_are_there(house: House) -> None:
    house.news()
    third = SyntheticSlot("usbredir2", "usbredir2")
    house.guest.add_port(third)
    assert list(house.slots.by_name) == [FIRST, SECOND, "usbredir2"]
    assert house.news() == 1
    house.guest.add_port(SyntheticPort("org.qemu.console.serial.1"))
    assert house.news() == 0


async def test_nobody_holds_a_slot_after_the_end(house: House) -> None:
    _, somebody = await house.take(FIRST)
    house.slots.close()
    assert somebody.ends == [SlotEnd.STOPPING]
    house.guest.remove_port(house.first)
    assert somebody.ends == [SlotEnd.STOPPING]


async def test_a_device_is_counted_while_it_is_there(house: House) -> None:
    seat, _ = await house.take(SECOND)
    house.second.say(hello())
    house.news()
    seat.write(hello() + ARRIVAL[:5])
    assert (house.slots.devices(), house.news()) == ([], 0)
    seat.write(ARRIVAL[5:])
    assert house.slots.devices() == [
        {
            "slot": SECOND,
            "vendor": "0951",
            "product": "1666",
            "kind": "mass storage",
            "speed": "high",
            "address": "192.0.2.7:50010",
        }
    ]
    assert house.news() == 1
    seat.write(ARRIVAL)
    assert house.news() == 0
    seat.write(DEPARTURE)
    assert (house.slots.devices(), house.news()) == ([], 1)
    seat.write(ARRIVAL)
    seat.leave()
    assert house.slots.devices() == []


async def test_devices_are_told_in_the_order_of_the_slots(house: House) -> None:
    for name, port, product in ((SECOND, house.second, 2), (FIRST, house.first, 1)):
        seat, _ = await house.take(name)
        port.say(hello())
        seat.write(hello() + packet(DEVICE_CONNECT, device_connect(7, product), long_ids=True))
    assert [(each["slot"], each["product"]) for each in house.slots.devices()] == [
        (FIRST, "0001"),
        (SECOND, "0002"),
    ]


async def test_only_what_the_machine_has_taken_is_looked_at(house: House) -> None:
    seat, _ = await house.take(FIRST)
    house.first.say(hello())
    said = hello() + ARRIVAL
    house.first.takes = len(said) - 1
    taken = seat.write(said)
    assert (taken, house.slots.devices()) == (len(said) - 1, [])
    house.first.takes = 100
    assert seat.write(said[taken:]) == 1
    assert len(house.slots.devices()) == 1


@pytest.mark.parametrize("is_guest", [True, False], ids=["the machine", "the peer"])
async def test_nonsense_ends_the_counting_with_one_line_and_never_the_stream(
    house: House, is_guest: bool, caplog: pytest.LogCaptureFixture
) -> None:
    seat, somebody = await house.take(FIRST)
    house.first.say(hello())
    seat.write(hello() + ARRIVAL)
    nonsense = b"\xff" * 16
    say: Callable[[bytes], object] = house.first.say if is_guest else seat.write
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            say(nonsense)
    assert [record.getMessage() for record in caplog.records if "not understood" in record.getMessage()]
    assert len([record for record in caplog.records if "not understood" in record.getMessage()]) == 1
    assert house.slots.devices() == []
    seat.write(ARRIVAL)
    house.first.say(b"goes on")
    assert house.slots.devices() == []
    assert somebody.heard.endswith(b"goes on")
    assert bytes(house.first.written).endswith(ARRIVAL)
    assert somebody.ends == []


async def test_a_device_without_long_ids_is_counted_too(house: House) -> None:
    seat, _ = await house.take(FIRST)
    house.first.say(hello(0))
    seat.write(hello(ALL) + packet(DEVICE_CONNECT, device_connect(version=None)))
    assert [each["kind"] for each in house.slots.devices()] == ["unknown"]
