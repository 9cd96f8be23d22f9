"""The hook socket as a file: it appears under its name only when somebody answers on it."""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.socket_path import excess_bytes

log = get_logger(__name__)

_STAGED_NAME = "s"


class HookSocketError(SidecarError):
    """The hook socket cannot be where it should be."""


class SocketFile:
    """The name of a listening unix socket, given to it late and taken away at the end.

    virt-launcher calls whatever socket it sees and fails the VM when nobody answers (facts: kubevirt 1.2),
    but looks into no sub-directory (1.1). So the server binds `staging`, in a sub-directory that only this
    user can enter, and `publish` renames the socket into place when it answers.

    `path` must be absolute and its basename unique among the sidecars of one VM (1.1). Raises HookSocketError
    when it is too long for a socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directory = path.with_name(f".{path.name}")
        self.staging = self._directory / _STAGED_NAME
        self._published: tuple[int, int] | None = None
        excess = excess_bytes(self.staging)
        if excess > 0:
            raise HookSocketError(f"the path of the hook socket is {excess} bytes too long: {path}")

    def prepare(self) -> None:
        """Makes the folders and clears away what a crashed predecessor left.

        Raises HookSocketError when the name belongs to a file that is no socket or to a process that lives.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            self._discard_staging()
            self._directory.mkdir(mode=0o700)
            self._try_to_bind()
        except OSError as error:
            raise self._unusable(error) from error

    def publish(self) -> None:
        """Gives the socket its name. Whoever has our user or group may connect: virt-launcher has both
        (facts: kubevirt 4), and the status names users, so nobody else may. Raises HookSocketError.
        """
        try:
            self.staging.chmod(0o660)
            found = self.staging.lstat()
            self.staging.rename(self.path)
            self._published = found.st_dev, found.st_ino
            self._discard_staging()
        except OSError as error:
            raise self._unusable(error) from error

    def remove(self) -> None:
        """Takes the name away, unless it names another process's socket by now. May be called twice."""
        try:
            self._discard_staging()
            if self._published is not None:
                found = self.path.lstat()
                if (found.st_dev, found.st_ino) == self._published:
                    self.path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            # we are leaving: nobody can mend it and nothing else may be kept from being let go
            log.warning("hook socket was left behind", path=str(self.path), cause=error.strerror)
        self._published = None

    def hang_up(self) -> int:
        """Ends every connection of this process that was made to the socket, whatever is on its way in it;
        how many there were. For those that whoever accepted them cannot end.
        """
        ended = 0
        for name in os.listdir("/proc/self/fd"):
            try:
                # a copy stays what it is, although another thread may close the original
                copy = os.dup(int(name))
            except OSError:
                continue
            try:
                # raises for what is no socket
                connection = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            with connection, contextlib.suppress(OSError):
                if connection.getsockname() == str(self.staging):
                    # raises for the one that listens
                    connection.getpeername()
                    connection.shutdown(socket.SHUT_RDWR)
                    ended += 1
        return ended

    def _discard_staging(self) -> None:
        if self._directory.is_dir():
            self.staging.unlink(missing_ok=True)
            self._directory.rmdir()

    def _try_to_bind(self) -> None:
        """Learns why a socket cannot be there, which gRPC would not tell. Raises OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.bind(os.fsencode(self.staging))
        self.staging.unlink()

    def _unusable(self, error: OSError) -> HookSocketError:
        reason = (error.strerror or str(error)).lower()
        advice = f"name one in which user {os.geteuid()} may write: --hook-dir"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room there"
        return HookSocketError(f"cannot use the hook folder {self.path.parent}: {reason}; {advice}")

    def _remove_stale(self) -> None:
        try:
            found = self.path.lstat()
            if not stat.S_ISSOCK(found.st_mode):
                raise HookSocketError(f"{self.path} is no socket: remove it, or choose another hook folder")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            outcome = probe.connect_ex(os.fsencode(self.path))
        if outcome == errno.EACCES:
            raise HookSocketError(
                f"{self.path} belongs to user {found.st_uid}: remove it, or choose another hook folder"
            )
        if outcome != errno.ECONNREFUSED:
            raise HookSocketError(
                f"another process answers on {self.path}: stop it, or choose another hook folder"
            )
        log.info("stale hook socket removed", path=str(self.path))
        self.path.unlink(missing_ok=True)
