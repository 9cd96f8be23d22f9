"""The management API of the daemon as a process, before a real QEMU, among those who mean it no good.

Each is answered or ended, nothing is changed, the log says so, and a viewer sees what the machine shows.
"""

import contextlib
import http.client
import json
import signal
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.authority import Authority
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.ports import free_port
from support.processes import open_descriptors, resident_bytes
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import DEADLINE, wait_until

MEGABYTE = 1 << 20

ROLES = "".join(
    f'[[certificate]]\nrole = "{role}"\ncn = "{role}"\n' for role in ("viewer", "operator", "admin")
)

SETTINGS, TICKETS, SESSIONS, MACHINE = (
    f"/api/v1/{name}" for name in ("settings", "tickets", "sessions", "machine")
)
JSON = "Content-Type: application/json\r\n"


class Place:
    """A daemon with its API by mutual TLS, attached to QEMU by its monitor, and somebody who watches."""

    def __init__(self, directory: Path, qemu: Qemu) -> None:
        self.qemu = qemu
        self._authority = authority = Authority(directory / "ca")
        foreign = Authority(directory / "foreign", "foreign authority")
        self._pairs = {name: authority.sign(name) for name in ("viewer", "operator", "admin", "unknown")} | {
            "expired": authority.sign("old", subject="/O=Example/CN=admin", until="20200102000000Z"),
            "foreign": foreign.sign("admin"),
            "self-signed": authority.self_signed_client("admin-alone"),
            "server's": authority.sign("other", subject="/O=Example/CN=admin", kind="server"),
        }
        roles = directory / "roles.toml"
        roles.write_text(ROLES)
        self.port = free_port()
        options = (
            *("--qmp", str(qemu.directory / "qmp"), "--log-json", "--api", f"127.0.0.1:{self.port}"),
            *("--tls-dir", str(authority.server(directory / "tls"))),
            *("--api-client-ca", str(authority.path), "--api-roles", str(roles)),
        )
        self.daemon = Daemon(directory, *options, auth=("--auth", "ticket"))

    def context(self, who: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._authority.path))
        if who is not None:
            context.load_cert_chain(self._pairs[who])
        return context

    def connection(self, who: str | None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.context(who), timeout=DEADLINE
        )

    def ask(self, who: str | None, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and body of the answer."""
        with contextlib.closing(self.connection(who)) as connection:
            if body is None:
                connection.request(method, path)
            else:
                connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            return answer_of(connection)

    def plain(self, source: str = "127.0.0.1") -> socket.socket:
        """A connection that has not said anything."""
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE, (source, 0))

    def rough(self, who: str, data: bytes, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """A connection by which that was said."""
        connection = self.context(who).wrap_socket(self.plain(source), server_hostname="localhost")
        connection.sendall(data)
        return connection

    def said(self, who: str, *requests: str) -> list[int]:
        """The statuses of all that is answered to these on one connection, until it ends."""
        with self.rough(who, "".join(requests).encode()) as connection:
            return statuses(everything(connection))

    def log(self, event: str) -> list[dict[str, Any]]:
        """The lines of that event."""
        lines = [json.loads(line) for line in self.daemon.process.output.splitlines() if line[:1] == "{"]
        return [line for line in lines if line["event"] == event]

    def refused(self) -> Counter[tuple[str, int]]:
        """What the audit log tells of changes that were refused: by whom, and with what status."""
        lines = [line for line in self.log("audit") if line["outcome"] == "refused"]
        return Counter((line["caller"].removesuffix(",O=Example"), line["status"]) for line in lines)

    def state(self) -> object:
        """What there is that could be changed."""
        paths = (SETTINGS, TICKETS, SESSIONS, MACHINE)
        answers = [self.ask("viewer", "GET", path)[1] for path in paths]
        answers[-1] = answers[-1]["state"]
        return answers

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody is let in by a ticket, and sees at the end what the guest shows then."""
        made = self.ask("operator", "POST", TICKETS, {})[1]
        with RfbClient(self.daemon.address, password=made["secret"], encodings=(Encoding.TIGHT,)) as viewer:
            self.qemu.show(Mode.DESKTOP)
            viewer.until_shown(desktop())
            yield
            self.qemu.show(Mode.STILL)
            self.qemu.show(Mode.DESKTOP)
            viewer.until_shown(desktop())


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body else None


def everything(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    data = b""
    # who hangs up on somebody that has more to say resets the connection, and TLS may lack its farewell
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while more := connection.recv(1 << 16):
            data += more
    return data


def statuses(data: bytes) -> list[int]:
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


def request(method: str, path: str, headers: str = "", body: str = "", *, last: bool = False) -> str:
    if body:
        headers += f"{JSON}Content-Length: {len(body)}\r\n"
    if last:
        headers += "Connection: close\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}"


@pytest.fixture
def place(start_qemu: Any, short_dir: Path) -> Iterator[Place]:
    qemu = start_qemu(PEER_TO_PEER_DISPLAY)
    # it serves one at a time
    qemu.qmp.close()
    place = Place(short_dir, qemu)
    with contextlib.closing(place.daemon) as daemon:
        wait_until(lambda: f"api 127.0.0.1:{place.port}" in daemon.process.output, "the API listens")
        # who watches does not follow another size
        size = {"width": 1024, "height": 768}
        wait_until(
            lambda: any(size.items() <= console.items() for console in daemon.status()["vm"]["consoles"]),
            "the daemon is attached",
        )
        yield place


def test_no_certificate_that_is_bad_and_no_request_that_is_strange_changes_anything(place: Place) -> None:
    with place.watching():
        before = place.state()
        changes: list[tuple[str, str, object]] = [
            ("PATCH", SETTINGS, {"max_sessions": 1}),
            ("DELETE", SESSIONS, None),
            ("POST", f"{MACHINE}/power-off", None),
        ]
        for who in ("expired", "foreign", "self-signed", "server's"):
            for change in changes:
                with pytest.raises(OSError):  # noqa: PT011 - an alert or a reset, whichever comes first
                    place.ask(who, *change)
        wait_until(lambda: len(place.log("TLS handshake failed")) == 12, "the log tells of each")
        for change in changes:
            assert place.ask("unknown", *change)[0] == 403
            assert place.ask("viewer", *change)[0] == 403
        # an answer that takes a second
        assert place.ask(None, *changes[0])[0] == 401
        assert place.refused() == {("CN=unknown", 403): 3, ("CN=viewer", 403): 3, ("nobody", 401): 1}

        large = '{"note": "' + "x" * 70000 + '"}'
        bodies = {
            request("POST", TICKETS, body=large, last=True): 413,
            request("POST", TICKETS, f"{JSON}Content-Length: {1 << 40}\r\n", last=True) + large: 413,
            request("POST", TICKETS, f"{JSON}Transfer-Encoding: chunked\r\n", last=True)
            + f"{len(large):x}\r\n{large}\r\n0\r\n\r\n": 413,
            request("POST", TICKETS, body="[" * 30000, last=True): 400,
            request("POST", TICKETS, body='{"valid": 1e999}', last=True): 422,
            request("POST", TICKETS, body='{"valid": -1}', last=True): 422,
            request("POST", TICKETS, body='{"secret": {"$ne": ""}}', last=True): 422,
            request("POST", TICKETS, "Content-Type: text/plain\r\nContent-Length: 2\r\n", last=True)
            + "{}": 415,
        }
        for text, status in bodies.items():
            assert place.said("operator", text) == [status], text[:200]

        tricks = {
            "/api/v1/status/../settings": 404,
            "/api/v1/%2e%2e/v1/settings": 404,
            "//api/v1/settings": 404,
            "/api/v1/settings/": 404,
            "/api/v1/settings;a": 404,
            "/api/v1/settings%00": 404,
            "/api/v1/%73ettings": 403,
            f"https://localhost:{place.port}/api/v1/settings": 403,
        }
        body = '{"max_sessions": 1}'
        for path, status in tricks.items():
            assert place.said("viewer", request("PATCH", path, body=body, last=True)) == [status], path
        override = "X-HTTP-Method-Override: PATCH\r\nX-Original-URL: /api/v1/settings\r\n"
        change = request("PATCH", SETTINGS, body=body)
        pipelined = [
            request("GET", SETTINGS, override),
            *[change] * 10,
            request("DELETE", SESSIONS),
            request("GET", SETTINGS, last=True),
        ]
        assert place.said("viewer", *pipelined) == [200, *[403] * 11, 200]

        assert place.state() == before
    refused = place.refused()
    assert refused["CN=viewer", 403] == 3 + 2 + 11
    for status in (413, 400, 422, 415):
        assert refused["CN=operator", status] == list(bodies.values()).count(status)


def test_those_who_stall_and_a_crowd_and_ten_changes_at_once_hold_up_nobody(place: Place) -> None:
    daemon = place.daemon
    descriptors, memory = open_descriptors(daemon.pid), resident_bytes(daemon.pid)
    headers = request("POST", TICKETS, f"{JSON}Content-Length: 20\r\n").encode()
    with contextlib.ExitStack() as stack, place.watching():
        silent = [stack.enter_context(place.plain()) for _ in range(2)]
        # the beginning of a ClientHello
        silent[1].sendall(bytes.fromhex("16030102000100"))
        stalled = [stack.enter_context(place.rough("operator", headers[:size])) for size in (0, 9, -2)]
        late = stack.enter_context(place.rough("operator", headers + b"{"))
        events = request("GET", "/api/v1/events").encode()
        readers = [stack.enter_context(place.rough("viewer", events, "127.0.0.3")) for _ in range(8)]
        for reader in readers:
            assert statuses(reader.recv(12))
        with place.rough("viewer", events, "127.0.0.3") as one_more:
            assert one_more.recv(12) == b"HTTP/1.1 503"
        with contextlib.ExitStack() as crowd:
            for _ in range(100):
                crowd.enter_context(place.plain("127.0.0.4"))
            refused = "HTTP connection refused, there are too many"
            wait_until(lambda: place.log(refused), "one address has as many as it may have")
            assert place.ask("viewer", "GET", SESSIONS)[0] == 200

        ten_changes_at_once(place)

        for connection in (*silent, *stalled):
            assert everything(connection) == b""
        assert statuses(everything(late)) == [408]
    wait_until(lambda: open_descriptors(daemon.pid) <= descriptors, "every connection is closed")
    assert resident_bytes(daemon.pid) - memory < 40 * MEGABYTE


def ten_changes_at_once(place: Place) -> None:
    """One goes, and the others are told no more than that there is one."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(10) as threads:
        connections = [
            stack.enter_context(contextlib.closing(place.connection("operator"))) for _ in range(10)
        ]
        for connection in connections:
            connection.connect()
        answered: list[tuple[int, Any]] = []

        def pause(connection: http.client.HTTPSConnection) -> None:
            connection.request("POST", f"{MACHINE}/pause")
            answered.append(answer_of(connection))

        # the first to come has to wait for it
        place.qemu.process.signal(signal.SIGSTOP)
        try:
            pausing = [threads.submit(pause, connection) for connection in connections]
            wait_until(lambda: len(answered) == 9, "nine have had their answer")
        finally:
            place.qemu.process.signal(signal.SIGCONT)
        for each in pausing:
            each.result()
    busy = "busy: another change of the machine is under way, try again when it has ended"
    assert answered == [*[(409, {"error": busy})] * 9, (204, None)]
    pauses = [line for line in place.log("audit") if line["operation"] == "pauseMachine"]
    assert Counter((line["outcome"], line["status"]) for line in pauses) == {
        ("refused", 409): 9,
        ("done", 204): 1,
    }
    assert place.ask("viewer", "GET", MACHINE)[1]["state"] == "paused"
    assert place.ask("operator", "POST", f"{MACHINE}/resume")[0] == 204
