"""QEMU's monitor protocol, as much as the tests need; blocking."""

import json
import socket
from pathlib import Path
from typing import Any


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """One connection to QEMU's monitor socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        try:
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("r", encoding="utf-8")
            json.loads(self._lines.readline())
            self("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def __call__(self, command: str, **arguments: Any) -> Any:
        """The command's result; events that come meanwhile are passed over. Raises QmpError."""
        names = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps({"execute": command, "arguments": names}).encode() + b"\n")
        while True:
            line = self._lines.readline()
            if not line:
                raise ConnectionError(f"QEMU ended before it answered {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise QmpError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
