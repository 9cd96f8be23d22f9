"""Tests here run the daemon as a process between a real QEMU and real clients."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus import Bus
from support.daemon import Daemon
from support.qemu import Qemu
from support.viewers import XServer
from support.virtio_guest import FIRST_SIZE
from support.waiting import wait_until


def _attached(daemon: Daemon, width: int, height: int) -> Iterator[Daemon]:
    size = {"width": width, "height": height}
    wait_until(lambda: size.items() <= daemon.status()["vm"]["consoles"][0].items(), "the daemon is attached")
    yield daemon
    daemon.close()


@pytest.fixture
def daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> Iterator[Daemon]:
    """`vdi-sidecar serve` attached to `dbus_qemu`; it must end well after the test."""
    yield from _attached(Daemon(short_dir, "--dbus-address", bus.address, rdp=True), 1024, 768)


@pytest.fixture
def virtio_daemon(bus: Bus, virtio_qemu: Qemu, short_dir: Path) -> Iterator[Daemon]:
    """The same, attached to `virtio_qemu`, whose guest takes every size."""
    yield from _attached(Daemon(short_dir, "--dbus-address", bus.address, rdp=True), *FIRST_SIZE)


@pytest.fixture
def password() -> str:
    """What `password_daemon` asks for; VNC takes eight characters of it."""
    return "opensesame"


@pytest.fixture
def password_daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path, password: str) -> Iterator[Daemon]:
    """`daemon`, for those who know the password."""
    path = short_dir / "password"
    path.write_text(password + "\n")
    auth = ("--auth", "password", "--password-file", str(path))
    yield from _attached(Daemon(short_dir, "--dbus-address", bus.address, auth=auth, rdp=True), 1024, 768)


@pytest.fixture
def vnc_password_file(short_dir: Path, password: str) -> Path:
    """The password as TigerVNC's viewer wants it."""
    path = short_dir / "vncpasswd"
    done = subprocess.run(["vncpasswd", "-f"], input=password.encode(), capture_output=True, check=True)
    path.write_bytes(done.stdout)
    return path


@pytest.fixture
def x_server(short_dir: Path) -> Iterator[XServer]:
    """An X display to look at."""
    server = XServer(short_dir)
    yield server
    server.close()


@pytest.fixture
def wide_x_server(short_dir: Path) -> Iterator[XServer]:
    """An X display with room for six viewers side by side, three in a row."""
    server = XServer(short_dir, "3072x1536")
    yield server
    server.close()
