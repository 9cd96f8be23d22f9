"""Real VNC viewers, each as a process of its own: TigerVNC under Xvfb, and vncdotool.

Also the X display and the window that viewers of every protocol have there.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.pictures import read_picture
from support.processes import Process
from support.waiting import DEADLINE, wait_until
from support.x_picture import XPictures


class XServer:
    """Xvfb with one screen and no window manager."""

    def __init__(self, directory: Path, size: str = "1280x1024") -> None:
        self.directory = directory
        log = directory / "xvfb.log"
        # GLX brings visuals with red and blue the other way round, which rdesktop takes and does not heed
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset"]
        command += ["-extension", "GLX"]
        self.process = Process(command, log)
        try:
            match = wait_until(
                lambda: re.search(r"^(\d+)\n", self.process.output, re.MULTILINE), "Xvfb starts"
            )
            self.display = f":{match[1]}"
            self.pictures = XPictures(self.display)
        except BaseException:
            self.process.kill()
            raise

    def run(self, *command: str) -> str:
        """Runs an X program to its end and returns what it prints."""
        environment = {"DISPLAY": self.display, "PATH": "/usr/bin:/bin", "HOME": str(self.directory)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def put_pointer_aside(self) -> None:
        """Into the last corner, where no window is: viewers then have nothing to tell the guest of it."""
        self.run("xdotool", "mousemove", "100000", "100000")

    def close(self) -> None:
        self.pictures.close()
        self.process.stop()


class XWindow:
    """A viewer's window that shows the picture and nothing else: no frame, no bars."""

    def __init__(self, x_server: XServer, window: str) -> None:
        self._x = x_server
        self.window = window

    @property
    def title(self) -> str:
        return self._x.run("xdotool", "getwindowname", self.window).strip()

    def picture(self) -> NDArray[np.uint32]:
        """What it shows; nothing may lie over it. Empty where there is no window any more."""
        return self._x.pictures.window(int(self.window))

    def shows(self, expected: NDArray[np.uint32]) -> bool:
        return bool(np.array_equal(self.picture(), expected))

    def type(self, key: str) -> None:
        """Presses and releases a key by its X name."""
        self._x.run("xdotool", "windowraise", self.window, "windowfocus", "--sync", self.window, "key", key)

    def point_at(self, x: int, y: int) -> None:
        """Moves the pointer to a pixel of the picture."""
        self._x.run(
            "xdotool", "windowraise", self.window, "mousemove", "--window", self.window, str(x), str(y)
        )

    def click(self, x: int, y: int, button: int = 1) -> None:
        """Clicks at a pixel of the picture. `button`: X's number (1 left, 2 middle, 3 right, 4, 5 wheel)."""
        self.point_at(x, y)
        self._x.run("xdotool", "click", str(button))

    def move(self, x: int, y: int) -> None:
        """Puts the window's top left corner at a place of the screen."""
        self._x.run("xdotool", "windowmove", "--sync", self.window, str(x), str(y))

    def resize(self, width: int, height: int) -> None:
        """Asks for another size of the window, as somebody does who drags its edge."""
        self._x.run("xdotool", "windowsize", self.window, str(width), str(height))


class TigerVnc(XWindow):
    """TigerVNC's viewer in a window of its own; `server` is "HOST::PORT".

    Its title begins with the desktop's name.
    """

    def __init__(
        self, x_server: XServer, server: str, *, encoding: str = "Tight", options: Sequence[str] = ()
    ) -> None:
        before = set(_tiger_windows(x_server))
        self.process = _start_tiger(x_server, server, encoding, options)

        def new_window() -> str:
            assert self.process.is_running, self.process.output
            return next((window for window in _tiger_windows(x_server) if window not in before), "")

        try:
            super().__init__(x_server, wait_until(new_window, "the viewer opens its window"))
        except BaseException:
            self.process.kill()
            raise

    def close(self) -> None:
        self.process.stop()


def tiger_ending(
    x_server: XServer, server: str, options: Sequence[str] = (), deadline: float = DEADLINE
) -> str:
    """What TigerVNC's viewer says that is expected to give up, such as one with a wrong password."""
    process = _start_tiger(x_server, server, "Tight", options)
    try:
        process.wait(deadline)
    finally:
        process.stop()
    return process.output


def _start_tiger(x_server: XServer, server: str, encoding: str, options: Sequence[str]) -> Process:
    number = len(list(x_server.directory.glob("viewer*.log")))
    command = [
        *("xtigervncviewer", "-Shared=1", "-AutoSelect=0", "-FullColor=1", "-NoJPEG=1"),
        *("-AlertOnFatalError=0", "-RemoteResize=0", "-ReconnectOnError=0"),
        *(f"-PreferredEncoding={encoding}", *options, server),
    ]
    home = x_server.directory / f"home{number}"
    home.mkdir()
    environment = {"DISPLAY": x_server.display, "HOME": str(home), "XAUTHORITY": "/dev/null"}
    return Process(command, x_server.directory / f"viewer{number}.log", environment)


def _tiger_windows(x_server: XServer) -> list[str]:
    return x_server.run("xdotool", "search", "--onlyvisible", "--name", "TigerVNC").split()


VNCDOTOOL = "from vncdotool.command import vncdo; vncdo()"


def vncdotool(directory: Path, port: int, *commands: str) -> Process:
    """Starts vncdotool with commands such as ("capture", "a.png", "key", "x", "pause", "60")."""
    number = len(list(directory.glob("vncdotool*.log")))
    log = directory / f"vncdotool{number}.log"
    command = [sys.executable, "-c", VNCDOTOOL, "-s", f"127.0.0.1::{port}", "--nocursor", *commands]
    return Process(command, log)


def is_whole_png(path: Path) -> bool:
    """Whether its last chunk is there: a file stands in its directory before it is written."""
    return path.exists() and path.read_bytes()[-8:-4] == b"IEND"


def vncdotool_picture(directory: Path, port: int) -> NDArray[np.uint32]:
    """What vncdotool captures in one go."""
    path = directory / "vncdotool.png"
    process = vncdotool(directory, port, "capture", str(path))
    try:
        assert process.wait() == 0, process.output
    finally:
        process.stop()
    return read_picture(path)
