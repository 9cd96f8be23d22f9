"""Keys and pointer events reach a real guest, in order; its lights and the kind of its pointer come back."""

import asyncio
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from attached_guest import attached, becomes, running
from support.bus import Bus
from support.guest_image import Mode
from support.qemu import Qemu, dbus_display
from support.waiting import eventually

from sidecar.guest import Button, ConsoleChange, GuestState, Led, ResizeRefused
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.console import QemuConsole

LETTERS = [0x1E, 0x30, 0x2E, 0x20, 0x12, 0x21, 0x22, 0x23, 0x17, 0x24]
LIGHTS = Path(__file__).parent / "guest" / "lights.asm"


def pointer_reports(text: str) -> list[tuple[int, int, int]]:
    """Buttons, x, y as the guest was told them."""
    found = re.findall("^M([0-9A-F]{2}) ([0-9A-F]{4}) ([0-9A-F]{4})$", text, re.MULTILINE)
    return [(int(buttons, 16), int(x, 16), int(y, 16)) for buttons, x, y in found]


async def delivered(console: QemuConsole) -> None:
    await eventually(lambda: console.input_backlog == 0, "all input is delivered")


async def test_keys_arrive_in_order(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        await asyncio.to_thread(dbus_qemu.show, Mode.STILL)
        dbus_qemu.com1.forget()
        expected = ""
        for qnum in LETTERS:
            # a PS/2 keyboard remembers 16 bytes: not faster than the guest reads
            guest.consoles[0].keyboard.press(qnum)
            guest.consoles[0].keyboard.release(qnum)
            expected += f"K{qnum:02X}\nK{qnum | 0x80:02X}\n"
            await asyncio.to_thread(dbus_qemu.com1.wait_for, expected)


async def test_extended_keys_arrive_as_extended_keys(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        dbus_qemu.com1.forget()
        guest.consoles[0].keyboard.press(0xC8)
        guest.consoles[0].keyboard.release(0xC8)
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "KE0\nK48\nKE0\nKC8\n")


async def test_what_is_not_held_is_not_released(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        dbus_qemu.com1.forget()
        guest.consoles[0].keyboard.release(0x1E)
        guest.consoles[0].keyboard.press(0x30)
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "K30\n")
        assert "K9E" not in dbus_qemu.com1.text
        guest.consoles[0].keyboard.release(0x30)


async def test_the_pointer_stands_where_it_was_put_and_clicks_there(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        pointer = guest.consoles[0].pointer
        await eventually(lambda: pointer.is_absolute, "the guest asks for positions")
        dbus_qemu.com1.forget()
        pointer.move_to(100, 200)
        pointer.press(Button.LEFT)
        pointer.release(Button.LEFT)
        pointer.press(Button.RIGHT)
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "M10 ")
        reports = pointer_reports(dbus_qemu.com1.text)
        assert all(abs(x - 100) <= 1 and abs(y - 200) <= 1 for _, x, y in reports)
        buttons = [number for number, _, _ in reports]
        assert [b for b, after in zip(buttons, [*buttons[1:], -1], strict=True) if b != after] == [
            0,
            0x20,
            0,
            0x10,
        ]
        pointer.release(Button.RIGHT)


async def test_a_position_outside_is_put_at_the_edge(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        pointer = guest.consoles[0].pointer
        await eventually(lambda: pointer.is_absolute, "the guest asks for positions")
        for position, edge in [((5000, 5000), (1023, 767)), ((-5, 2**40), (0, 767)), ((300, -1), (300, 0))]:
            dbus_qemu.com1.forget()
            pointer.move_to(*position)
            await asyncio.to_thread(dbus_qemu.com1.wait_for, "^M00 .*\n")
            _, x, y = pointer_reports(dbus_qemu.com1.text)[-1]
            assert (abs(x - edge[0]) <= 1, abs(y - edge[1]) <= 1) == (True, True)


async def test_every_button_is_known_to_qemu(
    dbus_qemu: Qemu, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "sidecar")
    async with attached(BusAttach(bus.address)) as guest:
        for button in Button:
            guest.consoles[0].pointer.press(button)
            guest.consoles[0].pointer.release(button)
        await delivered(guest.consoles[0])
    assert "QEMU refused" not in caplog.text
    assert dbus_qemu.process.is_running


async def test_motion_that_cannot_be_delivered_yet_is_merged(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        console = guest.consoles[0]
        await eventually(lambda: console.pointer.is_absolute, "the guest asks for positions")
        dbus_qemu.process.signal(signal.SIGSTOP)
        for step in range(1000):
            console.pointer.move_to(step % 800, step % 600)
            if step % 100 == 0:
                await asyncio.sleep(0)
        assert console.input_backlog < 40
        console.pointer.move_to(321, 123)
        dbus_qemu.com1.forget()
        dbus_qemu.process.signal(signal.SIGCONT)
        await delivered(console)
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "^M00 014[012] 007[ABC]\n")


async def test_a_relative_device_takes_motion_and_no_positions(
    start_qemu: Callable[..., Qemu], bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "sidecar")
    qemu = start_qemu(dbus_display(bus.address), extra=("-machine", "vmport=off"))
    async with attached(BusAttach(bus.address)) as guest:
        pointer = guest.consoles[0].pointer
        assert not pointer.is_absolute
        pointer.move_to(5, 5)
        assert guest.consoles[0].input_backlog == 0
        pointer.move_by(5, -7)
        pointer.move_by(2**40, -(2**40))
        await delivered(guest.consoles[0])
    assert "QEMU refused" not in caplog.text
    assert qemu.process.is_running


async def test_the_kind_of_pointer_is_told_when_it_changes(start_qemu: Callable[..., Qemu], bus: Bus) -> None:
    async with running(BusAttach(bus.address)) as guest:
        changes: list[ConsoleChange] = []
        guest.consoles[0].changes.subscribe(changes.append)
        qemu = await asyncio.to_thread(start_qemu, dbus_display(bus.address))
        await becomes(guest, GuestState.ATTACHED)
        await eventually(lambda: guest.consoles[0].pointer.is_absolute, "the guest asks for positions")
        assert any(ConsoleChange.POINTER_MODE in change for change in changes)
        qemu.kill()
        await becomes(guest, GuestState.LOST)
        assert not guest.consoles[0].pointer.is_absolute


async def test_the_lights_that_the_guest_sets_are_known(
    start_qemu: Callable[..., Qemu], bus: Bus, short_dir: Path
) -> None:
    image = short_dir / "lights.img"
    subprocess.run(["nasm", "-f", "bin", "-o", image, LIGHTS], check=True)
    qemu = start_qemu(dbus_display(bus.address), image=image)
    async with attached(BusAttach(bus.address)) as guest:
        keyboard = guest.consoles[0].keyboard
        changes: list[ConsoleChange] = []
        guest.consoles[0].changes.subscribe(changes.append)
        assert not keyboard.leds_known
        for led in (Led.SCROLL, Led.NUM, Led.CAPS):
            keyboard.press(0x1E)
            keyboard.release(0x1E)
            await eventually(lambda: keyboard.leds is led, f"{led} is on")  # noqa: B023 - called at once
            assert keyboard.leds_known
        await eventually(lambda: any(ConsoleChange.LEDS in change for change in changes), "it is told")
        qemu.kill()
        await becomes(guest, GuestState.LOST)
        assert not keyboard.leds_known


async def test_a_device_without_sizes_of_its_own_refuses_to_resize(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        with pytest.raises(ResizeRefused, match="cannot change its size"):
            await guest.consoles[0].request_size(800, 600)


async def test_a_device_with_sizes_of_its_own_takes_one(start_qemu: Callable[..., Qemu], bus: Bus) -> None:
    start_qemu(dbus_display(bus.address), video="virtio-vga")
    async with attached(BusAttach(bus.address)) as guest:
        await guest.consoles[0].request_size(1280, 720, 300, 200)
        await guest.consoles[0].request_size(1280, 720, -1, 10**9)
        for size in [(0, 600), (10**9, 10**9)]:
            with pytest.raises(ResizeRefused):
                await guest.consoles[0].request_size(*size)


async def test_nobody_can_be_asked_or_driven_while_no_machine_is_there(bus: Bus) -> None:
    async with running(BusAttach(bus.address)) as guest:
        console = guest.consoles[0]
        with pytest.raises(ResizeRefused, match="not running"):
            await console.request_size(800, 600)
        console.keyboard.press(0x1E)
        console.pointer.press(Button.LEFT)
        console.pointer.move_by(1, 1)
        assert console.input_backlog == 0
        with pytest.raises(ValueError, match="256"):
            console.keyboard.press(256)
