"""The daemon's own tickets, from the terminal to a session: no machine is needed for that."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import COMMAND, Daemon
from support.rfb_client import RfbClient
from support.rfb_session import Refused
from support.waiting import wait_until


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    """Waits for a machine that does not come, for those who have tickets."""
    daemon = Daemon(short_dir, "--qmp", str(short_dir / "qmp"), auth=("--auth", "ticket"), rdp=True)
    yield daemon
    daemon.close()


def ticket(daemon: Daemon, *arguments: str) -> str:
    """What `vdi-sidecar ticket` prints."""
    command = [*COMMAND, "ticket", *arguments, "--run-dir", str(daemon.run_directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_a_ticket_from_the_terminal_opens_a_session_and_its_end_ends_it(daemon: Daemon) -> None:
    with pytest.raises(Refused):
        RfbClient(daemon.address, password="anything")
    made = json.loads(ticket(daemon, "create", "--view-only", "--console", "0", "--end-sessions", "--json"))
    secret, number = made["secret"], made["ticket"]["id"]
    with RfbClient(daemon.address, password=secret) as client:
        client.refresh()
        (session,) = daemon.sessions()
        assert (session["ticket"], session["view_only"], session["console"]) == (number, True, 0)
        ticket(daemon, "revoke", "--end-sessions", number)
        wait_until(lambda: not daemon.sessions(), "the session has ended with its ticket")
    with pytest.raises(Refused):
        RfbClient(daemon.address, password=secret)
    assert secret not in daemon.process.output
