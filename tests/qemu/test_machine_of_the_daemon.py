"""The machine as the daemon's users ask about it and switch it, attached by a bus or by QEMU's monitor."""

import http.client
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.bus import Bus
from support.daemon import Daemon
from support.qemu import PEER_TO_PEER_DISPLAY, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding, Xvp, xvp
from support.waiting import DEADLINE, wait_until

from sidecar.control.admin_client import AdminRefused, connect_admin

MACHINE = "/api/v1/machine"

FAIL, SHUTDOWN, RESET = 0, 2, 4
"""What xvp says."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def asked(path: Path, method: str, what: str) -> tuple[int, Any]:
    with closing(UnixConnection(path)) as connection:
        connection.request(method, what)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else None


def listens(daemon: Daemon, api: Path) -> None:
    wait_until(lambda: f"api unix:{api}" in daemon.process.output, "the API listens")


def admin(daemon: Daemon, command: str) -> Any:
    with connect_admin(daemon.run_directory / "admin.sock", time_limit=DEADLINE) as client:
        return client.ask(command)


def test_a_machine_on_a_bus_is_asked_by_a_monitor_beside_it(
    start_qemu: Any, bus: Bus, short_dir: Path
) -> None:
    monitor, api = short_dir / "control", short_dir / "api"
    qemu = start_qemu(dbus_display(bus.address), extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
    options = ("--dbus-address", bus.address, "--control-qmp", str(monitor), "--api", f"unix:{api}")
    with closing(Daemon(short_dir, *options)) as daemon:
        listens(daemon, api)
        assert asked(api, "GET", MACHINE)[1]["name"] == "guest"
        assert asked(api, "POST", f"{MACHINE}/pause") == (204, None)
        assert qemu.qmp("query-status")["status"] == "paused"
        assert admin(daemon, "machine")["state"] == "paused"
        admin(daemon, "machine-resume")
        assert asked(api, "POST", f"{MACHINE}/resume")[0] == 409
        admin(daemon, "machine-power-off")
        assert qemu.process.wait(DEADLINE) == 0
        assert asked(api, "GET", MACHINE)[0] == 503


def test_a_viewer_switches_a_machine_on_a_bus_by_a_monitor_beside_it(
    start_qemu: Any, bus: Bus, short_dir: Path
) -> None:
    monitor = short_dir / "control"
    qemu = start_qemu(dbus_display(bus.address), extra=("-qmp", f"unix:{monitor},server=on,wait=off"))
    options = ("--dbus-address", bus.address, "--control-qmp", str(monitor), "--allow-power")
    with (
        closing(Daemon(short_dir, *options)) as daemon,
        RfbClient(daemon.address, encodings=(Encoding.RAW, Encoding.XVP)) as viewer,
    ):
        viewer.refresh()
        qemu.com1.forget()
        viewer.send(xvp(RESET))
        qemu.com1.wait_for("READY")
        wait_until(lambda: "machine changed change=reset" in daemon.process.output, "it has been reset")
        admin(daemon, "machine-pause")
        # a machine that stands still does not hear its button
        viewer.send(xvp(SHUTDOWN))
        while viewer.receive() != Xvp(FAIL):
            pass
        assert "is paused and does not hear its power button" in daemon.process.output


def test_a_machine_that_is_attached_by_its_monitor_is_asked_by_that(start_qemu: Any, short_dir: Path) -> None:
    qemu = start_qemu(PEER_TO_PEER_DISPLAY)
    qemu.qmp.close()
    with closing(Daemon(short_dir, "--qmp", str(qemu.directory / "qmp"))) as daemon:
        wait_until(lambda: daemon.status()["vm"]["state"] == "attached", "the machine is attached")
        admin(daemon, "machine-pause")
        assert admin(daemon, "machine")["state"] == "paused"


def test_without_a_monitor_it_is_said_what_would_help(bus: Bus, short_dir: Path) -> None:
    api = short_dir / "api"
    with closing(Daemon(short_dir, "--dbus-address", bus.address, "--api", f"unix:{api}")) as daemon:
        listens(daemon, api)
        assert asked(api, "GET", MACHINE)[0] == 501
        with pytest.raises(AdminRefused, match="--control-qmp"):
            admin(daemon, "machine")
