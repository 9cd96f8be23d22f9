"""The daemon itself, run as its users run it: a process of its own, with its command line."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.ports import free_port, is_listening
from support.processes import Process
from support.waiting import wait_until

from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin_client import connect_admin

COMMAND = (sys.executable, "-W", "error", "-m", "sidecar")


class Daemon:
    """`vdi-sidecar serve` on loopback ports; it listens when the constructor returns.

    `rdp`: whether it serves RDP too; the address is the attribute `rdp` then.
    """

    def __init__(
        self,
        directory: Path,
        *options: str,
        auth: Sequence[str] = ("--auth", "none"),
        rdp: bool = False,
    ) -> None:
        self.port = free_port()
        self.rdp = ("127.0.0.1", free_port() if rdp else 0)
        self.run_directory = directory / "run"
        command = [
            *(*COMMAND, "serve", *options),
            *("--vnc", f"127.0.0.1:{self.port}", "--run-dir", str(self.run_directory), *auth),
        ]
        if rdp:
            command += ["--rdp", f"127.0.0.1:{self.rdp[1]}"]
        self.process = Process(command, directory / "daemon.log")
        try:
            wait_until(self._listens, "the daemon listens")
        except BaseException:
            self.process.kill()
            raise

    def _listens(self) -> bool:
        assert self.process.is_running, self.process.output
        ports = [port for port in (self.port, self.rdp[1]) if port]
        return (self.run_directory / ADMIN_SOCKET).exists() and all(map(is_listening, ports))

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def pid(self) -> int:
        return self.process.pid

    def sessions(self) -> list[dict[str, Any]]:
        """Every session that has gone through its handshake, as `vdi-sidecar sessions --json` tells it."""
        listed = self._ask("sessions")
        return [session for session in listed if session["state"] == "initialized"]

    def status(self) -> dict[str, Any]:
        """The status document."""
        document: dict[str, Any] = self._ask("status")
        return document

    def _ask(self, command: str) -> Any:
        # the command line says no more than that, and takes a process and half a second for it
        with connect_admin(self.run_directory / ADMIN_SOCKET) as daemon:
            return daemon.ask(command)

    def close(self) -> None:
        """Ends it; AssertionError unless it ends well and without complaint."""
        if not self.process.is_running:
            raise AssertionError(f"the daemon ended by itself: {self.process.output}")
        status = self.process.stop()
        assert status == 0, f"exit status {status}: {self.process.output}"
        assert "Traceback" not in self.process.output, self.process.output
