"""What an RDP client types reaches a real guest's keyboard as a real keyboard would send it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from attached_guest import attached
from support.bus import Bus
from support.guest_image import Mode
from support.qemu import Qemu
from support.waiting import eventually

from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.input.session_input import SessionInput
from sidecar.qemu.attach import BusAttach
from sidecar.rdp.client_input import ClientInput
from sidecar.rdp.input_events import InputEvent, ScancodeEvent, SynchronizeEvent, ToggleFlags, UnicodeEvent

Connect = Callable[[str], ClientInput]


@asynccontextmanager
async def keyboard(qemu: Qemu, bus: Bus) -> AsyncIterator[Connect]:
    """Makes clients whose guest has a keyboard layout."""
    async with attached(BusAttach(bus.address)) as guest:
        await asyncio.to_thread(qemu.show, Mode.STILL)
        qemu.com1.forget()
        seats = Seats(guest)
        seat = seats.of(guest.consoles[0])
        clients: list[ClientInput] = []

        def connect(layout: str) -> ClientInput:
            clients.append(ClientInput(SessionInput(seat, Layout(layout), lambda: False)))
            return clients[-1]

        yield connect
        for client in clients:
            client.release_all()
        await eventually(lambda: guest.consoles[0].input_backlog == 0, "all input is delivered")
        seats.close()


async def hears(qemu: Qemu, codes: str) -> None:
    """Returns when the guest has heard just these scan codes since the last time."""
    expected = "".join(f"K{code}\n" for code in codes.split())
    await asyncio.to_thread(qemu.com1.wait_for, f"(?s).{{{len(expected)}}}")
    assert qemu.com1.text == expected
    qemu.com1.forget()


def taps(*codes: int, e0: bool = False) -> tuple[InputEvent, ...]:
    return tuple(ScancodeEvent(code, released, e0) for code in codes for released in (False, True))


async def test_letters_and_extended_keys(dbus_qemu: Qemu, bus: Bus) -> None:
    async with keyboard(dbus_qemu, bus) as connect:
        client = connect("us")
        client.handle(taps(0x1E, 0x30))
        await hears(dbus_qemu, "1E 9E 30 B0")
        client.handle(taps(0x48, 0x1C, 0x5B, e0=True))
        await hears(dbus_qemu, "E0 48 E0 C8 E0 1C E0 9C E0 5B E0 DB")


async def test_pause_and_break(dbus_qemu: Qemu, bus: Bus) -> None:
    async with keyboard(dbus_qemu, bus) as connect:
        client = connect("us")
        client.handle(
            (
                ScancodeEvent(0x1D, extended1=True),
                ScancodeEvent(0x45),
                ScancodeEvent(0x1D, released=True, extended1=True),
                ScancodeEvent(0x45, released=True),
            )
        )
        await hears(dbus_qemu, "E1 1D 45 E1 9D C5")
        client.handle((ScancodeEvent(0x1D),))
        client.handle(taps(0x46, e0=True))
        client.handle((ScancodeEvent(0x1D, released=True),))
        await hears(dbus_qemu, "1D E0 46 E0 C6 9D")


async def test_print(dbus_qemu: Qemu, bus: Bus) -> None:
    async with keyboard(dbus_qemu, bus) as connect:
        connect("us").handle(taps(0x37, e0=True))
        # a keyboard wraps this key in shifts of its own
        await hears(dbus_qemu, "E0 2A E0 37 E0 B7 E0 AA")


async def test_altgr_of_a_windows_client_is_altgr_alone(dbus_qemu: Qemu, bus: Bus) -> None:
    async with keyboard(dbus_qemu, bus) as connect:
        client = connect("de")
        client.handle((ScancodeEvent(0x1D), ScancodeEvent(0x38, extended=True)))
        client.handle(taps(0x10))
        client.handle((ScancodeEvent(0x1D, True), ScancodeEvent(0x38, True, extended=True)))
        await hears(dbus_qemu, "E0 38 10 90 E0 B8")


@pytest.mark.parametrize(
    ("layout", "text", "codes"),
    [
        ("en-us", "aB", "1E 9E 2A 30 AA B0"),
        ("en-us", "@\r", "2A 03 AA 83 1C 9C"),
        ("de", "zß", "15 95 0C 8C"),
        ("de", "@", "E0 38 10 E0 B8 90"),
        ("de", "é", "0D 8D 12 92"),
    ],
)
async def test_characters(dbus_qemu: Qemu, bus: Bus, layout: str, text: str, codes: str) -> None:
    async with keyboard(dbus_qemu, bus) as connect:
        client = connect(layout)
        client.handle(tuple(UnicodeEvent(ord(each), up) for each in text for up in (False, True)))
        await hears(dbus_qemu, codes)


async def test_a_long_text_at_once_loses_nothing(dbus_qemu: Qemu, bus: Bus) -> None:
    text = "the quick brown fox jumps over the lazy dog" * 3
    async with keyboard(dbus_qemu, bus) as connect:
        connect("us").handle(tuple(UnicodeEvent(ord(each)) for each in text))
        await asyncio.to_thread(dbus_qemu.com1.wait_for, f"(?s)(K..\n){{{2 * len(text)}}}")
        codes = dbus_qemu.com1.text.replace("K", "").split()
        presses, releases = codes[::2], codes[1::2]
        assert [int(code, 16) | 0x80 for code in presses] == [int(code, 16) for code in releases]


async def test_the_focus_lets_go_of_keys_and_sets_the_locks_once(dbus_qemu: Qemu, bus: Bus) -> None:
    async with keyboard(dbus_qemu, bus) as connect:
        first, second = connect("us"), connect("us")
        first.handle((ScancodeEvent(0x2A),))
        await hears(dbus_qemu, "2A")
        for client in (first, second):
            client.handle(
                (ScancodeEvent(0x0F, True), SynchronizeEvent(ToggleFlags.NUM_LOCK), ScancodeEvent(0x0F, True))
            )
        await hears(dbus_qemu, "AA 45 C5")
        second.handle(taps(0x1E))
        await hears(dbus_qemu, "1E 9E")
