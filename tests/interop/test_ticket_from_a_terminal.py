"""An administrator at a terminal: who is there, out with one of them, and a ticket for ten minutes.

One daemon with every way in, a real QEMU, the command line, curl with client certificates, and the three
viewers that people use.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.authority import Authority
from support.bus import Bus
from support.daemon import COMMAND, Daemon
from support.freerdp import FreeRdp, Settings, ending
from support.guest_image import Mode, was_typed
from support.novnc import NoVnc, novnc
from support.ports import free_port
from support.processes import Process
from support.qemu import Qemu
from support.rfb_client import RfbClient, no_verification
from support.rfb_session import Refused
from support.viewers import TigerVnc, XServer, tiger_ending
from support.waiting import eventually, eventually_true, wait_until

ROLES = """
[[certificate]]
role = "viewer"
cn = "viewer"

[[certificate]]
role = "operator"
cn = "operator"
"""

PRESSED = "K1E\n"
"""What the guest says when somebody types an "a"."""


@dataclass
class Place:
    """The daemon, and what an administrator and viewers need to know of it."""

    daemon: Daemon
    qemu: Qemu
    x_server: XServer
    directory: Path
    web_port: int
    api_port: int
    tls: Path
    certificates: dict[str, Path]
    authority: Path

    def at_terminal(self, *arguments: str) -> str:
        """What a command of `vdi-sidecar` prints."""
        command = [*COMMAND, *arguments, "--run-dir", str(self.daemon.run_directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def curl(self, who: str, path: str, *arguments: str) -> list[str]:
        """The command line of curl with a client certificate."""
        return [
            *("curl", "--silent", "--show-error", "--no-buffer", "--cacert", str(self.authority)),
            *("--cert", str(self.certificates[who]), "--write-out", "\n%{http_code}", *arguments),
            f"https://127.0.0.1:{self.api_port}{path}",
        ]

    def asked(self, who: str, path: str, *arguments: str) -> tuple[int, Any]:
        """The status and the body of an answer of the API."""
        command = self.curl(who, path, "--max-time", "60", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body else None

    def tiger_options(self, secret: str) -> tuple[str, ...]:
        stored = subprocess.run(["vncpasswd", "-f"], input=secret.encode(), capture_output=True, check=True)
        path = self.directory / f"vncpasswd{len(list(self.directory.glob('vncpasswd*')))}"
        path.write_bytes(stored.stdout)
        return ("-SecurityTypes", "X509Vnc", "-X509CA", str(self.authority), "-passwd", str(path))

    @property
    def tiger_address(self) -> str:
        return f"localhost::{self.daemon.port}"

    def tigervnc(self, secret: str) -> TigerVnc:
        return TigerVnc(self.x_server, self.tiger_address, options=self.tiger_options(secret))

    def freerdp(self, secret: str) -> Settings:
        return Settings(self.daemon.rdp, security="nla", user="anybody", password=secret)

    def shown(self, viewer: TigerVnc | FreeRdp) -> None:
        wait_until(lambda: viewer.shows(self.qemu.screendump()), "the viewer shows what QEMU shows")

    async def shown_in(self, page: NoVnc) -> None:
        async def does() -> bool:
            return bool(np.array_equal(await page.picture(), self.qemu.screendump()))

        await eventually_true(does, "noVNC shows what QEMU shows")

    def light(self, secret: str) -> RfbClient:
        return RfbClient(self.daemon.address, password=secret, tls=no_verification())


@pytest.fixture
def place(bus: Bus, dbus_qemu: Qemu, wide_x_server: XServer, short_dir: Path) -> Iterator[Place]:
    authority = Authority(short_dir / "ca")
    tls = authority.server(short_dir / "tls")
    certificates = {name: authority.sign(name) for name in ("viewer", "operator")}
    roles = short_dir / "roles.toml"
    roles.write_text(ROLES)
    web, api = free_port(), free_port()
    options = (
        *("--dbus-address", bus.address, "--tls-dir", str(tls)),
        *("--web", f"127.0.0.1:{web}", "--api", f"127.0.0.1:{api}"),
        *("--api-client-ca", str(authority.path), "--api-roles", str(roles)),
    )
    with closing(Daemon(short_dir, *options, auth=("--auth", "ticket"), rdp=True)) as daemon:
        wait_until(lambda: f"api 127.0.0.1:{api}" in daemon.process.output, "the API listens")
        wait_until(lambda: daemon.status()["vm"]["consoles"][0]["width"] == 1024, "the daemon is attached")
        wide_x_server.put_pointer_aside()
        dbus_qemu.show(Mode.STILL)
        yield Place(daemon, dbus_qemu, wide_x_server, short_dir, web, api, tls, certificates, authority.path)


def endings(events: Path) -> dict[str, str]:
    """Why sessions have ended that were let in, by id, as the stream of events has it."""
    told = [json.loads(line[6:]) for line in events.read_text().splitlines() if line.startswith("data: ")]
    return {
        each["session"]["id"]: each["reason"]
        for each in told
        if each["event"] == "disconnected" and each["session"]["initialized"]
    }


async def test_a_view_only_ticket_works_in_three_viewers_and_is_of_no_use_when_it_is_over(
    place: Place,
) -> None:
    daemon, said = place.daemon, place.qemu.com1
    with ExitStack() as stack:
        events = Process(place.curl("viewer", "/api/v1/events"), place.directory / "events.log")
        stack.callback(events.stop)
        wait_until(lambda: ": events" in events.output, "events are told")

        made = json.loads(place.at_terminal("ticket", "create", "--valid", "10m", "--view-only", "--json"))
        secret, ticket = made["secret"], made["ticket"]
        assert ticket["view_only"]
        assert ticket["valid_to"] - ticket["made_at"] == pytest.approx(600, abs=30)
        said.forget()
        tiger = stack.enter_context(closing(place.tigervnc(secret)))
        freerdp = stack.enter_context(closing(FreeRdp(place.x_server, place.freerdp(secret))))
        freerdp.move(1400, 0)
        async with novnc(place.directory, place.web_port, secret, place.tls) as page:
            for viewer in (tiger, freerdp):
                place.shown(viewer)
                viewer.type("a")
            await place.shown_in(page)
            await page.type("a")

            listed = json.loads(place.at_terminal("sessions", "--json"))
            by = {(each["protocol"], each["transport"]): each["id"] for each in listed}
            vnc, web, rdp = (by[way] for way in (("vnc", "tcp"), ("vnc", "websocket"), ("rdp", "tcp")))
            assert len(listed) == 3
            for each in listed:
                assert (each["ticket"], each["view_only"], each["tls"]) == (ticket["id"], True, True)

            assert place.at_terminal("disconnect", vnc) == f"ended {vnc}\n"
            tiger.process.wait()
            assert {each["id"] for each in daemon.sessions()} == {web, rdp}

            # the API makes and ends another; it may type, and so proves that the guest would tell
            wish = ("-H", "Content-Type: application/json", "--data", '{"valid": 600, "end_sessions": true}')
            assert place.asked("viewer", "/api/v1/tickets", *wish)[0] == 403
            status, other = place.asked("operator", "/api/v1/tickets", *wish)
            assert status == 200
            with closing(place.tigervnc(other["secret"])) as typist:
                place.shown(typist)
                typist.type("b")
                wait_until(lambda: was_typed(said.read(), 0x30), "what is typed arrives")
                (typing,) = (each for each in daemon.sessions() if each["ticket"] == other["ticket"]["id"])
                assert not typing["view_only"]
                path = f"/api/v1/tickets/{other['ticket']['id']}"
                assert place.asked("viewer", path, "--request", "DELETE")[0] == 403
                assert place.asked("operator", path, "--request", "DELETE")[0] == 200
                typist.process.wait()

            # the two others have stayed, and go with their ticket
            assert PRESSED not in said.read()
            place.qemu.show(Mode.DESKTOP)
            place.shown(freerdp)
            await place.shown_in(page)
            place.at_terminal("ticket", "revoke", "--end-sessions", ticket["id"])
            freerdp.process.wait()
            await eventually_true(lambda: _is_closed(page), "noVNC is told that it is over")
        wait_until(lambda: not daemon.sessions(), "nobody is left")
        assert PRESSED not in said.read()

        late, gone = await _dies_by_itself(place)
        for old in (late, secret, other["secret"]):
            with pytest.raises(Refused):
                place.light(old)
        told = tiger_ending(place.x_server, place.tiger_address, place.tiger_options(late))
        assert "uthentication" in told
        end = await asyncio.to_thread(ending, place.x_server, place.freerdp(late))
        assert "ERRCONNECT_LOGON_FAILURE" in end.output
        async with novnc(place.directory, place.web_port, late, place.tls) as page:
            await eventually_true(lambda: _is_closed(page), "noVNC says that it is not let in")
            assert (await page.picture()).size == 0
        assert daemon.sessions() == []

        expected = {vnc: "disconnected", **dict.fromkeys((typing["id"], rdp, web, gone), "ticket-over")}
        await eventually(lambda: endings(events.log) == expected, "events tell of each end")
    output = daemon.process.output
    for each in (secret, other["secret"], late):
        assert each not in output


async def _is_closed(page: NoVnc) -> bool:
    status = await page.status()
    return any(word in status for word in ("closed", "wrong", "isconnected"))


async def _dies_by_itself(place: Place) -> tuple[str, str]:
    """A ticket that has let somebody in, and ended with the session when its time was over."""
    for seconds in (2, 4, 8, 16, 32):
        arguments = ("--valid", str(seconds), "--view-only", "--end-sessions", "--json")
        secret = json.loads(place.at_terminal("ticket", "create", *arguments))["secret"]
        try:
            client = place.light(secret)
        except Refused:
            # it took longer than that to get here
            continue
        with client:
            sessions = place.daemon.sessions()
            wait_until(lambda: not place.daemon.sessions(), "the session has ended with its ticket", 60)
        if sessions:
            return secret, sessions[0]["id"]
    raise AssertionError("nobody was let in")
