"""QEMU dies and comes back under viewers that stay."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support import rfb_wire
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.viewers import TigerVnc, XServer
from support.waiting import wait_until

ENCODINGS = (Encoding.TIGHT, Encoding.EXTENDED_DESKTOP_SIZE, Encoding.DESKTOP_NAME, Encoding.LAST_RECT)


def _state(daemon: Daemon) -> str:
    return str(daemon.status()["vm"]["state"])


def test_viewers_see_a_notice_and_then_the_new_machine(
    daemon: Daemon, dbus_qemu: Qemu, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    # TigerVNC would tell the guest where it is at any moment, and the guest draws it
    x_server.put_pointer_aside()
    viewer = TigerVnc(x_server, f"127.0.0.1::{daemon.port}")
    with RfbClient(daemon.address, encodings=ENCODINGS) as client, contextlib.closing(viewer):
        client.until_shown(desktop())
        for signal_number in (signal.SIGKILL, signal.SIGTERM):
            os.kill(dbus_qemu.pid, signal_number)
            dbus_qemu.kill()
            wait_until(lambda: _state(daemon) == "lost", "the machine is lost")
            client.until(lambda: not np.array_equal(client.values, desktop()), "the notice is shown")
            assert len(daemon.sessions()) == 2

            dbus_qemu.start()
            wait_until(lambda: _state(daemon) == "attached", "the machine is back")
            dbus_qemu.show(Mode.DESKTOP)
            client.until_shown(desktop())
            wait_until(lambda: viewer.shows(dbus_qemu.screendump()), "TigerVNC shows the new machine")
            assert len(daemon.sessions()) == 2

            client.send(rfb_wire.key_event(ord("a"), True) + rfb_wire.key_event(ord("a"), False))
            dbus_qemu.com1.wait_for("K1E\nK9E\n")


def test_the_daemon_may_be_there_before_the_machine(start_qemu: Callable[..., Qemu], short_dir: Path) -> None:
    """And reaches it by QMP, again after it was started anew."""
    monitor = short_dir / "q0" / "qmp2"
    with contextlib.closing(Daemon(short_dir, "--qmp", str(monitor))) as daemon:
        assert _state(daemon) == "waiting"
        with RfbClient(daemon.address, encodings=ENCODINGS) as client:
            client.refresh()
            qemu = start_qemu(PEER_TO_PEER_DISPLAY, extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
            qemu.show(Mode.DESKTOP)
            client.until_shown(desktop())
            qemu.kill()
            wait_until(lambda: _state(daemon) == "lost", "the machine is lost")
            monitor.unlink()
            qemu.start()
            qemu.show(Mode.DESKTOP)
            client.until_shown(desktop())
