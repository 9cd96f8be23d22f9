"""Tests here run the daemon as a process between a real QEMU and real clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus import Bus
from support.daemon import Daemon
from support.qemu import Qemu
from support.viewers import XServer
from support.waiting import wait_until


@pytest.fixture
def daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> Iterator[Daemon]:
    """`vdi-sidecar serve` attached to `dbus_qemu`; it must end well after the test."""
    daemon = Daemon(short_dir, "--dbus-address", bus.address)
    size = {"width": 1024, "height": 768}
    wait_until(lambda: size.items() <= daemon.status()["vm"]["consoles"][0].items(), "the daemon is attached")
    yield daemon
    daemon.close()


@pytest.fixture
def x_server(short_dir: Path) -> Iterator[XServer]:
    """An X display to look at."""
    server = XServer(short_dir)
    yield server
    server.close()
