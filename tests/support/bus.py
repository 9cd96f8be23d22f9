"""A private D-Bus daemon for one test, independent of the one that the package starts."""

import socket
from pathlib import Path

from support.processes import Process
from support.waiting import wait_until

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
  <limit name="max_message_size">134217728</limit>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
</busconfig>
"""


def listens(path: Path) -> bool:
    """Whether somebody can come to a unix socket; its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


class Bus:
    """dbus-daemon on a socket in `directory`."""

    def __init__(self, directory: Path) -> None:
        path = directory / "bus"
        configuration = directory / "bus.conf"
        configuration.write_text(CONFIGURATION.format(socket=path))
        self.address = f"unix:path={path}"
        self.process = Process(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile"],
            directory / "bus.log",
        )
        try:
            wait_until(lambda: listens(path), f"dbus-daemon listens\n{self.process.output}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.process.stop()
