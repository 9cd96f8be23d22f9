"""A real QEMU with the deterministic guest in it."""

import re
import socket
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.guest_image import Mode
from support.processes import Process
from support.qmp import Qmp
from support.waiting import DEADLINE, wait_until

PROGRAM = "qemu-system-x86_64"


@cache
def version() -> tuple[int, int]:
    """Major and minor number of the QEMU that is installed."""
    text = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"version (\d+)\.(\d+)", text)
    assert match, text
    return int(match[1]), int(match[2])


class Com1:
    """The guest's first serial port: what it said so far, and a way to talk to it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.setblocking(False)
        self.text = ""

    def read(self) -> str:
        """Everything that the guest has sent, from the beginning."""
        try:
            while data := self._socket.recv(65536):
                self.text += data.decode("latin-1")
        except BlockingIOError:
            pass
        return self.text

    def forget(self) -> None:
        """Takes what the guest has said so far as read."""
        self.read()
        self.text = ""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def wait_for(self, pattern: str, deadline: float = DEADLINE) -> re.Match[str]:
        """The first match of the regular expression in what the guest says."""
        end = time.monotonic() + deadline
        while not (match := re.search(pattern, self.read(), re.MULTILINE)):
            assert time.monotonic() < end, f"the guest said {self.text[-300:]!r} and not {pattern!r}"
            time.sleep(0.01)
        return match

    def close(self) -> None:
        self._socket.close()


class Qemu:
    """QEMU under TCG, started in `directory` (with a short path: it holds unix sockets).

    `display`: QEMU's options for it; the guest is `image`, a disk (`guest_image.assemble`), or `kernel`
    (`virtio_guest.assemble`), or neither: firmware only. It is running, and its guest is up, when the
    constructor returns.
    """

    def __init__(
        self,
        directory: Path,
        display: Sequence[str],
        image: Path | None,
        *,
        video: str = "VGA",
        extra: Sequence[str] = (),
        program: str = PROGRAM,
        kernel: Path | None = None,
    ) -> None:
        self.directory = directory
        self.started = 0
        self._guest = image or kernel
        self._command = [
            *(program, "-nodefaults", "-machine", "pc", "-accel", "tcg,thread=multi", "-m", "64", "-S"),
            *("-name", "guest", "-uuid", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"),
            *("-device", video, "-audiodev", "none,id=none", "-machine", "pcspk-audiodev=none"),
            *("-qmp", f"unix:{directory}/qmp,server=on,wait=off"),
            *(
                "-chardev",
                f"socket,id=com1,path={directory}/com1,server=on,wait=off",
                "-serial",
                "chardev:com1",
            ),
            *display,
            *extra,
        ]
        if image:
            self._command += ["-drive", f"file={image},format=raw,snapshot=on"]
        if kernel:
            self._command += ["-kernel", str(kernel)]
        self.start()

    def start(self) -> None:
        """Starts it (again), with the same command."""
        self.started += 1
        for name in ("qmp", "com1"):
            (self.directory / name).unlink(missing_ok=True)
        self.process = Process(self._command, self.directory / "qemu.log")
        try:
            wait_until(self._listens, f"QEMU starts: {self._command}")
            self.qmp = Qmp(self.directory / "qmp")
            self.com1 = Com1(self.directory / "com1")
            self.qmp("cont")
            if self._guest:
                self.com1.wait_for("READY")
        except BaseException:
            self.process.kill()
            raise

    def _listens(self) -> bool:
        assert self.process.is_running, self.process.output
        return all((self.directory / name).exists() for name in ("qmp", "com1"))

    @property
    def pid(self) -> int:
        return self.process.pid

    def show(self, mode: Mode) -> None:
        """Changes the guest's mode and waits until its first picture stands."""
        self.com1.forget()
        self.com1.send(mode.command)
        self.com1.wait_for(f"MODE {mode:02X}")

    def screendump(self) -> NDArray[np.uint32]:
        """What QEMU itself says the screen shows: (height, width), 0x00RRGGBB."""
        path = self.directory / "screen.ppm"
        path.unlink(missing_ok=True)
        self.qmp("screendump", filename=str(path))
        return read_ppm(path)

    def kill(self) -> None:
        """As when it crashes."""
        self.process.kill()
        self.qmp.close()
        self.com1.close()

    def close(self) -> None:
        if self.process.is_running:
            self.process.stop()
        self.qmp.close()
        self.com1.close()


def read_ppm(path: Path) -> NDArray[np.uint32]:
    """A binary PPM of 8 bits per channel as (height, width), uint32, 0x00RRGGBB."""
    data = path.read_bytes()
    header = re.match(rb"P6\s+(?:#.*\s)*(\d+)\s+(\d+)\s+255\s", data)
    assert header, data[:40]
    width, height = int(header[1]), int(header[2])
    # QEMU fills up every row to whole words where the width is no multiple of four
    rows = np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, -1)
    rgb = rows[:, : width * 3].reshape(height, width, 3).astype(np.uint32)
    return np.asarray(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], np.uint32)


def dbus_display(address: str) -> tuple[str, ...]:
    """QEMU's options for a D-Bus display on a bus."""
    return ("-display", f"dbus,addr={address}")


PEER_TO_PEER_DISPLAY = ("-display", "dbus,p2p=yes")


def vnc_display(listen: str, connections: int = 32) -> tuple[str, ...]:
    """QEMU's options for its built-in VNC server: `listen` is "unix:PATH" or "127.0.0.1:PORT"."""
    if not listen.startswith("unix:"):
        host, port = listen.rsplit(":", 1)
        listen = f"{host}:{int(port) - 5900}"
    return ("-display", "none", "-vnc", f"{listen},share=ignore,lossy=on,connections={connections}")
