"""One dbus-daemon, from its start to its end. It needs no file but its socket."""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from sidecar.log import get_logger
from sidecar.qemu.errors import BusError

log = get_logger(__name__)

PROGRAM: Final = "dbus-daemon"
START_TIMEOUT: Final = 10.0

LONGEST_LINE: Final = 500
LINES_A_MINUTE: Final = 20
"""What of its complaints is logged; a volume or a log must not be filled by whoever makes it complain."""

_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


class BusDaemon:
    """dbus-daemon with a configuration, which it gets from memory; its complaints go into our log."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._complaints = _Complaints()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        """Readable when the process has ended."""

    @property
    def pid(self) -> int:
        """Its process number; 0 when it does not run."""
        return self._process.pid if self._process else 0

    async def start(self, configuration: str) -> None:
        """Returns when it listens. Raises BusError, and it is gone then."""
        if shutil.which(PROGRAM) is None:
            raise BusError(
                f"{PROGRAM} is not installed: install the package dbus-daemon (Debian: dbus-daemon)"
            )
        try:
            await self._start(configuration)
        except TimeoutError:
            await self.end()
            raise BusError(f"{PROGRAM} does not start within {START_TIMEOUT:g} s") from None
        except OSError as error:
            await self.end()
            raise BusError(f"{PROGRAM} does not start: {error.strerror}") from error
        except BaseException:
            await self.end()
            raise

    async def ended(self) -> int:
        """Waits for its end, without a thread or a signal handler; its status. For one at a time."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None and self._pidfd is not None:
            await _readable(self._pidfd)
        return process.wait()

    def kill(self) -> None:
        """Ends it; `ended` tells when that has happened.

        By SIGKILL: asked to end, it would take away whatever bears its socket's name by then.
        """
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def end(self) -> None:
        """Ends it and lets go of it."""
        self.kill()
        try:
            await self.ended()
        finally:
            process, self._process = self._process, None
            if process is not None:
                process.wait()
            pidfd, self._pidfd = self._pidfd, None
            if pidfd is not None:
                os.close(pidfd)
            self._complaints.close()

    async def _start(self, configuration: str) -> None:
        with ExitStack() as stack:
            # not a file: the volume may be full, and another daemon may share it
            memory = os.memfd_create("bus.conf")
            stack.callback(os.close, memory)
            os.write(memory, configuration.encode())
            ready, written = os.pipe()
            stack.callback(os.close, ready)
            try:
                self._process = self._spawn(memory, written)
                self._pidfd = os.pidfd_open(self._process.pid)
            finally:
                os.close(written)
            # it prints its address when it listens, or ends
            async with asyncio.timeout(START_TIMEOUT):
                await _readable(ready)
            if not os.read(ready, 1):
                await self.ended()
                raise BusError(f"{PROGRAM} does not start: {self._complaints.last_words()}")

    def _spawn(self, configuration: int, address: int) -> "subprocess.Popen[bytes]":
        command = [
            PROGRAM,
            f"--config-file=/proc/self/fd/{configuration}",
            *("--nofork", "--nopidfile", "--nosyslog"),
            f"--print-address={address}",
        ]
        with self._complaints.input() as output:
            return subprocess.Popen(  # noqa: S603 - every word is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[configuration, address],
                # Ctrl-C is for us, and QEMU needs the bus until it has ended
                start_new_session=True,
                # safe beside threads: it does nothing but one system call
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )


class _Complaints:
    """What the daemon writes to stderr: some of it goes into our log, the last line is kept."""

    def __init__(self) -> None:
        self._output: int | None = None
        self._unfinished = b""
        self._last = ""
        self._minute = 0.0
        self._lines = 0

    @contextmanager
    def input(self) -> Iterator[int]:
        """The end to write to, for a process that is started meanwhile."""
        self._output, written = os.pipe()
        try:
            # the daemon must not wait for us, and loses what we do not read
            os.set_blocking(written, False)
            os.set_blocking(self._output, False)
            asyncio.get_running_loop().add_reader(self._output, self._read)
            yield written
        finally:
            os.close(written)

    def last_words(self) -> str:
        """The last line so far, without the name of the program."""
        while self._read():
            pass
        return self._last.partition("]: ")[2] or self._last or "it says nothing"

    def close(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            asyncio.get_running_loop().remove_reader(output)
            os.close(output)

    def _read(self) -> bool:
        """Takes what is there; whether there may be more."""
        if self._output is None:
            return False
        try:
            data = os.read(self._output, 4096)
        except BlockingIOError:
            return False
        if not data:
            self.close()
        *lines, self._unfinished = (self._unfinished + data + (b"" if data else b"\n")).split(b"\n")
        self._unfinished = self._unfinished[:LONGEST_LINE]
        for line in filter(None, lines):
            self._heard(line[:LONGEST_LINE].decode(errors="replace"))
        return bool(data)

    def _heard(self, line: str) -> None:
        self._last = line
        now = time.monotonic()
        if now - self._minute >= 60:
            self._minute, self._lines = now, 0
        self._lines += 1
        if self._lines <= LINES_A_MINUTE:
            log.info("the private bus says", line=line)


def _die_with_parent() -> None:
    # between fork and exec: nothing but the system call that was looked up before
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
