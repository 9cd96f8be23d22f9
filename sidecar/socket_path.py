"""Unix sockets as files: how long a path may be, and what was left behind."""

import os
import socket
from contextlib import suppress
from pathlib import Path

LONGEST_SOCKET_PATH = 107
"""Bytes (unix(7), sun_path without its final zero)."""


def excess_bytes(path: Path) -> int:
    """By how much `path` is too long for a unix socket; 0 or less: it is not."""
    return len(os.fsencode(path)) - LONGEST_SOCKET_PATH


def remove_stale(path: Path) -> None:
    """Takes away the socket that a daemon left behind. Raises OSError when somebody listens on it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
    raise OSError(None, "somebody listens there already")


def why_not(error: OSError) -> str:
    """Why a socket cannot be listened on, for people."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)
