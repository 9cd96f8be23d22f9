"""A real libvirt with its QEMU driver, as virt-launcher has it: a session daemon whose user is not root."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

from support import libvirt_reaper
from support.processes import Process
from support.waiting import wait_until

USER = "nobody" if os.geteuid() == 0 else None
"""Whose daemon it is; None: our own. Root's would be the one of the system, with the system's paths."""

QEMU_CONFIGURATION = """\
# there is no virtlogd
stdio_handler = "file"
security_driver = "none"
"""
DAEMON_CONFIGURATION = 'log_outputs = "2:stderr"\n'


class LibvirtError(Exception):
    """virsh has failed; the text is what it says."""


class Libvirt:
    """libvirtd and all its files in `directory` (with a short path); it answers when the constructor returns.

    Nothing of it is left when `close` has returned, machines included.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user_id = None if USER is None else pwd.getpwnam(USER).pw_uid
        config, cache, data, run = folders = [directory / name for name in ("config", "cache", "data", "run")]
        configuration = config / "libvirt"
        for folder in (*folders, configuration):
            self.make(folder)
        (configuration / "qemu.conf").write_text(QEMU_CONFIGURATION)
        (configuration / "libvirtd.conf").write_text(DAEMON_CONFIGURATION)
        self._environment = {
            "HOME": str(directory),
            "LC_ALL": "C",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "XDG_CONFIG_HOME": str(config),
            "XDG_CACHE_HOME": str(cache),
            "XDG_DATA_HOME": str(data),
            "XDG_RUNTIME_DIR": str(run),
        }
        self._socket = run / "libvirt" / "libvirt-sock"
        # by a program, since Python would fork for `user=`, which gRPC in this process does not bear
        as_user = () if USER is None else ("setpriv", f"--reuid={USER}", "--clear-groups")
        # with a socket, as virt-launcher writes it, virsh starts no daemon of its own
        self.uri = f"qemu+unix:///session?socket={self._socket}"
        self._virsh = (*as_user, "virsh", "--quiet", "--connect", self.uri)
        self._start()

    def _start(self) -> None:
        self._process = Process(
            [sys.executable, libvirt_reaper.__file__, USER or "-", "libvirtd"],
            self.directory / "libvirtd.log",
            self._environment,
        )
        try:
            wait_until(self._listens, "libvirt listens")
            self.version = self.virsh("version", "--daemon").split("daemon: ")[1].strip()
        except BaseException:
            self.close()
            raise

    def _listens(self) -> bool:
        assert self._process.is_running, self._process.output
        return self._socket.exists()

    @property
    def pid(self) -> int:
        """The daemon itself."""
        return int((self.directory / "run" / "libvirt" / "libvirtd.pid").read_text())

    def restart(self) -> None:
        """Ends the daemon with its machines, and starts another one that has the same definitions."""
        self.close()
        self._socket.unlink(missing_ok=True)
        self._start()

    def make(self, folder: Path) -> None:
        """Makes a folder where libvirt and its machines may write."""
        folder.mkdir()
        self.give(folder)

    def give(self, path: Path) -> None:
        """Makes libvirt's user the owner of a file."""
        if self.user_id is not None:
            os.chown(path, self.user_id, -1)

    def virsh(self, *arguments: str) -> str:
        """What virsh prints. Raises LibvirtError."""
        done = subprocess.run(
            [*self._virsh, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise LibvirtError(done.stderr)
        return done.stdout

    def write(self, name: str, xml: bytes) -> str:
        """Puts XML into a file, for virsh to read."""
        path = self.directory / name
        path.write_bytes(xml)
        path.chmod(0o644)
        return str(path)

    def define(self, xml: bytes) -> None:
        """Raises LibvirtError for a domain that libvirt does not take."""
        self.virsh("define", self.write("defined.xml", xml))

    def close(self) -> None:
        """Ends the daemon, then its machines."""
        self._process.stop()
