"""Whom the bus of a sidecar that is root lets in: QEMU's user, who is another one, and nobody else.

In KubeVirt that is user 107. dbus-daemon knows only users of /etc/passwd, and this machine may not have that
one, so `nobody` stands for it.
"""

import os
import pwd
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.domain_samples import DIRECTORY, sample
from support.guest_image import Mode, desktop
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.qemu import PROGRAM, Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

from sidecar.hook.api.session_status_pb2 import GetRequest
from sidecar.pod import QEMU_UID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

QEMUS_USER = pwd.getpwnam("nobody").pw_uid
STRANGER = 1234
"""Not in /etc/passwd."""
ANOTHER_USER = pwd.getpwnam("daemon").pw_uid


@pytest.fixture
def sidecar(short_dir: Path) -> Iterator[HookSidecar]:
    short_dir.chmod(0o755)
    sidecar = HookSidecar(short_dir, qemu_uid=QEMUS_USER)
    yield sidecar
    sidecar.process.kill()


@pytest.fixture
def launcher(sidecar: HookSidecar) -> Iterator[Launcher]:
    with launcher_of(sidecar) as launcher:
        yield launcher


def greeting_as(uid: int, path: Path) -> bytes:
    """What the bus says to a client of that user: it authenticates, says Hello and asks for nothing else."""
    ours = socket.socket(socket.AF_UNIX)
    ours.settimeout(30)
    os.seteuid(uid)
    try:
        # the bus asks the kernel who has connected
        ours.connect(str(path))
    except OSError:
        ours.close()
        raise
    finally:
        os.seteuid(0)
    with ours:
        ours.sendall(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\nBEGIN\r\n" + HELLO)
        received = b""
        while b"NameAcquired" not in received:
            data = ours.recv(4096)
            if not data:
                break
            received += data
        return received


HELLO = (
    b"l\1\0\1\0\0\0\0\1\0\0\0\x6d\0\0\0"
    b"\1\1o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0"
    b"\2\1s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0"
    b"\3\1s\0\5\0\0\0Hello\0\0\0"
    b"\6\1s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0"
)
"""A method call (the D-Bus specification, Message Protocol)."""


def test_qemus_user_in_kubevirt_is_107() -> None:
    assert QEMU_UID == 107


def test_qemu_of_another_user_shows_its_screen(
    sidecar: HookSidecar, launcher: Launcher, short_dir: Path, guest_image: Path
) -> None:
    domain = launcher.define(
        sample("amd64-default-vnc"), (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()
    )
    directory = short_dir / "qemu"
    directory.mkdir()
    image = Path(shutil.copy(guest_image, directory))
    image.chmod(0o644)
    os.chown(directory, QEMUS_USER, -1)
    program = directory / "qemu-of-another-user"
    program.write_text(
        f'#!/bin/sh\nexec setpriv --reuid={QEMUS_USER} --regid=65534 --clear-groups {PROGRAM} "$@"\n'
    )
    program.chmod(0o755)
    display = dbus_display(sidecar.as_seen_here(bus_of(domain)))
    qemu = Qemu(directory, display, image, program=str(program))
    try:
        assert Path(f"/proc/{qemu.pid}").stat().st_uid == QEMUS_USER
        qemu.show(Mode.DESKTOP)
        with RfbClient(sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE)) as viewer:
            viewer.until_shown(desktop())
    finally:
        qemu.close()


def test_nobody_else_comes_in(sidecar: HookSidecar, launcher: Launcher) -> None:
    bus = sidecar.hook_directory / "dbus" / "bus"
    assert b"NameAcquired" in greeting_as(QEMUS_USER, bus)
    assert b"NameAcquired" in greeting_as(0, bus)
    for uid in (STRANGER, ANOTHER_USER):
        with pytest.raises(PermissionError):
            greeting_as(uid, bus)


def test_nobody_else_comes_in_where_the_file_would_let_them(sidecar: HookSidecar, launcher: Launcher) -> None:
    bus = sidecar.hook_directory / "dbus" / "bus"
    bus.chmod(0o777)
    for uid in (STRANGER, ANOTHER_USER):
        assert b"NameAcquired" not in greeting_as(uid, bus)
    assert b"NameAcquired" in greeting_as(QEMUS_USER, bus)


def test_others_can_do_nothing_in_the_folders_but_pass_to_the_bus(
    sidecar: HookSidecar, launcher: Launcher
) -> None:
    directory = sidecar.hook_directory / "dbus"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in directory.iterdir()}
    assert modes == {"bus": 0}
    assert (directory / "bus").stat().st_uid == QEMUS_USER
    assert stat.S_IMODE(directory.stat().st_mode) == 0o711
    assert stat.S_IMODE(sidecar.run_directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(sidecar.socket.stat().st_mode) == 0o660


def test_a_bus_that_was_started_again_lets_in_the_same(sidecar: HookSidecar, launcher: Launcher) -> None:
    bus = sidecar.hook_directory / "dbus" / "bus"
    (first,) = sidecar.bus_daemons()
    os.kill(first, 9)
    wait_until(lambda: sidecar.bus_daemons() not in ([], [first]), "another bus runs")
    wait_until(lambda: sidecar.process.output.count("the private bus listens") == 2, "it listens")
    assert b"NameAcquired" in greeting_as(QEMUS_USER, bus)
    with pytest.raises(PermissionError):
        greeting_as(STRANGER, bus)
    assert launcher.status.Get(GetRequest(), timeout=30).vm.state == "waiting"
