"""The management API of the daemon itself: `--api`."""

import http.client
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from support.bus import Bus
from support.daemon import Daemon
from support.qemu import dbus_display
from support.waiting import DEADLINE, wait_until

USB = (
    *("-device", "qemu-xhci", "-chardev", "dbus,id=usbredir0,name=org.qemu.usbredir"),
    *("-device", "usb-redir,chardev=usbredir0,id=redir0"),
)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def asked(path: Path, what: str) -> Any:
    with closing(UnixConnection(path)) as connection:
        connection.request("GET", f"/api/v1/{what}")
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())


def test_the_daemon_tells_its_status_and_the_slots_of_its_machine(
    start_qemu: Any, bus: Bus, short_dir: Path
) -> None:
    start_qemu(dbus_display(bus.address), image=None, extra=USB)
    path = short_dir / "api"
    with closing(Daemon(short_dir, "--dbus-address", bus.address, "--api", f"unix:{path}")) as daemon:
        wait_until(lambda: asked(path, "usb")["slots"], "the slot is there")
        status = asked(path, "status")
        assert status["service"]["usb"] == {"devices": 0}
        assert status["vm"] == daemon.status()["vm"]
    assert not path.exists()
