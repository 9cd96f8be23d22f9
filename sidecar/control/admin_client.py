"""The other end of the admin socket, for the command line: blocking, and quick to import."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from sidecar.errors import SidecarError
from sidecar.web.peer import peer_uid

Json: TypeAlias = Any

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer line."""


class DaemonUnreachable(SidecarError):
    """No daemon answers on the admin socket."""


class AdminRefused(SidecarError):
    """The daemon answered with an error; the text is the daemon's."""


class AdminClient:
    """One conversation with the daemon whose admin socket is `path`; made by `connect_admin`."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path

    def ask(self, command: str, **arguments: Json) -> Json:
        """The result of a command. Raises AdminRefused, DaemonUnreachable."""
        self._send(command, arguments)
        answer = self._receive()
        if answer is None:
            raise DaemonUnreachable(f"the daemon at {self._path} ended the conversation: is it stopping?")
        return answer

    def stream(self, command: str, **arguments: Json) -> Iterator[Json]:
        """The results of a command that streams, until the daemon ends. Raises like `ask`."""
        self._send(command, arguments)
        while (answer := self._receive()) is not None:
            yield answer

    def _send(self, command: str, arguments: dict[str, Json]) -> None:
        with self._lost_connection_told():
            self._stream.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            self._stream.flush()

    def _receive(self) -> Json | None:
        with self._lost_connection_told():
            line = self._stream.readline(LONGEST_ANSWER)
        if not line:
            return None
        try:
            answer = json.loads(line)
            if answer["ok"] is True:
                return answer["result"]
            error = str(answer["error"])
        except (ValueError, TypeError, KeyError):
            raise DaemonUnreachable(f"what listens at {self._path} is not a vdi-sidecar") from None
        raise AdminRefused(error)

    @contextmanager
    def _lost_connection_told(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise DaemonUnreachable(f"the daemon at {self._path} does not answer") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DaemonUnreachable(f"lost the daemon at {self._path}: {reason}") from None


@contextmanager
def connect_admin(path: Path, *, time_limit: float | None = 10.0) -> Iterator[AdminClient]:
    """Connects to a daemon. `time_limit`: seconds to wait for an answer; None for a stream that may rest.

    Raises DaemonUnreachable, also where the socket belongs to another user, who could answer anything
    (root believes everybody).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(time_limit)
        try:
            connection.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise DaemonUnreachable(
                f"no vdi-sidecar runs in {path.parent}: start one, or name its directory with --run-dir"
            ) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DaemonUnreachable(f"cannot reach the daemon at {path}: {reason}") from None
        owner = peer_uid(connection)
        if os.geteuid() not in (0, owner) and owner != 0:
            raise DaemonUnreachable(f"the daemon at {path} belongs to another user (uid {owner})")
        with connection.makefile("rwb") as stream:
            yield AdminClient(cast(BinaryIO, stream), path)
