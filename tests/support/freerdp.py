"""FreeRDP's X11 client, major version 2 or 3, whichever is installed, as a process of its own under Xvfb."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from support.processes import Process
from support.viewers import XServer, XWindow
from support.waiting import DEADLINE, wait_until

GREEN_SPREAD = 3
"""What `pictures.at_depth` has to know of it."""


class Graphics(Enum):
    """How the client asks for its picture; the values are for people."""

    BITMAPS = "bitmap updates"
    """no graphics pipeline"""
    PIPELINE = "graphics pipeline"
    """without H.264"""
    AVC420 = "graphics pipeline, AVC420"


_GRAPHICS: dict[int, dict[Graphics, tuple[str, ...]]] = {
    2: {Graphics.BITMAPS: (), Graphics.PIPELINE: ("/gfx",), Graphics.AVC420: ("/gfx:AVC420",)},
    3: {
        Graphics.BITMAPS: (),
        Graphics.PIPELINE: ("/gfx:AVC420:off,AVC444:off",),
        Graphics.AVC420: ("/gfx:AVC420",),
    },
}


# it tells in its log when the channel for that is open
_DYNAMIC_RESOLUTION = ("/dynamic-resolution", "/log-filters:com.freerdp.client.x11disp:DEBUG")


@cache
def program() -> tuple[str, int]:
    """The client's command and its major version."""
    if shutil.which("xfreerdp3"):
        return "xfreerdp3", 3
    assert shutil.which("xfreerdp"), "FreeRDP's X11 client is not installed"
    return "xfreerdp", 2


@dataclass(frozen=True)
class Settings:
    """What the client is told on its command line."""

    address: tuple[str, int]
    security: str = "tls"
    """"tls", "nla" or "rdp"."""
    graphics: Graphics = Graphics.BITMAPS
    depth: int = 32
    size: tuple[int, int] = (1024, 768)
    user: str = "user"
    password: str = ""
    dynamic_resolution: bool = False
    options: Sequence[str] = ()
    """Further ones; FreeRDP takes the last where two contradict each other."""

    def command(self, title: str) -> list[str]:
        """The command line of the client that is installed; `title`: of its window."""
        name, major = program()
        host, port = self.address
        width, height = self.size
        return [
            # so that what it says is there when it is killed, too
            *("stdbuf", "--output=L"),
            *(name, f"/v:{host}:{port}", f"/t:{title}", "/cert:ignore", f"/sec:{self.security}"),
            *(f"/u:{self.user}", f"/p:{self.password}", f"/w:{width}", f"/h:{height}", f"/bpp:{self.depth}"),
            # each has an X focus of its own only for a moment, and takes nothing from the others
            *("-decorations", "-grab-keyboard", "-clipboard", "/log-level:INFO"),
            *_GRAPHICS[major][self.graphics],
            *(_DYNAMIC_RESOLUTION if self.dynamic_resolution else ()),
            *self.options,
        ]


class FreeRdp(XWindow):
    """A connected client: its window stands when the constructor returns.

    AssertionError with what it said where it gives up instead.
    """

    def __init__(self, x_server: XServer, settings: Settings) -> None:
        self.process, title = _start(x_server, settings)

        def window() -> str:
            assert self.process.is_running, self.process.output
            return x_server.run("xdotool", "search", "--onlyvisible", "--name", f"^{title}$").strip()

        try:
            super().__init__(x_server, wait_until(window, "FreeRDP opens its window"))
        except BaseException:
            self.process.kill()
            raise

    @property
    def output(self) -> str:
        """Its log so far."""
        return self.process.output

    def wait_until_it_can_resize(self) -> None:
        """With `dynamic_resolution`: before, FreeRDP forgets a size that its window takes."""
        wait_until(
            lambda: "DisplayControlCapsPdu: setting the window as resiz" in self.output,
            "the channel for sizes is open",
        )

    def close(self) -> None:
        self.process.stop()


@dataclass(frozen=True)
class Ending:
    """How a client ended by itself."""

    status: int
    output: str


def ending(x_server: XServer, settings: Settings, deadline: float = DEADLINE) -> Ending:
    """Runs a client that is expected to give up, such as one with a wrong password."""
    process, _ = _start(x_server, settings)
    try:
        status = process.wait(deadline)
    finally:
        process.stop()
    return Ending(status, process.output)


def _start(x_server: XServer, settings: Settings) -> tuple[Process, str]:
    number = len(list(x_server.directory.glob("freerdp*.log")))
    title = f"freerdp{number}"
    home = Path(x_server.directory / f"home-{title}")
    home.mkdir()
    environment = {"DISPLAY": x_server.display, "HOME": str(home), "XAUTHORITY": "/dev/null"}
    return Process(settings.command(title), x_server.directory / f"{title}.log", environment), title
