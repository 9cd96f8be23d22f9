"""The deterministic guest does what its head says; everything else here is built on that."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.guest_image import VIDEO, Mode, background, desktop, typed_cell, video
from support.qemu import Qemu
from support.waiting import wait_until


def test_the_desktop_is_the_documented_picture(builtin_vnc_qemu: Qemu) -> None:
    builtin_vnc_qemu.show(Mode.DESKTOP)
    assert np.array_equal(builtin_vnc_qemu.screendump(), desktop())


def test_box_moves_on_the_gradient_until_it_is_told_to_be_still(builtin_vnc_qemu: Qemu) -> None:
    qemu = builtin_vnc_qemu
    first = qemu.screendump()
    wait_until(lambda: not np.array_equal(qemu.screendump(), first), "the box moves")
    qemu.show(Mode.STILL)
    still = qemu.screendump()
    assert np.array_equal(still, qemu.screendump())
    outside = np.ones(still.shape, bool)
    outside[256:320] = False
    assert np.array_equal(still[outside], background()[outside])


@pytest.mark.parametrize("mode", [Mode.REPAINT, Mode.TEXT, Mode.VIDEO])
def test_a_moving_picture_moves_and_is_full_of_detail(builtin_vnc_qemu: Qemu, mode: Mode) -> None:
    qemu = builtin_vnc_qemu
    qemu.show(mode)
    first = qemu.screendump()
    wait_until(lambda: not np.array_equal(qemu.screendump(), first), "it moves")
    colours = len(np.unique(first))
    assert 4 <= colours <= 10 if mode is Mode.TEXT else colours > 1000


def test_the_video_is_the_documented_one_at_every_moment(builtin_vnc_qemu: Qemu) -> None:
    qemu = builtin_vnc_qemu
    qemu.show(Mode.VIDEO)
    for _ in range(5):
        # the guest may be stopped while it draws: above the row it is at, the next moment shows
        qemu.qmp("stop")
        shown = qemu.screendump()
        qemu.qmp("cont")
        moving = shown[VIDEO].copy()
        documented = np.zeros(len(moving), bool)
        for row in (0, len(moving) - 1):
            ticks = tick_of_row(moving, row)
            if ticks is not None:
                documented |= (moving == video(ticks)).all(axis=1)
        assert documented.sum() >= len(moving) - 1
        shown[VIDEO] = background()[VIDEO]
        assert np.array_equal(shown, background())


def tick_of_row(moving: NDArray[np.uint32], row: int) -> int | None:
    """When the video shows that row so; None where it never does."""
    only = slice(row, row + 1)
    return next((at for at in range(0, 10_000, 2) if np.array_equal(moving[only], video(at, only))), None)


def test_every_typed_key_draws_one_character_at_its_place(builtin_vnc_qemu: Qemu) -> None:
    qemu = builtin_vnc_qemu
    qemu.show(Mode.TYPING)
    for key in ("a", "1", "z"):
        qemu.qmp("send-key", keys=[{"type": "qcode", "data": key}])
    qemu.com1.wait_for("K1E\nK9E\nK02\nK82\nK2C\nKAC\n")
    changed = qemu.screendump() != desktop()
    for number in range(3):
        x, y, width, height = typed_cell(number)
        cell = changed[y : y + height, x : x + width]
        assert cell.any()
        cell[:] = False
    assert not changed.any()


def test_pointer_positions_and_buttons_are_told(builtin_vnc_qemu: Qemu) -> None:
    qemu = builtin_vnc_qemu
    qemu.show(Mode.STILL)
    events = [
        {"type": "abs", "data": {"axis": "x", "value": 0x4000}},
        {"type": "abs", "data": {"axis": "y", "value": 0x4000}},
        {"type": "btn", "data": {"button": "left", "down": True}},
    ]
    qemu.qmp("input-send-event", events=events)
    match = qemu.com1.wait_for("^M20 ([0-9A-F]{4}) ([0-9A-F]{4})\n")
    x, y = int(match[1], 16), int(match[2], 16)
    assert abs(x - 512) <= 1
    assert abs(y - 384) <= 1
    # it says so before it draws
    wait_until(lambda: (qemu.screendump()[y : y + 8, x : x + 8] == 0xFFFF00).all(), "the pointer is drawn")


def test_the_guest_changes_its_size_while_it_runs(builtin_vnc_qemu: Qemu) -> None:
    builtin_vnc_qemu.show(Mode.SIZE_800X600)
    assert builtin_vnc_qemu.screendump().shape == (600, 800)
    builtin_vnc_qemu.show(Mode.SIZE_1024X768)
    builtin_vnc_qemu.show(Mode.DESKTOP)
    assert np.array_equal(builtin_vnc_qemu.screendump(), desktop())


def test_the_guest_sends_back_what_com1_gets(builtin_vnc_qemu: Qemu) -> None:
    builtin_vnc_qemu.com1.send(b"all of this\r\n\x7f\xff")
    builtin_vnc_qemu.com1.wait_for("all of this\r\n\x7f\xff")
