"""The management API of the daemon itself: `--api`."""

import http.client
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from support.authority import Authority
from support.bus import Bus
from support.daemon import Daemon
from support.ports import free_port
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


ROLES = """
[[certificate]]
role = "viewer"
cn = "viewer"

[[certificate]]
role = "operator"
cn = "operator"
"""


class SecureApi:
    """The API of a daemon by mutual TLS."""

    def __init__(self, port: int, authority: Authority) -> None:
        self._port = port
        self._authority = authority

    def ask(self, pair: Path | None, method: str, path: str) -> tuple[int, Any]:
        """Status and body, as somebody with the certificate in `pair`."""
        context = ssl.create_default_context(cafile=str(self._authority.path))
        if pair is not None:
            context.load_cert_chain(pair)
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=context, timeout=DEADLINE)
        with closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        return answer.status, json.loads(body) if body else None


def test_a_certificate_that_may_read_changes_nothing_by_any_route_and_one_without_a_role_reads_nothing(
    start_qemu: Any, bus: Bus, short_dir: Path
) -> None:
    authority = Authority(short_dir / "ca")
    viewer, operator, unknown = (authority.sign(name) for name in ("viewer", "operator", "unknown"))
    roles = short_dir / "roles.toml"
    roles.write_text(ROLES)
    qemu = start_qemu(dbus_display(bus.address), image=None)
    port = free_port()
    options = (
        *("--dbus-address", bus.address, "--api", f"127.0.0.1:{port}"),
        *("--tls-dir", str(authority.server(short_dir / "tls")), "--api-client-ca", str(authority.path)),
        *("--api-roles", str(roles)),
    )
    with closing(Daemon(short_dir, *options)) as daemon:
        wait_until(lambda: f"api 127.0.0.1:{port}" in daemon.process.output, "the API listens")
        wait_until(lambda: daemon.status()["vm"]["state"] == "attached", "the machine is attached")
        api = SecureApi(port, authority)
        table = [
            (method.upper(), path.replace("{", "").replace("}", ""), told["x-role"])
            for path, methods in api.ask(viewer, "GET", "/openapi.json")[1]["paths"].items()
            for method, told in methods.items()
        ]
        changing = [(method, path) for method, path, _ in table if method != "GET"]
        assert len(changing) > 10

        def state() -> object:
            read = ("/api/v1/settings", "/api/v1/tickets", "/api/v1/sessions")
            return [api.ask(viewer, "GET", path) for path in read]

        before = state()

        for method, path, role in table:
            if role != "viewer":
                assert api.ask(viewer, method, path)[0] == 403, (method, path)
            if role == "admin":
                assert api.ask(operator, method, path)[0] == 403, (method, path)
            assert api.ask(unknown, method, path)[0] == 403, (method, path)
        # each of these answers takes a second
        with ThreadPoolExecutor(16) as threads:
            asked = threads.map(lambda each: api.ask(None, *each[:2])[0], table)
            assert set(asked) == {401}

        assert state() == before
        assert qemu.qmp("query-status")["status"] == "running"
        assert "Traceback" not in daemon.process.output
