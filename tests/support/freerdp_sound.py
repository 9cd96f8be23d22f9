"""FreeRDP's client with a loudspeaker that writes a file, and a microphone that hums.

The loudspeaker is ALSA's `file` device before a `null` one: what the client plays is in the file, exactly and
at any speed, so a busy machine makes no gaps in it. FreeRDP wants a mixer beside it, and a microphone:
PulseAudio has both without any hardware.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.freerdp import Settings
from support.processes import Process
from support.viewers import XServer
from support.waiting import wait_until

HUM = 523
"""Hz of what the microphone hears."""

PATIENT = "sys:alsa,dev:recorder,latency:5000"
"""Arguments of the client's sound: without a latency it drops what comes faster than it is played."""

_ALSA = """
pcm.recorder {{ type file slave.pcm {{ type null }} file "{path}" format "raw" }}
ctl.recorder {{ type pulse }}
"""


class PulseAudio:
    """A sound server of the test's own, with a microphone."""

    def __init__(self, directory: Path) -> None:
        home = directory / "pulse"
        home.mkdir()
        self._socket = home / "socket"
        self.address = f"unix:{self._socket}"
        modules = (
            f"module-native-protocol-unix socket={self._socket} auth-anonymous=1",
            "module-null-sink",
            f"module-sine-source frequency={HUM} rate=48000",
        )
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        command += ["--disable-shm=yes", "--realtime=no", "--high-priority=no"]
        command += [f"--load={module}" for module in modules]
        environment = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
        self._process = Process(command, directory / "pulse.log", environment)
        try:
            wait_until(self._has_started, "PulseAudio starts")
        except BaseException:
            self._process.kill()
            raise

    def _has_started(self) -> bool:
        assert self._process.is_running, self._process.output
        return self._socket.exists()

    def close(self) -> None:
        self._process.stop()


class SoundingFreeRdp:
    """A client whose loudspeaker writes `recording`. Whether it is connected, its session tells."""

    def __init__(self, x_server: XServer, pulse: PulseAudio, settings: Settings) -> None:
        number = len(list(x_server.directory.glob("speaker*")))
        home = x_server.directory / f"speaker{number}"
        home.mkdir()
        self._file = home / "played"
        (home / ".asoundrc").write_text(_ALSA.format(path=self._file))
        environment = {
            "DISPLAY": x_server.display,
            "HOME": str(home),
            "XAUTHORITY": "/dev/null",
            "PULSE_SERVER": pulse.address,
        }
        self.process = Process(settings.command(home.name), home / "log", environment)

    def recording(self) -> NDArray[np.int16]:
        """All that it has played: a row for each frame, of two channels.

        The last of it is there only once the client has ended by itself, as after its session has ended.
        """
        self.process.wait()
        samples = np.fromfile(self._file, "<i2") if self._file.exists() else np.zeros(0, "<i2")
        return samples.reshape(-1, 2)

    def close(self) -> None:
        self.process.stop()
