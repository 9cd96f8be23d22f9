"""Other real RDP clients, each as a process of its own: rdesktop under Xvfb, and aardwolf."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.pictures import read_picture
from support.processes import Process
from support.viewers import XServer, XWindow
from support.waiting import DEADLINE, wait_until


class Rdesktop(XWindow):
    """rdesktop in a window of its own; connected when the constructor returns.

    It knows TLS but not NLA, and bitmap updates but no EGFX.
    """

    def __init__(
        self,
        x_server: XServer,
        address: tuple[str, int],
        *,
        password: str = "",
        size: tuple[int, int] = (1024, 768),
        depth: int = 32,
        options: Sequence[str] = (),
    ) -> None:
        number = len(list(x_server.directory.glob("rdesktop*.log")))
        title = f"rdesktop{number}"
        home = x_server.directory / f"home-{title}"
        home.mkdir()
        # it asks on its standard input whether the certificate is to be trusted
        answers = home / "answers"
        answers.write_text("yes\n" * 10)
        command = [
            *("rdesktop", "-T", title, "-u", "user", "-p", password, "-g", f"{size[0]}x{size[1]}"),
            # were it to grab the keyboard, it might get a key's press and another window the release
            *("-a", str(depth), "-v", "-K", *options, f"{address[0]}:{address[1]}"),
        ]
        environment = {"DISPLAY": x_server.display, "HOME": str(home), "XAUTHORITY": "/dev/null"}
        self.process = Process(
            command, x_server.directory / f"{title}.log", environment, standard_input=answers
        )

        def window() -> str:
            assert self.process.is_running, self.process.output
            return x_server.run("xdotool", "search", "--onlyvisible", "--name", f"^{title}$").strip()

        try:
            super().__init__(x_server, wait_until(window, "rdesktop opens its window"))
        except BaseException:
            self.process.kill()
            raise

    def close(self) -> None:
        self.process.stop()


@dataclass(frozen=True)
class Seen:
    """What an aardwolf client tells in the end."""

    error: str
    """Why it did not come in, in its own words; empty when it did."""
    protocol: str
    """What X.224 agreed on, such as "SSL" or "HYBRID_EX"."""
    picture: NDArray[np.uint32]
    """(height, width), 0x00RRGGBB, from 16 bits per pixel; empty without a connection."""


def aardwolf(
    directory: Path,
    address: tuple[str, int],
    *,
    security: str = "tls",
    user: str = "user",
    password: str = "",
    depth: int = 16,
    keys: Sequence[int] = (),
    clicks: Sequence[tuple[int, int]] = (),
    seconds: float = 1.0,
) -> Seen:
    """Runs an aardwolf client through one session.

    `security`: "tls" or "nla"; `keys`: scan codes (set 1) that it types, `clicks`: places where it clicks the
    left button, both by slow-path input; `seconds`: how long it then stays.
    """
    number = len(list(directory.glob("aardwolf*.log")))
    log = directory / f"aardwolf{number}.log"
    picture = directory / f"aardwolf{number}.png"
    plan: dict[str, Any] = {
        "host": address[0],
        "port": address[1],
        "security": security,
        "user": user,
        "password": password,
        "depth": depth,
        "keys": list(keys),
        "clicks": list(clicks),
        "seconds": seconds,
        "picture": str(picture),
    }
    script = Path(__file__).parent / "aardwolf_session.py"
    process = Process([sys.executable, str(script), json.dumps(plan)], log)
    try:
        status = process.wait(DEADLINE + seconds)
    finally:
        process.stop()
    assert status == 0, process.output
    told = json.loads(process.output.splitlines()[-1])
    pixels = read_picture(picture) if picture.exists() else np.zeros((0, 0), np.uint32)
    return Seen(told["error"], told["protocol"], pixels)
