"""What an RDP client points at reaches a real guest's mouse: positions, motion, buttons and wheel."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from attached_guest import attached
from support.bus import Bus
from support.qemu import Qemu, dbus_display
from support.waiting import eventually

from sidecar.input.layout import Layout
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput
from sidecar.qemu.attach import BusAttach
from sidecar.rdp.client_input import ClientInput
from sidecar.rdp.input_events import ExtendedMouseEvent, MouseEvent, PointerFlags, RelativeMouseEvent

MOUSE = Path(__file__).parent / "guest" / "mouse.asm"
MOVE, DOWN, WHEEL, NEGATIVE = (
    PointerFlags.MOVE,
    PointerFlags.DOWN,
    PointerFlags.WHEEL,
    PointerFlags.WHEEL_NEGATIVE,
)

Report = tuple[int, int, int, int]
"""Buttons, motion to the right and up, turn of the wheel towards the user."""


def reports(text: str) -> list[Report]:
    """What the mouse has said, in whole reports."""
    data = bytes.fromhex("".join(re.findall("^P(..)$", text, re.MULTILINE)))
    found = []
    for at in range(0, len(data) // 4 * 4, 4):
        first, right, up, last = data[at : at + 4]
        wheel = last & 15
        found.append(
            (
                first & 7 | (last & 0x30) >> 1,
                right - (256 if first & 0x10 else 0),
                up - (256 if first & 0x20 else 0),
                wheel - 16 if wheel & 8 else wheel,
            )
        )
    return found


class RelativeMouse:
    """A client, and what the PS/2 mouse of its guest says."""

    def __init__(self, client: ClientInput, qemu: Qemu) -> None:
        self.client = client
        self._qemu = qemu
        self._expected: list[Report] = []

    def _changes(self) -> list[Report]:
        """The reports that move, turn or click."""
        buttons, found = 0, []
        for report in reports(self._qemu.com1.read()):
            if report[0] != buttons or any(report[1:]):
                found.append(report)
            buttons = report[0]
        return found

    async def says(self, *expected: Report) -> None:
        """Returns when it has said this after what it had to say before, and nothing else."""
        self._expected += expected
        count = len(self._expected)
        await eventually(lambda: len(self._changes()) >= count, f"the mouse says {expected}")
        assert self._changes() == self._expected


@asynccontextmanager
async def relative_mouse(
    start_qemu: Callable[..., Qemu], bus: Bus, directory: Path
) -> AsyncIterator[RelativeMouse]:
    """A client of a guest that has nothing but a PS/2 mouse."""
    image = directory / "mouse.img"
    subprocess.run(["nasm", "-f", "bin", "-o", image, MOUSE], check=True)
    qemu = await asyncio.to_thread(
        start_qemu, dbus_display(bus.address), image=image, extra=("-machine", "vmport=off")
    )
    async with attached(BusAttach(bus.address)) as guest:
        assert not guest.consoles[0].pointer.is_absolute
        client = ClientInput(SessionInput(Seat(guest.consoles[0]), Layout("us"), lambda: False))
        yield RelativeMouse(client, qemu)


async def test_motion_and_buttons_of_a_relative_mouse(
    start_qemu: Callable[..., Qemu], bus: Bus, short_dir: Path
) -> None:
    async with relative_mouse(start_qemu, bus, short_dir) as mouse:
        mouse.client.handle((RelativeMouseEvent(MOVE, 5, -3),))
        await mouse.says((0, 5, 3, 0))
        # an absolute client moves it by the way from one position to the next
        mouse.client.handle((MouseEvent(MOVE, 100, 100), MouseEvent(MOVE, 98, 104)))
        await mouse.says((0, -2, -4, 0))
        for flag, bit in ((PointerFlags.BUTTON1, 1), (PointerFlags.BUTTON2, 2), (PointerFlags.BUTTON3, 4)):
            mouse.client.handle((MouseEvent(flag | DOWN, 98, 104), MouseEvent(flag, 98, 104)))
            await mouse.says((bit, 0, 0, 0), (0, 0, 0, 0))
        for flag, bit in ((1, 8), (2, 16)):
            mouse.client.handle((ExtendedMouseEvent(flag | DOWN, 98, 104), ExtendedMouseEvent(flag, 98, 104)))
            await mouse.says((bit, 0, 0, 0), (0, 0, 0, 0))


async def test_the_wheel_turns_by_whole_steps(
    start_qemu: Callable[..., Qemu], bus: Bus, short_dir: Path
) -> None:
    async with relative_mouse(start_qemu, bus, short_dir) as mouse:
        mouse.client.handle((MouseEvent(WHEEL | 120, 0, 0),))
        await mouse.says((0, 0, 0, -1))
        mouse.client.handle((MouseEvent(WHEEL | NEGATIVE | 256 - 120, 0, 0),))
        await mouse.says((0, 0, 0, 1))
        for _ in range(5):
            mouse.client.handle((MouseEvent(WHEEL | NEGATIVE | 256 - 30, 0, 0),))
        await mouse.says((0, 0, 0, 1))
        # a quarter is left over from before
        mouse.client.handle((MouseEvent(WHEEL | NEGATIVE | 256 - 90, 0, 0),))
        await mouse.says((0, 0, 0, 1))


async def test_positions_and_clicks_of_an_absolute_pointer(dbus_qemu: Qemu, bus: Bus) -> None:
    async with attached(BusAttach(bus.address)) as guest:
        console = guest.consoles[0]
        await eventually(lambda: console.pointer.is_absolute, "the guest asks for positions")
        client = ClientInput(SessionInput(Seat(console), Layout("us"), lambda: False))
        dbus_qemu.com1.forget()
        client.handle((MouseEvent(MOVE, 100, 200), MouseEvent(PointerFlags.BUTTON2 | DOWN, 300, 400)))
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "^M10 012[BC] 01(8F|90)\n")
        client.handle((MouseEvent(PointerFlags.BUTTON2, 301, 400), RelativeMouseEvent(MOVE, -201, 2000)))
        await asyncio.to_thread(dbus_qemu.com1.wait_for, "^M00 006[34] 02F[EF]\n")
