"""TCP ports of the loopback interface."""

import os
import random
import socket
from typing import Final

FIRST: Final = 20000
"""Above what services have, and as far as 32767 below what Linux gives to who connects: a port that is free
here is not taken by somebody's connection a moment later."""

OF_ONE: Final = 1500
"""Ports of one of eight processes that run tests at the same time."""


class _Ports:
    """Those of this process, one after the other, so that none is given twice while the first is not used."""

    def __init__(self) -> None:
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
        self._first = FIRST + worker * OF_ONE
        # others may run tests of their own; tests have seeded the common generator
        self._next = random.SystemRandom().randrange(OF_ONE)

    def take(self) -> int:
        self._next = (self._next + 1) % OF_ONE
        return self._first + self._next


_ports = _Ports()


def free_port() -> int:
    """A port that nobody had a moment ago, at any address of IPv4."""
    for _ in range(OF_ONE):
        port = _ports.take()
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def is_listening(port: int) -> bool:
    """Whether a connection to it is taken."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
