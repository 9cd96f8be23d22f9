"""PyRDP, which knows nothing of the product: its parsers, and its machine-in-the-middle.

It lives in an environment of its own that `./dev setup` makes, hence each use is a process.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from support.ports import free_port, is_listening
from support.processes import Process
from support.waiting import wait_until

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-pyrdp" / "bin" / "python"


def read(stream: bytes) -> list[dict[str, Any]]:
    """What PyRDP reads in the bytes of one server, TLS taken off; see `pyrdp_reader.py`.

    AssertionError where it cannot read them.
    """
    done = subprocess.run(
        [_python(), str(HERE / "pyrdp_reader.py")], input=stream, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    pdus: list[dict[str, Any]] = json.loads(done.stdout)
    return pdus


class Mitm:
    """The machine-in-the-middle before a server; it listens when the constructor returns.

    It ends TLS on both sides and reads and writes the PDUs of both anew. It lowers the colours to 16 bits and
    takes surface commands off the client's list, as it must: it does not know Frame Acknowledge PDUs.
    """

    def __init__(self, directory: Path, target: tuple[str, int]) -> None:
        self.address = "127.0.0.1", free_port()
        command = [
            *(_python(), str(HERE / "pyrdp_run_mitm.py"), "-a", self.address[0], "-l", str(self.address[1])),
            *("-o", str(directory / "mitm"), "-L", "DEBUG", "--auth", "tls"),
            f"{target[0]}:{target[1]}",
        ]
        self.process = Process(command, directory / "mitm.log", {"HOME": str(directory)})
        try:
            wait_until(self._listens, "PyRDP's machine-in-the-middle listens")
        except BaseException:
            self.process.kill()
            raise

    def _listens(self) -> bool:
        assert self.process.is_running, self.process.output
        return is_listening(self.address[1])

    @property
    def output(self) -> str:
        """What it says of every PDU."""
        return self.process.output

    def close(self) -> None:
        self.process.stop()


def _python() -> str:
    assert PYTHON.exists(), "PyRDP is not installed: run ./dev setup"
    return str(PYTHON)
