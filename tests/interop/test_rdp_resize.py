"""The guest takes the size of a person's window, where it can; where it cannot, nothing is lost."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.daemon import Daemon
from support.freerdp import FreeRdp, Graphics, Settings
from support.guest_image import Mode, typed, was_clicked
from support.qemu import Qemu
from support.viewers import XServer
from support.virtio_guest import FIRST_SIZE, SECOND_HEAD, SECOND_SIZE, picture
from support.waiting import wait_until

SIZES = [(900, 700), (640, 480), (1200, 950)]


def _wait_until_it_can_resize(viewer: FreeRdp) -> None:
    viewer.wait_until_it_can_resize()
    wait_until(lambda: viewer.shows(picture(*FIRST_SIZE)), "the first picture is shown")


@pytest.mark.parametrize("graphics", [Graphics.PIPELINE, Graphics.BITMAPS, Graphics.AVC420])
def test_the_guest_takes_the_size_of_freerdps_window(
    virtio_daemon: Daemon, virtio_qemu: Qemu, x_server: XServer, graphics: Graphics
) -> None:
    settings = Settings(virtio_daemon.rdp, graphics=graphics, dynamic_resolution=True)
    with closing(FreeRdp(x_server, settings)) as viewer:
        _wait_until_it_can_resize(viewer)
        for width, height in SIZES:
            viewer.resize(width, height)
            virtio_qemu.com1.wait_for(f"^HEAD 0 {width}x{height}\n")
            wait_until(
                lambda size=(width, height): viewer.shows(picture(*size)), f"{width}x{height} is shown"
            )


def test_the_other_viewers_follow(virtio_daemon: Daemon, virtio_qemu: Qemu, wide_x_server: XServer) -> None:
    dynamic = Settings(virtio_daemon.rdp, graphics=Graphics.PIPELINE, dynamic_resolution=True)
    fixed = Settings(virtio_daemon.rdp, graphics=Graphics.BITMAPS)
    with closing(FreeRdp(wide_x_server, dynamic)) as first, closing(FreeRdp(wide_x_server, fixed)) as second:
        second.move(1400, 0)
        _wait_until_it_can_resize(first)
        for width, height in SIZES:
            first.resize(width, height)
            for viewer in (first, second):
                wait_until(
                    lambda viewer=viewer, size=(width, height): viewer.shows(picture(*size)),
                    f"{width}x{height} is shown",
                )


def test_pointing_is_right_after_a_resize(
    virtio_daemon: Daemon, virtio_qemu: Qemu, x_server: XServer
) -> None:
    settings = Settings(virtio_daemon.rdp, graphics=Graphics.PIPELINE, dynamic_resolution=True)
    with closing(FreeRdp(x_server, settings)) as viewer:
        _wait_until_it_can_resize(viewer)
        viewer.resize(640, 480)
        wait_until(lambda: viewer.shows(picture(640, 480)), "640x480 is shown")
        viewer.click(600, 400)
        virtio_qemu.com1.wait_for("^M20 025[789] 01(8F|90|91)\n")


def test_the_guests_two_screens_are_on_the_clients_two_monitors(
    virtio_daemon: Daemon, virtio_qemu: Qemu, short_dir: Path
) -> None:
    virtio_qemu.com1.send(SECOND_HEAD)
    virtio_qemu.com1.wait_for("^HEAD 1 1024x768\n")
    expected = np.zeros((800, 1280 + 1024), np.uint32)
    expected[:, :1280] = picture(*FIRST_SIZE)
    expected[:768, 1280:] = picture(*SECOND_SIZE, head=1)
    with closing(XServer(short_dir, "2304x800")) as x_server:
        x_server.run("xrandr", "--setmonitor", "left", "1152/300x800/200+0+0", "screen")
        x_server.run("xrandr", "--setmonitor", "right", "1152/300x800/200+1152+0", "none")
        settings = Settings(virtio_daemon.rdp, graphics=Graphics.PIPELINE, options=("/multimon",))
        with closing(FreeRdp(x_server, settings)) as viewer:
            wait_until(lambda: viewer.shows(expected), "both screens are shown")
            viewer.click(1280 + 512, 384)
            # it tells of the middle of a screen, in pixels of the first one
            wait_until(lambda: was_clicked(virtio_qemu.com1.read(), 640, 400), "the second screen is clicked")


def test_a_guest_that_keeps_its_size_is_shown_all_the_same(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.STILL)
    settings = Settings(daemon.rdp, graphics=Graphics.PIPELINE, dynamic_resolution=True)
    with closing(FreeRdp(x_server, settings)) as viewer:
        viewer.wait_until_it_can_resize()
        viewer.resize(900, 700)
        dbus_qemu.show(Mode.DESKTOP)
        dbus_qemu.show(Mode.STILL)

        def is_shown() -> bool:
            shown, truth = viewer.picture(), dbus_qemu.screendump()
            height, width = min(shown.shape[0], truth.shape[0]), min(shown.shape[1], truth.shape[1])
            return bool(height and (shown[:height, :width] == truth[:height, :width]).all())

        wait_until(is_shown, "what fits into the window is shown")
        dbus_qemu.com1.forget()
        viewer.type("a")
        dbus_qemu.com1.wait_for(typed(0x1E))
