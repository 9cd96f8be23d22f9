"""GTK-VNC as a listener: a process of its own under Xvfb that writes down what it is given to play."""

import json
from pathlib import Path
from typing import Any

from support.processes import Process
from support.viewers import XServer

PYTHON = "/usr/bin/python3"
"""The system's, for which Debian builds the bindings (python3-gi, gir1.2-gtk-vnc-2.0)."""

SINK = Path(__file__).with_name("gtk_vnc_sink.py")


class GtkVnc:
    """A viewer that has turned sound on when it is connected.

    `form`: sample format by its number in the protocol, channels, frames in a second.
    """

    def __init__(self, x_server: XServer, port: int, form: tuple[int, int, int]) -> None:
        number = len(list(x_server.directory.glob("gtk-vnc*.log")))
        self._samples = x_server.directory / f"gtk-vnc{number}.pcm"
        home = x_server.directory / f"home-gtk-vnc{number}"
        home.mkdir()
        command = [PYTHON, str(SINK), "127.0.0.1", str(port), str(self._samples), *map(str, form)]
        # no services of a desktop: there is none, and none is to be started
        environment = {
            "DISPLAY": x_server.display,
            "HOME": str(home),
            "NO_AT_BRIDGE": "1",
            "GDK_BACKEND": "x11",
        }
        environment |= {"GSETTINGS_BACKEND": "memory", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
        self.process = Process(command, x_server.directory / f"gtk-vnc{number}.log", environment)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What has happened to it, see `gtk_vnc_sink`; AssertionError where it has given up."""
        output = self.process.output
        assert self.process.is_running, output
        # the last line may not be whole yet
        lines = output[: output.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def has_stopped(self) -> bool:
        """Whether a stream has come to its end, and no other one has begun."""
        return self.events[-1:] == [{"event": "stop"}]

    @property
    def samples(self) -> bytes:
        """All that it was given to play."""
        return self._samples.read_bytes()

    def close(self) -> None:
        self.process.stop()
