"""`vdi-sidecar demo` shows a guest, says where, and leaves nothing behind."""

import gzip
import os
import pty
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.daemon import COMMAND
from support.linux_guest import LinuxGuest, files
from support.ports import free_port, is_listening
from support.processes import Process
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding, key_event
from support.waiting import DEADLINE, eventually, wait_until

from sidecar.config.options import DaemonOptions
from sidecar.daemon import attached
from sidecar.demo.equipment import equipment
from sidecar.demo.installer import PASSWORD, USER, write_initrd
from sidecar.demo.machine import choose_machine, running_machine
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.bus import PrivateBus
from sidecar.sound.form import AudioForm, SampleFormat

F8 = 0x42
"""As QEMU numbers keys."""


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True).stdout
    return [int(child) for child in found.split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_a_guest_and_ends_without_a_trace(short_dir: Path, number: signal.Signals) -> None:
    port = free_port()
    scratch = short_dir / "tmp"
    scratch.mkdir()
    run_directory = short_dir / "run"
    options = (
        "--guest",
        "box",
        "--memory",
        "64M",
        "--vnc",
        f"127.0.0.1:{port}",
        "--run-dir",
        str(run_directory),
    )
    demo = Process((*COMMAND, "demo", *options), short_dir / "demo.log", {"TMPDIR": str(scratch)})
    try:
        wait_until(lambda: is_listening(port), "the demo listens")
        with RfbClient(("127.0.0.1", port), encodings=(Encoding.ZRLE, Encoding.DESKTOP_SIZE)) as client:
            client.until(lambda: client.values.shape == (768, 1024), "the guest is up")
            client.until(lambda: bool(np.any(client.rgb == 0xFF0000)), "the box is there")
            wait_until(lambda: f"vncviewer 127.0.0.1::{port}" in demo.output, "it says how to connect")
            assert "xfreerdp /v:127.0.0.1:" in demo.output
            children = _children(demo.pid)
            assert len(children) == 2, "QEMU and dbus-daemon"
            demo.signal(number)
            assert demo.wait() == 0, demo.output
        assert "Traceback" not in demo.output
        assert not any(Path(f"/proc/{child}").exists() for child in children)
        assert not list(scratch.iterdir())
        assert not run_directory.exists()
    finally:
        demo.stop()


def test_its_guest_answers_a_key(short_dir: Path) -> None:
    port = free_port()
    options = ("--guest", "box", "--memory", "64M", "--vnc", f"127.0.0.1:{port}")
    demo = Process((*COMMAND, "demo", *options, "--run-dir", str(short_dir / "run")), short_dir / "demo.log")
    try:
        wait_until(lambda: is_listening(port), "the demo listens")
        with RfbClient(("127.0.0.1", port), encodings=(Encoding.ZRLE, Encoding.DESKTOP_SIZE)) as client:
            client.until(lambda: client.values.shape == (768, 1024), "the guest is up")
            client.until(lambda: bool(np.any(client.rgb == 0xFF0000)), "the box is there")
            client.send(key_event(ord("a"), True))
            squares = slice(48, 368, 40)
            scan_code = [0, 0, 0, 0x00FF00, 0x00FF00, 0x00FF00, 0x00FF00, 0]
            client.until(lambda: client.rgb[48, squares].tolist() == scan_code, "the key is shown")
            # and told on the serial port, to whoever comes by the command that was told
            command = f"vdi-sidecar console --vnc 127.0.0.1:{port}"
            wait_until(lambda: command in demo.output, "it says how to reach the serial port")
            console = Process((*COMMAND, *command.split()[1:]), short_dir / "console.log")
            try:
                wait_until(lambda: "K1E" in console.output, "the console shows the key")
            finally:
                console.stop()
    finally:
        demo.stop()


class Ear:
    """Keeps what is played."""

    def __init__(self) -> None:
        self.heard = bytearray()

    def audio_began(self) -> None: ...

    def audio_ended(self) -> None: ...

    def audio_played(self, data: bytes) -> None:
        self.heard += data


async def test_its_guest_is_heard(short_dir: Path) -> None:
    equipped = await equipment()
    assert equipped.sound, "the QEMU of the tests has sound on its D-Bus display"
    ear = Ear()
    async with (
        PrivateBus(short_dir / "bus") as bus,
        running_machine(choose_machine("box"), equipped, bus.address, 64, short_dir),
        attached(BusAttach(bus.address), DaemonOptions(run_dir=short_dir, touch_screen=False)) as (guest, _),
    ):
        guest.audio.listen(AudioForm(SampleFormat.S16, 1, 48_000), ear)

        def beeps() -> bool:
            # pressed again and again: the guest may not be up yet
            guest.consoles[0].keyboard.press(F8)
            return any(ear.heard)

        await eventually(beeps, "F8 beeps", 2 * DEADLINE)
        guest.consoles[0].keyboard.release(F8)


def test_its_table_follows_the_sessions(short_dir: Path) -> None:
    port = free_port()
    terminal, side = pty.openpty()
    options = ("--guest", "box", "--memory", "64M", "--vnc", f"127.0.0.1:{port}")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    demo = subprocess.Popen(
        (*COMMAND, "demo", *options, "--run-dir", str(short_dir / "run")),
        stdout=side,
        stderr=side,
        env=environment,
    )
    os.close(side)
    os.set_blocking(terminal, False)
    shown = bytearray()

    def shows(text: str) -> bool:
        try:
            while data := os.read(terminal, 65536):
                shown.extend(data)
        except OSError:
            # nothing more now, or the other side is closed
            pass
        return text.encode() in shown

    try:
        wait_until(lambda: shows("(attached) - 0 sessions"), f"the table is shown: {shown!r}")
        with RfbClient(("127.0.0.1", port), encodings=(Encoding.ZRLE,)) as client:
            client.refresh()
            wait_until(lambda: shows("(attached) - 1 session"), "the viewer is listed")
    finally:
        demo.send_signal(signal.SIGINT)
        status = demo.wait(30)
        os.close(terminal)
    assert status == 0


def test_what_is_added_to_the_installer_is_unpacked_behind_it_and_asks_who_comes(short_dir: Path) -> None:
    # a Linux with the same shell stands for the installer, which takes a minute
    original, initrd = short_dir / "initrd.gz", short_dir / "initrd"
    original.write_bytes(gzip.compress((files("small") / "initrd").read_bytes(), 1))
    write_initrd(original, initrd)
    guest = LinuxGuest(short_dir, memory=512, extra=("-initrd", str(initrd)))
    try:
        table = guest.shell().check("/lib/debian-installer-startup.d/S99demo; cat /etc/inittab")
        assert "ttyS0::respawn:/sbin/demo-login" in table.splitlines()
        for password, answer in (("wrong", "Login incorrect"), (PASSWORD, "^demo# ")):
            guest.com1.forget()
            guest.com1.send(b"/sbin/demo-login\n")
            guest.com1.wait_for("demo login: ")
            guest.com1.send(USER.encode() + b"\n")
            guest.com1.wait_for("Password: ")
            guest.com1.send(password.encode() + b"\n")
            guest.com1.wait_for(answer)
    finally:
        guest.close()
