"""Fingers reach a real guest: by its touch screen where QEMU and the machine have one, else by its mouse.

QEMU offers a touch screen to others since 8.1. What is right before and since then is asserted of whichever
is installed; tests/unit/qemu/test_touch_screen.py plays the newer one to an older installation.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attached_guest import attached
from support.guest_image import Mode
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu, version
from support.waiting import eventually

from sidecar.input.layout import Layout
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput
from sidecar.input.touch_input import Contact, ContactKind
from sidecar.qemu.attach import QmpAttach
from sidecar.qemu.console import QemuConsole

OFFERS_TOUCH = version() >= (8, 1)
TOUCH_SCREEN = ("-device", "virtio-multitouch-pci", "-trace", "dbus_touch_send_event") if OFFERS_TOUCH else ()
BEGIN, UPDATE, END, CANCEL = ContactKind


@asynccontextmanager
async def touched(
    start_qemu: Callable[..., Qemu], directory: Path, devices: Sequence[str]
) -> AsyncIterator[tuple[SessionInput, QemuConsole, Qemu]]:
    """A session at a machine that was attached by its monitor."""
    monitor = directory / "display-qmp"
    options = ("-qmp", f"unix:{monitor},server=on,wait=off", *devices)
    qemu = await asyncio.to_thread(start_qemu, PEER_TO_PEER_DISPLAY, extra=options)
    async with attached(QmpAttach(monitor)) as guest:
        console = guest.consoles[0]
        await asyncio.to_thread(qemu.show, Mode.STILL)
        await eventually(lambda: console.pointer.is_absolute, "the guest asks for positions")
        qemu.com1.forget()
        session = SessionInput(Seat(console), Layout("us"), lambda: False)
        yield session, console, qemu


def touch(session: SessionInput, *changes: tuple[int, ContactKind, float, float]) -> None:
    session.touch(Contact(*change) for change in changes)


def sent(qemu: Qemu) -> list[tuple[int, ...]]:
    """Kind, slot, x and y of what QEMU says that it has got."""
    found = re.findall(
        r"dbus_touch_send_event kind=(\d+), num_slot=(\d+), x=(\d+), y=(\d+)", qemu.process.output
    )
    return [tuple(map(int, event)) for event in found]


async def drags_with_the_mouse(qemu: Qemu, session: SessionInput) -> None:
    touch(session, (4, BEGIN, 100, 200), (5, BEGIN, 300, 300))
    await asyncio.to_thread(qemu.com1.wait_for, "^M20 006[345] 00C[789]\n")
    touch(session, (4, UPDATE, 120, 220), (5, END, 300, 300))
    await asyncio.to_thread(qemu.com1.wait_for, "^M20 007[789] 00D[BCD]\n")
    touch(session, (4, END, 120, 220))
    await asyncio.to_thread(qemu.com1.wait_for, "^M00 007[789] 00D[BCD]\n")


async def test_a_machine_with_a_touch_screen(start_qemu: Callable[..., Qemu], short_dir: Path) -> None:
    async with touched(start_qemu, short_dir, TOUCH_SCREEN) as (session, console, qemu):
        if not OFFERS_TOUCH:
            assert console.touch is None
            await drags_with_the_mouse(qemu, session)
            return
        assert console.touch is not None
        assert console.touch.max_slots == 10
        touch(session, (4, BEGIN, 100, 200), (5, BEGIN, 300, 300), (4, UPDATE, 120, 220))
        touch(session, (5, CANCEL, 300, 300), (4, END, 120, 9999))
        await eventually(lambda: len(sent(qemu)) >= 5, "QEMU has got the fingers")
        assert sent(qemu) == [
            (0, 0, 100, 200),
            (0, 1, 300, 300),
            (1, 0, 120, 220),
            (2, 1, 300, 300),
            (2, 0, 120, 767),
        ]
        assert not re.search("^M[^0]", qemu.com1.read(), re.MULTILINE)


async def test_a_machine_without_a_touch_screen(start_qemu: Callable[..., Qemu], short_dir: Path) -> None:
    async with touched(start_qemu, short_dir, ()) as (session, console, qemu):
        # also of a QEMU that offers one: fingers on it would be lost
        assert console.touch is None
        await drags_with_the_mouse(qemu, session)
