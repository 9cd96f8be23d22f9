"""A D-Bus bus of our own, for one virtual machine and us."""

import asyncio
import contextlib
import errno
import os
import pwd
import socket
import stat
import struct
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sidecar.alongside import alongside
from sidecar.bus_address import bus_address_of
from sidecar.errors import NotReady
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.bus_daemon import PROGRAM, BusDaemon
from sidecar.qemu.errors import BusError
from sidecar.socket_path import LONGEST_SOCKET_PATH, excess_bytes

log = get_logger(__name__)

STEADY: Final = 10.0
"""Seconds after which a daemon that ends is started again at once."""
ANSWER_TIMEOUT: Final = 2.0
"""Seconds for the daemon to greet somebody who has connected."""
POLL: Final = 0.1

_CONFIGURATION: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <deny user="*"/>
{users}  </policy>
{policies}</busconfig>
"""

_USER: Final = '    <allow user="{uid}"/>\n'

_POLICY: Final = """  <policy user="{uid}">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
"""


class PrivateBus:
    """dbus-daemon on a socket in `directory` while the context lasts, started again whenever it ends.

    The directory is made if it is missing, and taken away again then. Nothing else is put into it: a volume
    that becomes full does no harm, and several may use one after each other. `allow_uid`: the user, besides
    our own, who may connect; as root we open the socket's file for nobody else, as another user the daemon
    turns the others away. `name`: that of the socket.
    """

    def __init__(self, directory: Path, allow_uid: int | None = None, *, name: str = "bus") -> None:
        self.directory = directory
        self.socket_path = directory / name
        self.changes: Observers[[]] = Observers()
        """Called when the daemon has ended, runs again, or could not be started."""
        self.failure = ""
        """Why it does not run; empty while it does."""
        self.generation = 0
        """How many daemons there have been: QEMU stays with the one to which it has connected."""
        self._allow_uid = os.geteuid() if allow_uid is None else allow_uid
        self._made_directory = False
        self._daemon: BusDaemon | None = None
        self._bound: tuple[int, int] | None = None
        self._wanted = asyncio.Event()
        self._entered = AsyncExitStack()

    @property
    def address(self) -> str:
        """What QEMU's `-display dbus,addr=` takes, and `BusAttach`."""
        return bus_address_of(self.socket_path)

    @property
    def pid(self) -> int | None:
        """The daemon's process number while it runs."""
        return self._daemon.pid if self._daemon else None

    async def __aenter__(self) -> Self:
        """Returns when the daemon listens. Raises BusError."""
        self._check()
        async with AsyncExitStack() as stack:
            stack.callback(self._clean)
            await self._start()
            stack.push_async_callback(self._stop)
            await stack.enter_async_context(alongside(self._supervise(), name="supervision of the bus"))
            self._entered = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.aclose()

    async def answers(self) -> bool:
        """Whether our daemon, and no other, answers at the address now."""
        if not self.pid:
            return False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await _greeted_by(self.socket_path) == self.pid
        except (OSError, TimeoutError):
            return False

    async def ready(self, *, within: float = 5.0, mend: bool = True) -> None:
        """Returns when QEMU could connect; waits for a daemon that is being started again.

        `mend`: whether a daemon whose socket was taken away may be replaced: who is connected to it loses it.
        Raises NotReady when that is not so `within` seconds.
        """
        end = time.monotonic() + within
        asked = mended = False
        while not await self.answers():
            if self._daemon is None and not asked:
                asked = True
                self._wanted.set()
            if mend and not mended and self._daemon is not None and not self._has_its_socket():
                mended = True
                log.warning("the private bus has lost its socket", path=str(self.socket_path))
                self._daemon.kill()
            if time.monotonic() >= end:
                raise NotReady(self._why_not())
            await asyncio.sleep(POLL)

    def _why_not(self) -> str:
        if self.failure:
            return self.failure
        if not self._has_its_socket():
            return f"the bus's socket {self.socket_path} was taken away: shut the machine down and start it"
        return f"the machine's bus does not answer on {self.socket_path}: delete its pod, and start it again"

    def _check(self) -> None:
        if excess_bytes(self.socket_path) > 0:
            raise BusError(
                f"{self.socket_path} is longer than {LONGEST_SOCKET_PATH} bytes: choose a shorter path"
            )
        for uid in self._uids():
            try:
                pwd.getpwuid(uid)
            except KeyError:
                raise BusError(
                    f"{PROGRAM} lets in only users of /etc/passwd, and {uid} is none: add a line"
                    f" 'user{uid}:x:{uid}:{uid}::/:/sbin/nologin' to it"
                ) from None

    def _uids(self) -> list[int]:
        return sorted({os.geteuid(), self._allow_uid})

    def _configured(self) -> str:
        return _CONFIGURATION.format(
            # escaped as it is, the path holds nothing that means something in XML
            address=self.address,
            users="".join(_USER.format(uid=uid) for uid in self._uids()),
            policies="".join(_POLICY.format(uid=uid) for uid in self._uids()),
        )

    async def _start(self) -> None:
        """Raises BusError."""
        try:
            self._make_room()
        except OSError as error:
            raise BusError(f"the bus cannot be set up in {self.directory}: {_with_advice(error)}") from error
        daemon = BusDaemon()
        await daemon.start(self._configured())
        self._daemon = daemon
        try:
            self._take_socket(daemon.pid)
        except OSError as error:
            await self._stop()
            raise BusError(f"the bus cannot be set up in {self.directory}: {_with_advice(error)}") from error
        except BaseException:
            await self._stop()
            raise
        self.generation += 1
        self.failure = ""
        log.info("the private bus listens", address=self.address, users=self._uids())

    def _make_room(self) -> None:
        """Makes the directory, and takes away the socket of one that has died. Raises OSError, BusError."""
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o700, parents=True)
            self._made_directory = True
        try:
            found = self.socket_path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise BusError(f"{self.socket_path} is no socket: remove it, or give the bus another directory")
        with _unix_socket() as probe:
            outcome = probe.connect_ex(os.fsencode(self.socket_path))
        if outcome == errno.EACCES:
            raise BusError(
                f"{self.socket_path} belongs to user {found.st_uid}: remove it, or give the bus another"
                " directory"
            )
        if outcome != errno.ECONNREFUSED:
            raise BusError(
                f"another process answers on {self.socket_path}: stop it, or give each machine a directory of"
                " its own"
            )
        log.info("stale bus socket removed", path=str(self.socket_path))
        self.socket_path.unlink(missing_ok=True)

    def _take_socket(self, pid: int) -> None:
        """Lets nobody but the users reach the daemon's socket, which it makes for everybody.

        The daemon's policy turns others away in any case. Raises OSError, BusError.
        """
        found = self.socket_path.lstat()
        with _connected(self.socket_path) as ours:
            if _peer(ours) != pid:
                raise BusError(
                    f"another process has taken {self.socket_path}: give each machine a directory of its own"
                )
        self._bound = found.st_dev, found.st_ino
        if os.geteuid() == 0 and self._allow_uid != 0:
            try:
                os.chown(self.socket_path, self._allow_uid, -1)
            except PermissionError as error:
                # without the capability, or on NFS, where root is nobody
                log.warning(
                    "the bus's file is open for all users, who are turned away later", cause=error.strerror
                )
            else:
                self.socket_path.chmod(0o600)
        elif self._uids() == [os.geteuid()]:
            self.socket_path.chmod(0o600)
        directory = self.directory.stat()
        if self._uids() != [os.geteuid()] and directory.st_uid == os.geteuid():
            self.directory.chmod(stat.S_IMODE(directory.st_mode) | 0o011)

    async def _supervise(self) -> None:
        back_off = BackOff(0.1, 10.0)
        while True:
            if self._daemon is not None:
                status = await self._daemon.ended()
                log.warning("the private bus has ended", status=status)
                if time.monotonic() - self._daemon.began > STEADY:
                    back_off.reset()
                await self._stop()
                self._fail("the machine's bus has ended, and is being started again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(back_off.next()):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._start()
            except BusError as error:
                self._fail(f"the machine's bus has ended, and cannot be started again: {error}")
            else:
                self.changes.notify()

    def _fail(self, failure: str) -> None:
        if failure != self.failure:
            self.failure = failure
            log.warning("no private bus", cause=failure)
            self.changes.notify()

    async def _stop(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            self._remove_socket()
            await daemon.end()

    def _has_its_socket(self) -> bool:
        try:
            found = self.socket_path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._bound

    def _remove_socket(self) -> None:
        """Unless its name is another one's by now: on a volume that several machines share."""
        if self._has_its_socket():
            try:
                self.socket_path.unlink()
            except OSError as error:
                # we are leaving: nobody can mend it and nothing else may be kept from being let go
                log.warning("bus socket was left behind", path=str(self.socket_path), cause=error.strerror)
        self._bound = None

    def _clean(self) -> None:
        if self._made_directory:
            # others may have put something into it
            with contextlib.suppress(OSError):
                self.directory.rmdir()


async def _greeted_by(path: Path) -> int:
    """The process that has made the socket, if it speaks D-Bus and lets us in; else 0. Raises OSError."""
    loop = asyncio.get_running_loop()
    with _connected(path) as ours:
        who = str(os.geteuid()).encode().hex()
        await loop.sock_sendall(ours, f"\0AUTH EXTERNAL {who}\r\n".encode())
        answer = await loop.sock_recv(ours, 64)
        return _peer(ours) if answer.startswith(b"OK ") else 0


def _connected(path: Path) -> socket.socket:
    ours = _unix_socket()
    try:
        ours.connect(os.fsencode(path))
    except BaseException:
        ours.close()
        raise
    return ours


def _unix_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def _peer(ours: socket.socket) -> int:
    """The process that listens; 0 for one that we cannot see, in another container."""
    credentials = ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _with_advice(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}; user {os.geteuid()} must be able to write there"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{reason}; make room there"
    return reason
