"""Child processes of a test, and what they use."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Process:
    """A child with its output in a file; `stop` ends it, and only it."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        standard_input: Path = Path(os.devnull),
    ) -> None:
        self.command = tuple(command)
        self.log = log
        with log.open("ab") as output, standard_input.open("rb") as given:
            self._child = subprocess.Popen(
                command,
                stdin=given,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, deadline: float = 30) -> int:
        """Its exit status."""
        return self._child.wait(deadline)

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            self._child.send_signal(number)

    def kill(self) -> None:
        """Ends it at once."""
        self.signal(signal.SIGKILL)
        self._child.wait()

    def stop(self) -> int:
        """Asks it to end, ends it after 10 s; the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self._child.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._child.wait()


TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """RSS."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads(pid: int) -> dict[str, float]:
    """Processor time by thread name; names that occur several times are added up."""
    seconds: dict[str, float] = {}
    for entry in Path(f"/proc/{pid}/task").iterdir():
        try:
            stat = (entry / "stat").read_text()
        except FileNotFoundError:
            continue
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        fields = stat.rsplit(")", 1)[1].split()
        seconds[name] = seconds.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def open_descriptors(pid: int) -> int:
    """How many file descriptors it holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))
