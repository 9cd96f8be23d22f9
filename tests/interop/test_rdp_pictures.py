"""FreeRDP and rdesktop show exactly what QEMU shows, in every way in which they can ask for it."""

from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray
from support.daemon import Daemon
from support.freerdp import GREEN_SPREAD, FreeRdp, Graphics, Settings
from support.guest_image import VIDEO, Mode, video
from support.pictures import at_depth, psnr
from support.qemu import Qemu
from support.rdp_clients import Rdesktop
from support.viewers import XServer
from support.virtio_guest import HOT_SPOTS, pointer_picture
from support.waiting import wait_until
from support.x_pointer import x_pointer

FREERDP = [
    pytest.param(Graphics.BITMAPS, 32, id="bitmaps-32"),
    pytest.param(Graphics.BITMAPS, 24, id="bitmaps-24"),
    pytest.param(Graphics.BITMAPS, 16, id="bitmaps-16"),
    pytest.param(Graphics.BITMAPS, 15, id="bitmaps-15"),
    pytest.param(Graphics.PIPELINE, 32, id="pipeline"),
    pytest.param(Graphics.AVC420, 32, id="avc420"),
]


def _shows_every_mode(viewer: FreeRdp | Rdesktop, qemu: Qemu, depth: int) -> None:
    for mode in (Mode.TEXT, Mode.VIDEO, Mode.DESKTOP):
        before = viewer.picture()
        qemu.show(mode)
        wait_until(lambda before=before: not viewer.shows(before), f"{mode.name} is shown")
        qemu.show(Mode.STILL)
        wait_until(lambda: _is_exact(viewer, qemu.screendump(), depth), f"{mode.name} is exact")


def _is_exact(viewer: FreeRdp | Rdesktop, truth: NDArray[np.uint32], depth: int) -> bool:
    if isinstance(viewer, FreeRdp):
        return viewer.shows(at_depth(truth, depth, GREEN_SPREAD))
    # with 15 bits rdesktop fills up green with a bit of red
    told = 0xF8F8F8 if depth == 15 else 0xFFFFFF
    return np.array_equal(viewer.picture() & told, at_depth(truth, depth) & told)


@pytest.mark.parametrize(("graphics", "depth"), FREERDP)
def test_freerdp_shows_exactly_what_qemu_shows(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer, graphics: Graphics, depth: int
) -> None:
    settings = Settings(daemon.rdp, graphics=graphics, depth=depth)
    with closing(FreeRdp(x_server, settings)) as viewer:
        _shows_every_mode(viewer, dbus_qemu, depth)


@pytest.mark.parametrize("depth", [32, 24, 16, 15])
def test_rdesktop_shows_exactly_what_qemu_shows(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer, depth: int
) -> None:
    with closing(Rdesktop(x_server, daemon.rdp, depth=depth)) as viewer:
        _shows_every_mode(viewer, dbus_qemu, depth)


@pytest.mark.parametrize("graphics", [Graphics.BITMAPS, Graphics.PIPELINE])
def test_freerdp_follows_a_new_size(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer, graphics: Graphics
) -> None:
    with closing(FreeRdp(x_server, Settings(daemon.rdp, graphics=graphics))) as viewer:
        for mode in (Mode.SIZE_800X600, Mode.SIZE_1024X768):
            dbus_qemu.show(mode)
            dbus_qemu.show(Mode.STILL)
            wait_until(lambda: viewer.shows(dbus_qemu.screendump()), f"FreeRDP shows {mode.name}")


def test_rdesktop_follows_a_new_size(daemon: Daemon, dbus_qemu: Qemu, x_server: XServer) -> None:
    with closing(Rdesktop(x_server, daemon.rdp)) as viewer:
        for mode in (Mode.SIZE_800X600, Mode.SIZE_1024X768):
            dbus_qemu.show(mode)
            dbus_qemu.show(Mode.STILL)
            wait_until(lambda: viewer.shows(dbus_qemu.screendump()), f"rdesktop shows {mode.name}")


def test_h264_is_close_while_it_moves_and_exact_when_it_rests(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.VIDEO)
    with closing(FreeRdp(x_server, Settings(daemon.rdp, graphics=Graphics.AVC420))) as viewer:
        moving: list[NDArray[np.uint32]] = []

        def another() -> bool:
            shown = viewer.picture()
            if shown.shape != (768, 1024) or any(np.array_equal(shown, other) for other in moving):
                return False
            moving.append(shown)
            return True

        def is_lossy() -> bool:
            return another() and 30 <= _closeness(moving[-1][VIDEO]) < 60

        # the first ones may be black, or exact, from before it was found to move
        wait_until(is_lossy, "FreeRDP shows H.264")
        for _ in range(5):
            wait_until(another, "FreeRDP shows one picture after the other")
        closeness = [_closeness(shown[VIDEO]) for shown in moving[-5:]]
        assert min(closeness) >= 30
        # a guest that stood still for a moment is shown exactly then
        assert sorted(closeness)[len(closeness) // 2] < 60, "exact: it was no H.264"
        dbus_qemu.show(Mode.STILL)
        wait_until(lambda: viewer.shows(dbus_qemu.screendump()), "FreeRDP shows the picture exactly")


def _closeness(shown: NDArray[np.uint32]) -> float:
    """PSNR against the moment of the video that it is closest to."""
    rows = slice(None, None, 120)
    ticks = range(0, 3600, 2)
    nearest = max(ticks, key=lambda tick: psnr(shown[rows], video(tick, rows)))
    return psnr(shown, video(nearest))


@pytest.mark.parametrize("graphics", [Graphics.BITMAPS, Graphics.PIPELINE])
def test_freerdp_has_the_guests_own_pointer(
    virtio_daemon: Daemon, virtio_qemu: Qemu, x_server: XServer, graphics: Graphics
) -> None:
    settings = Settings(virtio_daemon.rdp, graphics=graphics)
    with closing(FreeRdp(x_server, settings)) as viewer:
        viewer.point_at(300, 300)
        for pointer, hot_spot in list(HOT_SPOTS.items()) * 2:
            virtio_qemu.com1.send(pointer.command)
            expected = pointer_picture(pointer)

            def has_it(expected: NDArray[np.uint32] = expected) -> bool:
                return np.array_equal(x_pointer(x_server.display).pixels, expected)

            wait_until(has_it, f"the pointer is a {pointer.name}")
            assert x_pointer(x_server.display).hot_spot == hot_spot
