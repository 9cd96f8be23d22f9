"""People with RDP and VNC viewers use one machine at once, come, go and change over."""

import os
import signal
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from support.bus import Bus
from support.daemon import Daemon
from support.freerdp import FreeRdp, Graphics, Settings
from support.guest_image import Mode, desktop, typed, was_clicked
from support.qemu import Qemu
from support.rdp_clients import Rdesktop, aardwolf
from support.viewers import TigerVnc, XServer
from support.waiting import wait_until

KEYS = {"a": 0x1E, "b": 0x30, "c": 0x2E, "d": 0x20, "e": 0x12}
"""X names and scan codes."""


def _counts(daemon: Daemon) -> tuple[int, int]:
    service = daemon.status()["service"]
    return service["rdp"]["sessions"], service["vnc"]["sessions"]


def test_five_viewers_of_two_protocols_see_type_and_click_at_once_and_are_counted(
    password_daemon: Daemon, password: str, vnc_password_file: Path, dbus_qemu: Qemu, wide_x_server: XServer
) -> None:
    daemon, x_server = password_daemon, wide_x_server
    dbus_qemu.show(Mode.DESKTOP)
    dbus_qemu.show(Mode.STILL)
    common = {"address": daemon.rdp, "password": password}
    with ExitStack() as stack:
        viewers = [
            FreeRdp(x_server, Settings(**common)),
            FreeRdp(x_server, Settings(**common, security="nla", graphics=Graphics.PIPELINE)),
            FreeRdp(x_server, Settings(**common, graphics=Graphics.AVC420)),
            Rdesktop(x_server, daemon.rdp, password=password),
            TigerVnc(x_server, f"127.0.0.1::{daemon.port}", options=("-passwd", str(vnc_password_file))),
        ]
        for number, viewer in enumerate(viewers):
            stack.callback(viewer.close)
            viewer.move(1024 * (number % 3), 768 * (number // 3))
        assert _counts(daemon) == (4, 1)
        listed = [session["protocol"] for session in daemon.sessions()]
        assert sorted(listed) == ["rdp"] * 4 + ["vnc"]
        for number, (viewer, (key, code)) in enumerate(zip(viewers, KEYS.items(), strict=True)):
            name = type(viewer).__name__
            x, y = 150 + 170 * number, 500
            dbus_qemu.com1.forget()
            viewer.type(key)
            dbus_qemu.com1.wait_for(typed(code))
            viewer.click(x, y)
            wait_until(lambda x=x, y=y: was_clicked(dbus_qemu.com1.read(), x, y), f"{name} {number} clicks")
        for number, viewer in enumerate(viewers):
            wait_until(
                lambda viewer=viewer: viewer.shows(dbus_qemu.screendump()),
                f"{type(viewer).__name__} {number} shows all that was done",
            )
        viewers[0].close()
        wait_until(lambda: _counts(daemon) == (3, 1), "three and one are left")
        viewers[1].process.kill()
        wait_until(lambda: _counts(daemon) == (2, 1), "two and one are left")
    wait_until(lambda: _counts(daemon) == (0, 0), "nobody is left")


def test_somebody_comes_again_as_often_as_they_like(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.STILL)
    for graphics in (Graphics.PIPELINE, Graphics.BITMAPS, Graphics.AVC420) * 2:
        with closing(FreeRdp(x_server, Settings(daemon.rdp, graphics=graphics))) as viewer:
            wait_until(lambda viewer=viewer: viewer.shows(dbus_qemu.screendump()), "the picture is there")
        wait_until(lambda: _counts(daemon) == (0, 0), "the session is over")


def test_a_person_moves_from_vnc_to_rdp_and_the_machine_does_not_notice(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.TYPING)
    dbus_qemu.com1.forget()
    with closing(TigerVnc(x_server, f"127.0.0.1::{daemon.port}")) as before:
        before.type("a")
        dbus_qemu.com1.wait_for(typed(0x1E))
        with closing(FreeRdp(x_server, Settings(daemon.rdp, graphics=Graphics.PIPELINE))) as after:
            wait_until(lambda: _counts(daemon) == (1, 1), "both are there")
            before.close()
            wait_until(lambda: _counts(daemon) == (1, 0), "the VNC viewer is gone")
            after.type("b")
            dbus_qemu.com1.wait_for(typed(0x30))
            wait_until(lambda: after.shows(dbus_qemu.screendump()), "both characters are shown")
    # neither reset nor in another mode, and nothing is left pressed
    said = dbus_qemu.com1.read()
    assert "READY" not in said
    assert "MODE" not in said


def test_rdp_viewers_see_a_notice_and_then_the_new_machine(
    daemon: Daemon, dbus_qemu: Qemu, wide_x_server: XServer
) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    with ExitStack() as stack:
        viewers = [
            FreeRdp(wide_x_server, Settings(daemon.rdp, graphics=Graphics.PIPELINE)),
            Rdesktop(wide_x_server, daemon.rdp),
        ]
        for number, viewer in enumerate(viewers):
            stack.callback(viewer.close)
            viewer.move(1024 * number, 0)
            wait_until(lambda viewer=viewer: viewer.shows(desktop()), "the desktop is shown")
        for signal_number in (signal.SIGKILL, signal.SIGTERM):
            os.kill(dbus_qemu.pid, signal_number)
            dbus_qemu.kill()
            for viewer in viewers:
                wait_until(lambda viewer=viewer: not viewer.shows(desktop()), "the notice is shown")
            assert _counts(daemon) == (2, 0)
            dbus_qemu.start()
            dbus_qemu.show(Mode.DESKTOP)
            for viewer, (key, code) in zip(viewers, KEYS.items(), strict=False):
                wait_until(lambda viewer=viewer: viewer.shows(dbus_qemu.screendump()), "it is back")
                viewer.type(key)
                dbus_qemu.com1.wait_for(typed(code))
            assert _counts(daemon) == (2, 0)


def test_a_viewer_that_may_only_watch_sees_and_changes_nothing(
    bus: Bus, dbus_qemu: Qemu, x_server: XServer, short_dir: Path
) -> None:
    dbus_qemu.show(Mode.STILL)
    with closing(Daemon(short_dir, "--dbus-address", bus.address, "--view-only", rdp=True)) as daemon:
        with closing(FreeRdp(x_server, Settings(daemon.rdp, graphics=Graphics.PIPELINE))) as viewer:
            wait_until(lambda: viewer.shows(dbus_qemu.screendump()), "the picture is there")
            dbus_qemu.com1.forget()
            viewer.type("q")
            viewer.click(300, 300)
            # by then all that it sent before has been read
            aardwolf(short_dir, daemon.rdp, keys=[0x10], clicks=[(300, 300)])
            dbus_qemu.show(Mode.DESKTOP)
            wait_until(lambda: viewer.shows(desktop()), "it still sees what happens")
            said = dbus_qemu.com1.read()
            assert said == f"MODE {Mode.DESKTOP:02X}\n"
            assert np.array_equal(dbus_qemu.screendump(), desktop())
