"""Viewers that people use come in by the drop-in programs, with what a manager has set."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.bus import Bus
from support.certificate import write_certificate
from support.freerdp import FreeRdp, Settings, ending
from support.guest_image import Mode, desktop
from support.ports import free_port
from support.processes import Process
from support.qemu import Qemu
from support.viewers import TigerVnc, XServer
from support.waiting import wait_until

PASSWORD = "opensesame"


def manage(bus: Bus, name: str, path: str, method: str, *arguments: str) -> None:
    subprocess.run(
        [
            *("gdbus", "call", "--address", bus.address, "--dest", name, "--object-path", path),
            *("--method", method, *arguments),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )


def started(bus: Bus, directory: Path, program: str, *options: str) -> Process:
    process = Process(
        [
            sys.executable,
            "-m",
            f"sidecar.drop_in.{program}_command",
            f"--dbus-address={bus.address}",
            *options,
        ],
        directory / f"{program}.log",
    )
    try:
        wait_until(
            lambda: "listening" in process.output or not process.is_running, f"vdi-qemu-{program} listens"
        )
        assert process.is_running, process.output
    except BaseException:
        process.kill()
        raise
    return process


@pytest.fixture
def x_server(short_dir: Path) -> Iterator[XServer]:
    server = XServer(short_dir)
    yield server
    server.close()


def test_tigervnc_comes_in_with_the_password_that_was_set(
    bus: Bus, dbus_qemu: Qemu, short_dir: Path, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    port = free_port()
    options = ("--bus-name=org.qemu", "--vnc-addr", f"127.0.0.1:{port - 5900}", "--password")
    process = started(bus, short_dir, "vnc", *options)
    try:
        manage(bus, "org.qemu.vnc", "/org/qemu/Vnc1/Server", "org.qemu.Vnc1.Server.SetPassword", PASSWORD)
        file = short_dir / "vncpasswd"
        made = subprocess.run(["vncpasswd", "-f"], input=PASSWORD.encode(), capture_output=True, check=True)
        file.write_bytes(made.stdout)
        with closing(TigerVnc(x_server, f"127.0.0.1::{port}", options=(f"-passwd={file}",))) as viewer:
            wait_until(lambda: viewer.shows(desktop()), "the picture is exact")
            assert viewer.title.startswith("guest - 1 viewer")
    finally:
        process.kill()


def test_freerdp_proves_by_nla_what_was_set(
    bus: Bus, dbus_qemu: Qemu, short_dir: Path, x_server: XServer
) -> None:
    dbus_qemu.show(Mode.STILL)
    write_certificate(short_dir)
    port = free_port()
    process = started(
        *(bus, short_dir, "rdp", "serve", "--bind-address", f"127.0.0.1:{port}"),
        *("--cert", f"{short_dir}/tls.crt", "--key", f"{short_dir}/tls.key"),
    )
    try:
        manage(
            *(bus, "org.QemuDisplay.RDP", "/org/qemu_display/rdp", "org.QemuDisplay.RDP.SetCredentials"),
            *("alice", PASSWORD, ""),
        )
        address = ("127.0.0.1", port)
        wrong = ending(x_server, Settings(address, security="nla", user="bob", password=PASSWORD))
        assert "ERRCONNECT_LOGON_FAILURE" in wrong.output
        settings = Settings(address, security="nla", user="Alice", password=PASSWORD)
        with closing(FreeRdp(x_server, settings)) as viewer:
            wait_until(lambda: viewer.shows(dbus_qemu.screendump()), "the picture is there")
    finally:
        process.kill()
