"""The daemon itself, run as its users run it: a process of its own, with its command line."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.ports import free_port, is_listening
from support.processes import Process
from support.waiting import wait_until

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
        return (self.run_directory / "admin.sock").exists() and all(map(is_listening, ports))

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def pid(self) -> int:
        return self.process.pid

    def run(self, *arguments: str) -> str:
        """Runs `vdi-sidecar ARGUMENTS --run-dir ...` to its end and returns what it prints."""
        command = [*COMMAND, *arguments, "--run-dir", str(self.run_directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sessions(self) -> list[dict[str, Any]]:
        """Every session that has gone through its handshake, as `vdi-sidecar sessions --json` tells it."""
        listed = json.loads(self.run("sessions", "--json"))
        return [session for session in listed if session["state"] == "initialized"]

    def status(self) -> dict[str, Any]:
        """The status document."""
        document: dict[str, Any] = json.loads(self.run("status", "--json"))
        return document

    def close(self) -> None:
        """Ends it; AssertionError unless it ends well and without complaint."""
        if not self.process.is_running:
            raise AssertionError(f"the daemon ended by itself: {self.process.output}")
        status = self.process.stop()
        assert status == 0, f"exit status {status}: {self.process.output}"
        assert "Traceback" not in self.process.output, self.process.output
