"""Fingers reach QEMU's touch screen where it has one.

Against a double of the D-Bus side, because QEMU has this interface since 8.1 and Debian 12 has an older one;
tests/qemu/test_qemu_touch.py meets the real interface wherever the installed QEMU offers it.
"""

import math
from pathlib import Path

import pytest
from display_double import QEMU_7_2, QEMU_8_1, DisplayDouble, Interfaces, attached_to_double
from monitor_side import monitor, returns
from support.waiting import eventually

from sidecar.guest import Button
from sidecar.qemu.input_queue import InputQueue
from sidecar.qemu.qmp import Qmp
from sidecar.qemu.touch import QemuTouch, has_touch_screen, max_slots


async def reach(double: DisplayDouble, count: int) -> list[tuple[object, ...]]:
    await eventually(lambda: len(double.input) >= count, f"{count} events arrive")
    return double.input


async def test_fingers_are_sent_in_order_with_keys_and_buttons() -> None:
    async with attached_to_double(QEMU_8_1, True) as (guest, double):
        console = guest.consoles[0]
        assert console.touch is not None
        assert console.touch.max_slots == 10
        console.keyboard.press(0x1E)
        console.touch.begin(0, 10.5, 20.25)
        console.touch.begin(9, 30, 40)
        console.touch.update(0, 11, 21)
        console.keyboard.release(0x1E)
        console.pointer.press(Button.LEFT)
        console.touch.end(0, 12, 22)
        console.touch.end(9, 30, 40)
        assert await reach(double, 8) == [
            ("Keyboard", "Press", "u", 0x1E),
            ("MultiTouch", "SendEvent", "utdd", 0, 0, 10.5, 20.25),
            ("MultiTouch", "SendEvent", "utdd", 0, 9, 30.0, 40.0),
            ("MultiTouch", "SendEvent", "utdd", 1, 0, 11.0, 21.0),
            ("Keyboard", "Release", "u", 0x1E),
            ("Mouse", "Press", "u", 0),
            ("MultiTouch", "SendEvent", "utdd", 2, 0, 12.0, 22.0),
            ("MultiTouch", "SendEvent", "utdd", 2, 9, 30.0, 40.0),
        ]


async def test_a_cancelled_finger_is_lifted_since_qemus_own_cancel_lifts_none() -> None:
    async with attached_to_double(QEMU_8_1, True) as (guest, double):
        touch = guest.consoles[0].touch
        assert touch is not None
        touch.begin(3, 1, 1)
        touch.cancel(3, 2, 2)
        assert (await reach(double, 2))[1] == ("MultiTouch", "SendEvent", "utdd", 2, 3, 2.0, 2.0)


async def test_a_finger_outside_the_screen_is_at_its_edge() -> None:
    async with attached_to_double(QEMU_8_1, True) as (guest, double):
        touch = guest.consoles[0].touch
        assert touch is not None
        touch.begin(0, -5, 1e9)
        touch.end(0, math.inf, math.nan)
        assert [event[5:] for event in await reach(double, 2)] == [(0.0, 479.0), (639.0, 0.0)]


async def test_a_finger_that_is_not_down_is_not_moved_and_not_lifted() -> None:
    async with attached_to_double(QEMU_8_1, True) as (guest, double):
        touch = guest.consoles[0].touch
        assert touch is not None
        touch.update(0, 1, 1)
        touch.end(0, 1, 1)
        touch.begin(1, 2, 2)
        assert await reach(double, 1) == [("MultiTouch", "SendEvent", "utdd", 0, 1, 2.0, 2.0)]


@pytest.mark.parametrize(
    ("interfaces", "touch_screen", "has_touch"),
    [
        pytest.param(QEMU_7_2, None, False, id="before QEMU 8.1"),
        pytest.param(QEMU_7_2, True, False, id="before QEMU 8.1 whatever is said"),
        pytest.param(QEMU_8_1, False, False, id="a guest that is said to have none"),
        pytest.param(QEMU_8_1, None, False, id="nobody knows, since there is no monitor"),
        pytest.param(QEMU_8_1, True, True, id="a guest that is said to have one"),
    ],
)
async def test_a_touch_screen_is_there_only_where_it_is_known_to_be(
    interfaces: Interfaces, touch_screen: bool | None, has_touch: bool
) -> None:
    async with attached_to_double(interfaces, touch_screen) as (guest, _):
        assert (guest.consoles[0].touch is not None) == has_touch


async def test_the_touch_screen_goes_with_the_machine() -> None:
    async with attached_to_double(QEMU_8_1, True) as (guest, double):
        double.close()
        await eventually(lambda: guest.consoles[0].touch is None, "the touch screen is gone")


@pytest.mark.parametrize("slot", [-1, 10])
def test_a_slot_that_is_not_there_is_refused(slot: int) -> None:
    with pytest.raises(ValueError, match=str(slot)):
        QemuTouch(InputQueue(), 10).begin(slot, 1, 1)


@pytest.mark.parametrize(
    ("properties", "slots"),
    [
        ({}, 0),
        ({"MaxSlots": 10}, 10),
        ({"MaxSlots": 0}, 0),
        ({"MaxSlots": -1}, 0),
        ({"MaxSlots": 1 << 30}, 0),
    ],
)
def test_only_a_number_of_slots_that_can_be_is_believed(properties: dict[str, object], slots: int) -> None:
    assert max_slots(properties) == slots


@pytest.mark.parametrize(
    ("types", "has_screen"),
    [
        ([], False),
        (["child<usb-tablet>", "string"], False),
        (["child<usb-tablet>", "child<virtio-multitouch-pci>"], True),
        (["child<virtio-multitouch-device>"], True),
    ],
)
async def test_the_monitor_tells_whether_there_is_a_touch_screen(
    short_dir: Path, types: list[str], has_screen: bool
) -> None:
    children = [{"name": f"device[{n}]", "type": kind} for n, kind in enumerate(types)]
    async with monitor(short_dir / "qmp", returns(children)), Qmp(short_dir / "qmp") as qmp:
        assert await has_touch_screen(qmp) is has_screen


async def test_a_monitor_that_does_not_tell_means_no_touch_screen(short_dir: Path) -> None:
    def refuse(command: dict[str, object]) -> bytes:
        if command["execute"] == "qmp_capabilities":
            return returns({})(command)
        return b'{"error": {"class": "DeviceNotFound", "desc": "no such path"}, "id": %d}\r\n' % command["id"]

    async with monitor(short_dir / "qmp", refuse), Qmp(short_dir / "qmp") as qmp:
        assert await has_touch_screen(qmp) is False
    assert await has_touch_screen(None) is False
