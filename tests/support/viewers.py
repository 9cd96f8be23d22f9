"""Real VNC viewers, each as a process of its own: TigerVNC under Xvfb, and vncdotool."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.pictures import read_picture
from support.processes import Process
from support.waiting import wait_until


class XServer:
    """Xvfb with one screen and no window manager."""

    def __init__(self, directory: Path, size: str = "1280x1024") -> None:
        self.directory = directory
        log = directory / "xvfb.log"
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset"]
        self.process = Process(command, log)
        try:
            match = wait_until(
                lambda: re.search(r"^(\d+)\n", self.process.output, re.MULTILINE), "Xvfb starts"
            )
        except BaseException:
            self.process.kill()
            raise
        self.display = f":{match[1]}"

    def run(self, *command: str) -> str:
        """Runs an X program to its end and returns what it prints."""
        environment = {"DISPLAY": self.display, "PATH": "/usr/bin:/bin", "HOME": str(self.directory)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def close(self) -> None:
        self.process.stop()


class TigerVnc:
    """TigerVNC's viewer in a window of its own; `server` is "HOST::PORT"."""

    def __init__(
        self, x_server: XServer, server: str, *, encoding: str = "Tight", options: Sequence[str] = ()
    ) -> None:
        self._x = x_server
        number = len(list(x_server.directory.glob("viewer*.log")))
        self._picture = x_server.directory / f"viewer{number}.ppm"
        command = [
            *(
                "xtigervncviewer",
                "-Shared=1",
                "-AutoSelect=0",
                "-FullColor=1",
                "-NoJPEG=1",
                "-AlertOnFatalError=0",
            ),
            *("-RemoteResize=0", "-ReconnectOnError=0", f"-PreferredEncoding={encoding}", *options, server),
        ]
        home = x_server.directory / f"home{number}"
        home.mkdir()
        environment = {"DISPLAY": x_server.display, "HOME": str(home), "XAUTHORITY": "/dev/null"}
        before = set(self._windows())
        self.process = Process(command, x_server.directory / f"viewer{number}.log", environment)
        try:
            self.window = wait_until(lambda: self._new_window(before), "the viewer opens its window")
        except BaseException:
            self.process.kill()
            raise

    def _windows(self) -> list[str]:
        return self._x.run("xdotool", "search", "--onlyvisible", "--name", "TigerVNC").split()

    def _new_window(self, before: set[str]) -> str:
        assert self.process.is_running, self.process.output
        return next((window for window in self._windows() if window not in before), "")

    @property
    def title(self) -> str:
        """The window's title; it begins with the desktop's name."""
        return self._x.run("xdotool", "getwindowname", self.window).strip()

    def picture(self) -> NDArray[np.uint32]:
        """What its window shows; nothing may lie over it."""
        self._picture.unlink(missing_ok=True)
        self._x.run("import", "-silent", "-window", self.window, f"ppm:{self._picture}")
        if not self._picture.exists():
            return np.zeros((0, 0), np.uint32)
        return read_picture(self._picture)

    def shows(self, expected: NDArray[np.uint32]) -> bool:
        return bool(np.array_equal(self.picture(), expected))

    def type(self, key: str) -> None:
        """Presses and releases a key by its X name."""
        self._x.run("xdotool", "windowraise", self.window, "windowfocus", "--sync", self.window, "key", key)

    def click(self, x: int, y: int) -> None:
        """Clicks the left button at a pixel of the picture."""
        self._x.run(
            "xdotool", "windowraise", self.window, "mousemove", "--window", self.window, str(x), str(y)
        )
        self._x.run("xdotool", "click", "1")

    def close(self) -> None:
        self.process.stop()


VNCDOTOOL = "from vncdotool.command import vncdo; vncdo()"


def vncdotool(directory: Path, port: int, *commands: str) -> Process:
    """Starts vncdotool with commands such as ("capture", "a.png", "key", "x", "pause", "60")."""
    number = len(list(directory.glob("vncdotool*.log")))
    log = directory / f"vncdotool{number}.log"
    command = [sys.executable, "-c", VNCDOTOOL, "-s", f"127.0.0.1::{port}", "--nocursor", *commands]
    return Process(command, log)


def vncdotool_picture(directory: Path, port: int) -> NDArray[np.uint32]:
    """What vncdotool captures in one go."""
    path = directory / "vncdotool.png"
    process = vncdotool(directory, port, "capture", str(path))
    try:
        assert process.wait() == 0, process.output
    finally:
        process.stop()
    return read_picture(path)
