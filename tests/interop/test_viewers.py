"""Viewers that people use show exactly what QEMU shows, and drive the guest, several at once.

TigerVNC may tell the guest where the X pointer is at any moment, and the guest then draws there: what it
shows is therefore compared with a screendump of that moment.
"""

from pathlib import Path

import asyncvnc
import numpy as np
import pytest
from support.daemon import Daemon
from support.guest_image import Mode, was_clicked, was_typed
from support.pictures import from_rgb_bytes, read_picture
from support.qemu import Qemu
from support.viewers import TigerVnc, XServer, is_whole_png, vncdotool, vncdotool_picture
from support.waiting import eventually, wait_until


@pytest.mark.parametrize("mode", [Mode.TEXT, Mode.VIDEO, Mode.DESKTOP], ids=lambda mode: mode.name)
@pytest.mark.parametrize("encoding", ["Tight", "ZRLE", "Hextile", "Raw"])
def test_tigervnc_shows_exactly_what_qemu_shows(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer, encoding: str, mode: Mode
) -> None:
    dbus_qemu.show(mode)
    viewer = TigerVnc(x_server, f"127.0.0.1::{daemon.port}", encoding=encoding)
    try:
        dbus_qemu.show(Mode.STILL)
        wait_until(lambda: viewer.shows(dbus_qemu.screendump()), f"TigerVNC shows {mode.name} in {encoding}")
    finally:
        viewer.close()


def test_tigervnc_with_jpeg_shows_a_picture_at_rest_exactly(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.VIDEO)
    viewer = TigerVnc(x_server, f"127.0.0.1::{daemon.port}", options=("-NoJPEG=0", "-QualityLevel=6"))
    try:
        # the first change may be from an empty window to the first picture
        for _ in range(3):
            before = viewer.picture()
            wait_until(lambda before=before: not viewer.shows(before), "the picture moves")
        dbus_qemu.show(Mode.STILL)
        wait_until(lambda: viewer.shows(dbus_qemu.screendump()), "TigerVNC shows the picture exactly")
    finally:
        viewer.close()


def test_tigervnc_follows_a_new_size(daemon: Daemon, dbus_qemu: Qemu, x_server: XServer) -> None:
    viewer = TigerVnc(x_server, f"127.0.0.1::{daemon.port}")
    try:
        for mode in (Mode.SIZE_800X600, Mode.SIZE_1024X768):
            dbus_qemu.show(mode)
            dbus_qemu.show(Mode.STILL)
            wait_until(lambda: viewer.shows(dbus_qemu.screendump()), f"TigerVNC shows {mode.name}")
    finally:
        viewer.close()


@pytest.mark.parametrize("mode", [Mode.TEXT, Mode.VIDEO, Mode.DESKTOP], ids=lambda mode: mode.name)
async def test_vncdotool_and_asyncvnc_show_exactly_what_qemu_shows(
    daemon: Daemon, dbus_qemu: Qemu, short_dir: Path, mode: Mode
) -> None:
    dbus_qemu.show(mode)
    dbus_qemu.show(Mode.STILL)
    truth = dbus_qemu.screendump()
    assert np.array_equal(vncdotool_picture(short_dir, daemon.port), truth)
    async with asyncvnc.connect("127.0.0.1", daemon.port) as client:
        assert np.array_equal(from_rgb_bytes(await client.screenshot()), truth)


async def test_three_viewers_see_type_and_click_at_once_and_are_counted(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer, short_dir: Path
) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    dbus_qemu.show(Mode.STILL)
    truth = dbus_qemu.screendump()
    said = dbus_qemu.com1
    # before vncdotool starts: it types at its own time, each viewer another key and at another place
    said.forget()
    capture = short_dir / "capture.png"
    tiger = TigerVnc(x_server, f"127.0.0.1::{daemon.port}")
    tool = vncdotool(short_dir, daemon.port, "capture", str(capture), "pause", "5", "move", "200", "500",
                     "click", "1", "key", "c", "pause", "100")  # fmt: skip
    try:
        async with asyncvnc.connect("127.0.0.1", daemon.port) as client:
            assert np.array_equal(from_rgb_bytes(await client.screenshot()), truth)
            await eventually(lambda: tiger.shows(dbus_qemu.screendump()), "TigerVNC shows the picture")
            await eventually(lambda: is_whole_png(capture), "vncdotool has captured")
            assert len(daemon.sessions()) == 3
            assert daemon.status()["service"]["vnc"]["sessions"] == 3
            await eventually(lambda: "3 viewers" in tiger.title, "TigerVNC's title tells how many watch")
            assert np.array_equal(read_picture(capture), truth)

            client.keyboard.write("a")
            client.mouse.move(600, 300)
            client.mouse.click()
            await client.drain()
            await eventually(
                lambda: was_clicked(said.read(), 600, 300) and was_typed(said.text, 0x1E), "asyncvnc"
            )
            tiger.type("b")
            tiger.click(400, 400)
            await eventually(
                lambda: was_clicked(said.read(), 400, 400) and was_typed(said.text, 0x30), "TigerVNC"
            )
            await eventually(
                lambda: was_clicked(said.read(), 200, 500) and was_typed(said.text, 0x2E), "vncdotool"
            )

            await eventually(lambda: tiger.shows(dbus_qemu.screendump()), "TigerVNC shows all that was done")
            tiger.close()
            await eventually(lambda: len(daemon.sessions()) == 2, "two are left")
        tool.kill()
        await eventually(lambda: not daemon.sessions(), "nobody is left")
    finally:
        tiger.close()
        tool.stop()
