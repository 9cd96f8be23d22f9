"""A D-Bus daemon of our own, for one virtual machine and us."""

import asyncio
import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import stat
import string
import subprocess
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sidecar.log import get_logger
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.errors import BusError

log = get_logger(__name__)

PROGRAM: Final = "dbus-daemon"
START_TIMEOUT: Final = 10.0
STOP_TIMEOUT: Final = 5.0
STEADY: Final = 10.0
"""Seconds after which a daemon that ends is started again at once."""

MAX_SOCKET_PATH: Final = 107
"""Bytes of a unix socket's path (unix(7), sun_path without its final zero)."""

_CONFIGURATION: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
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

_PLAIN: Final = frozenset(f"{string.ascii_letters}{string.digits}-_/.\\*".encode())

_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


class PrivateBus:
    """dbus-daemon while the context lasts, started again whenever it ends.

    `directory` is made if it is missing, and taken away again then. It gets the configuration, and the socket
    too unless `socket_path` says otherwise. `allow_uid`: the user, besides our own, who may connect; as root
    we open the socket's file for nobody else, as another user the daemon turns the others away.
    """

    def __init__(
        self, directory: Path, socket_path: Path | None = None, allow_uid: int | None = None
    ) -> None:
        self.directory = directory
        self.socket_path = socket_path or directory / "bus"
        self._allow_uid = os.geteuid() if allow_uid is None else allow_uid
        self._configuration = directory / "bus.conf"
        self._log = directory / "bus.log"
        self._made_directory = False
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """What QEMU's `-display dbus,addr=` takes, and `BusAttach`."""
        return f"unix:path={_escaped(self.socket_path)}"

    @property
    def pid(self) -> int | None:
        """The daemon's process number while it runs."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Returns when the daemon listens. Raises BusError."""
        self._prepare()
        async with AsyncExitStack() as stack:
            stack.callback(self._clean)
            await self._start()
            stack.pop_all()
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._supervisor:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        try:
            await self._stop()
        finally:
            self._clean()

    def _prepare(self) -> None:
        if shutil.which(PROGRAM) is None:
            raise BusError(
                f"{PROGRAM} is not installed: install the package dbus-daemon (Debian: dbus-daemon)"
            )
        if len(os.fsencode(self.socket_path)) > MAX_SOCKET_PATH:
            raise BusError(
                f"{self.socket_path} is longer than {MAX_SOCKET_PATH} bytes: choose a shorter path"
            )
        for uid in self._uids():
            try:
                pwd.getpwuid(uid)
            except KeyError:
                raise BusError(
                    f"{PROGRAM} lets in only users of /etc/passwd, and {uid} is none: add a line"
                    f" 'user{uid}:x:{uid}:{uid}::/:/sbin/nologin' to it"
                ) from None
        try:
            # or it was made by one of us that has crashed
            self._made_directory = not self.directory.exists() or self._configuration.exists()
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._configuration.write_text(self._configured())
            self._configuration.chmod(0o600)
            self._log.touch(mode=0o600)
        except OSError as error:
            raise BusError(f"the bus cannot be set up in {self.directory}: {error.strerror}") from error

    def _uids(self) -> list[int]:
        return sorted({os.geteuid(), self._allow_uid})

    def _configured(self) -> str:
        return _CONFIGURATION.format(
            # as an address escapes it, it holds nothing that means something in XML
            socket=_escaped(self.socket_path),
            users="".join(_USER.format(uid=uid) for uid in self._uids()),
            policies="".join(_POLICY.format(uid=uid) for uid in self._uids()),
        )

    async def _start(self) -> None:
        self.socket_path.unlink(missing_ok=True)
        ready, written = os.pipe()
        try:
            try:
                self._process = self._spawn(written)
            finally:
                os.close(written)
            # it prints its address when it listens, or ends
            await _within(START_TIMEOUT, _readable(ready))
            self._protect(listens=bool(os.read(ready, 1)))
        except TimeoutError:
            await self._stop()
            raise BusError(f"{PROGRAM} does not start within {START_TIMEOUT:g} s") from None
        except OSError as error:
            await self._stop()
            raise BusError(f"{PROGRAM} does not start: {error}") from error
        except BaseException:
            await self._stop()
            raise
        finally:
            os.close(ready)
        log.info("the private bus listens", address=self.address, users=self._uids())

    def _spawn(self, address_pipe: int) -> "subprocess.Popen[bytes]":
        command = [
            PROGRAM,
            f"--config-file={self._configuration}",
            *("--nofork", "--nopidfile", "--nosyslog"),
            f"--print-address={address_pipe}",
        ]
        with self._log.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - every word is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[address_pipe],
                # Ctrl-C is for us, and QEMU needs the bus until it has ended
                start_new_session=True,
                # safe beside threads: it does nothing but one system call
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )

    def _protect(self, *, listens: bool) -> None:
        """Lets nobody but the users reach the socket, which the daemon makes for everybody.

        The daemon's policy turns others away in any case.
        """
        if not listens:
            raise BusError(f"{PROGRAM} does not start: {self._last_words()}")
        if self._uids() == [os.geteuid()]:
            self.socket_path.chmod(0o600)
            return
        if os.geteuid() == 0:
            self.socket_path.chmod(0o600)
            os.chown(self.socket_path, self._allow_uid, -1)
        if self.socket_path.parent == self.directory:
            self.directory.chmod(stat.S_IMODE(self.directory.stat().st_mode) | 0o011)

    def _last_words(self) -> str:
        words = self._log.read_text(errors="replace").strip()
        return words.splitlines()[-1] if words else "it says nothing"

    async def _supervise(self) -> None:
        back_off = BackOff(0.1, 10.0)
        while True:
            began = time.monotonic()
            if self._process is None:
                try:
                    await self._start()
                except BusError as error:
                    log.warning("the private bus cannot be started again", error=str(error))
            if self._process is not None:
                await _ended(self._process)
                log.warning("the private bus has ended", status=self._process.returncode)
                self._process = None
            if time.monotonic() - began > STEADY:
                back_off.reset()
            await asyncio.sleep(back_off.next())

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.terminate()
            await _within(STOP_TIMEOUT, _ended(process))
        except TimeoutError:
            log.warning("the private bus does not end", pid=process.pid)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _clean(self) -> None:
        for path in (self.socket_path, self._configuration, self._log):
            path.unlink(missing_ok=True)
        if self._made_directory:
            # others may have put something into it
            with contextlib.suppress(OSError):
                self.directory.rmdir()


def _die_with_parent() -> None:
    # between fork and exec: nothing but the system call that was looked up before. SIGKILL: one that
    # ends in good order removes its socket, which may be that of a sidecar started meanwhile
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _escaped(path: Path) -> str:
    """As a D-Bus address has it: other bytes than these as %XX (D-Bus specification, Server addresses)."""
    return "".join(chr(octet) if octet in _PLAIN else f"%{octet:02x}" for octet in os.fsencode(path))


async def _within(seconds: float, work: Awaitable[None]) -> None:
    async with asyncio.timeout(seconds):
        await work


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


async def _ended(process: "subprocess.Popen[bytes]") -> None:
    """Waits for its end without a thread or a signal handler."""
    if process.poll() is not None:
        return
    descriptor = os.pidfd_open(process.pid)
    try:
        await _readable(descriptor)
        process.wait()
    finally:
        os.close(descriptor)
