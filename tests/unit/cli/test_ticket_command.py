"""`vdi-sidecar ticket` as a person meets it."""

import asyncio
import io
import json
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.access.grant import Attempt
from sidecar.access.tickets import Tickets
from sidecar.cli import main
from sidecar.cli.program import program
from sidecar.cli.ticket import ticket
from sidecar.control.admin import AdminServer
from sidecar.control.admin_commands import CommandTable
from sidecar.control.admin_tickets import ticket_commands
from sidecar.control.ticket_watch import TicketWatch
from sidecar.session.registry import Registry

Capture = pytest.CaptureFixture[str]

VNC = Attempt("vnc")


class Daemon:
    """Tickets with an admin socket, on a loop of its own."""

    def __init__(self, run_dir: Path, *, asks: bool = True) -> None:
        self.run_dir = run_dir
        self.registry = Registry()
        self.tickets = Tickets(lambda: 1_700_000_000.0, lambda below: int.from_bytes(os.urandom(4)) % below)
        self._asks = asks
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tickets = self.tickets if self._asks else None
        with TicketWatch(tickets, self.registry, clock=lambda: 1_700_000_000.0) as watch:
            async with AdminServer(self.run_dir / "admin.sock", CommandTable(*ticket_commands(watch))):
                self._started.set()
                await self._stop.wait()

    def __enter__(self) -> "Daemon":
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def secrets(self) -> list[str | None]:
        return [each.password for each in self.tickets.candidates(VNC, "")]


@pytest.fixture(autouse=True)
def surroundings(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(program.commands, "ticket", ticket)
    monkeypatch.setenv("VDI_SIDECAR_RUN_DIR", str(short_dir))
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    with Daemon(short_dir) as daemon:
        yield daemon


def type_in(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_a_ticket_is_shown_with_its_secret_once(daemon: Daemon, capsys: Capture) -> None:
    assert main(["ticket", "create", "--valid", "1h", "--view-only", "--console", "0", "--note", "Ann"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["ticket"] == "t1"
    assert [lines["secret"]] == daemon.secrets
    assert lines["for"] == "rdp vnc web, view-only, console 0"
    assert main(["ticket", "list"]) == 0
    shown = capsys.readouterr().out
    assert "t1" in shown
    assert "Ann" in shown
    assert lines["secret"] not in shown
    assert main(["ticket", "list", "--json"]) == 0
    shown = capsys.readouterr().out
    assert lines["secret"] not in shown
    assert json.loads(shown)[0]["valid_to"] == 1_700_003_600


def test_programs_get_it_as_json(daemon: Daemon, capsys: Capture) -> None:
    assert main(["ticket", "create", "--json", "--once", "--protocol", "vnc", "--end-sessions"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [made["secret"]] == daemon.secrets
    assert made["ticket"]["once"]
    assert made["ticket"]["end_sessions"]


def test_a_secret_of_ones_own_comes_from_a_file_or_standard_input(
    daemon: Daemon, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    assert main(["ticket", "create", "--password-file", str(tmp_path / "secret")]) == 0
    type_in(monkeypatch, b"typed in\n")
    assert main(["ticket", "create", "--password-stdin"]) == 0
    assert daemon.secrets == ["from a file", "typed in"]
    both = ["--password-stdin", "--password-file", str(tmp_path / "secret")]
    assert main(["ticket", "create", *both]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_secret_can_go_into_a_file_that_nobody_else_can_read(
    daemon: Daemon, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "secret"
    assert main(["ticket", "create", "--write-to", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    (secret,) = daemon.secrets
    assert secret is not None
    assert file.read_text() == f"{secret}\n"
    assert secret not in capsys.readouterr().out
    # one that is there is not written over
    assert main(["ticket", "create", "--write-to", str(file)]) == 2
    assert "name another one" in capsys.readouterr().err
    assert len(daemon.secrets) == 1


def test_a_ticket_that_is_refused_leaves_no_file(daemon: Daemon, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "secret"
    assert main(["ticket", "create", "--valid", "1000d", "--write-to", str(file)]) == 1
    assert capsys.readouterr().err == "vdi-sidecar: a ticket is valid for 30 days at most\n"
    assert not file.exists()


def test_a_ticket_whose_secret_cannot_be_written_is_none(
    daemon: Daemon, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "secret"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # as on a disk that is full
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        assert main(["ticket", "create", "--write-to", str(file)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capsys.readouterr().err == (
        f"vdi-sidecar: cannot write {file}, so there is no ticket: file too large\n"
    )
    assert daemon.secrets == []
    assert not file.exists()


def test_tickets_are_taken_away(daemon: Daemon, capsys: Capture) -> None:
    for _ in range(2):
        main(["ticket", "create"])
    capsys.readouterr()
    assert main(["ticket", "revoke", "t2", "--end-sessions"]) == 0
    assert capsys.readouterr().out == "revoked t2\n"
    assert len(daemon.secrets) == 1
    assert main(["ticket", "revoke", "t2"]) == 1
    assert "there is no ticket 't2'" in capsys.readouterr().err
    main(["ticket", "revoke", "t1"])
    capsys.readouterr()
    assert main(["ticket", "list"]) == 0
    assert capsys.readouterr().out == "there are no tickets\n"


def test_where_nobody_is_asked_for_anything_it_is_said_what_to_do(short_dir: Path, capsys: Capture) -> None:
    with Daemon(short_dir, asks=False):
        assert main(["ticket", "create"]) == 1
    assert "start the daemon with --auth ticket" in capsys.readouterr().err


def test_no_option_takes_the_secret_itself(capsys: Capture) -> None:
    assert main(["ticket", "create", "--help"]) == 0
    assert "there is no option for the secret itself" in " ".join(capsys.readouterr().out.lower().split())
