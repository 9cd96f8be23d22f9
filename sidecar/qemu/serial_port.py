"""One character device of QEMU, whatever QEMU process is behind it at the time."""

import asyncio
import socket
from contextlib import ExitStack
from typing import Final

from sidecar.guest import PortKind
from sidecar.log import get_logger
from sidecar.observers import Observers, WatchedObservers
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.errors import CallRefused, ConnectionLost
from sidecar.qemu.link import Link, Properties

log = get_logger(__name__)

CHARDEV: Final = "org.qemu.Display1.Chardev"

MAX_READ: Final = 64 * 1024
"""Bytes that are read in one turn of the loop."""

FLOOD: Final = 32 * 1024
"""Bytes read at once that say that the machine writes faster than it is read."""

FLOOD_PAUSE: Final = 0.005
"""Seconds for which such a machine waits: it gets at most some 13 MB/s through, and the loop has time."""

MAX_UNSENT: Final = 64 * 1024
"""Bytes that wait for a machine that does not read."""

SEND_BUFFER: Final = 16 * 1024
"""Bytes that the system may hold besides, so that what is sent is near to being taken."""

BREAK_TIMEOUT: Final = 5.0


class QemuSerialPort:
    """org.qemu.Display1.Chardev; see `sidecar.guest.SerialPort`. Lives as long as its guest.

    It is open only while somebody has subscribed to `output`: QEMU has one reader for each device, which may
    be another program's to be.
    """

    def __init__(self, name: str, label: str, kind: PortKind) -> None:
        self.changes: Observers[[]] = Observers()
        """Called when `is_open` has changed."""
        self._wanted = asyncio.Event()
        self.output: WatchedObservers[[bytes]] = WatchedObservers(self._wanted.set, self._left_alone)
        """Called with what comes out, at most MAX_READ bytes at once."""
        self._name = name
        self._label = label
        self._kind = kind
        self._stream: _Stream | None = None
        self._link: Link | None = None
        self._path = ""
        self._is_taken = False
        """Somebody else reads it, which was said."""

    @property
    def name(self) -> str:
        """Unique among the machine's ports."""
        return self._name

    @property
    def label(self) -> str:
        """QEMU's label of the device."""
        return self._label

    @property
    def kind(self) -> PortKind:
        """What is at its other end."""
        return self._kind

    @property
    def is_open(self) -> bool:
        """Whether bytes can go either way now."""
        return self._stream is not None

    @property
    def write_backlog(self) -> int:
        """Bytes that the machine has not taken yet."""
        return self._stream.backlog if self._stream else 0

    def write(self, data: bytes) -> int:
        """Sends bytes into the machine, never waiting; how many were taken: the first so many."""
        return self._stream.write(data) if self._stream else 0

    def hold(self, held: bool) -> None:
        """Reads no more until it is not held, or goes on; ends when the port closes."""
        if self._stream:
            self._stream.hold(held)

    async def send_break(self) -> None:
        """Sends a break. Does nothing while the port is not open, or where QEMU does not take it."""
        if self._link is None or not self.is_open:
            return
        try:
            await self._link.call(self._path, CHARDEV, "SendBreak", timeout=BREAK_TIMEOUT)
        except (CallRefused, ConnectionLost) as error:
            log.info("a break was not sent", port=self._name, cause=str(error))

    async def serve(self, link: Link, path: str) -> None:
        """Keeps the port open while somebody is to read it, until it is cancelled."""
        freed = asyncio.Event()

        def properties_changed(interface: str, changed: Properties) -> None:
            if interface == CHARDEV and changed.get("Owner") == "":
                freed.set()

        with ExitStack() as stack:
            stack.callback(link.observe(path, properties_changed))
            self._link, self._path = link, path
            stack.callback(self._forget_link)
            back_off = BackOff(0.1, 5.0)
            while True:
                await self._wanted.wait()
                freed.clear()
                if await self._open(link, path):
                    back_off.reset()
                try:
                    async with asyncio.timeout(back_off.next()):
                        await freed.wait()
                except TimeoutError:
                    pass

    def _left_alone(self) -> None:
        self._wanted.clear()
        if self._stream:
            self._stream.end()

    def _forget_link(self) -> None:
        self._link = None

    async def _open(self, link: Link, path: str) -> bool:
        """Has QEMU take one end of a socket, and serves the other until it ends; whether QEMU took it."""
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs:
                    await link.call(
                        path, CHARDEV, "Register", signature="h", body=[0], unix_fds=[theirs.fileno()]
                    )
            except CallRefused as error:
                self._say_taken(error)
                return False
            except ConnectionLost as error:
                log.debug("a port cannot be opened", port=self._name, cause=str(error))
                return False
            self._is_taken = False
            with _Stream(ours, self.output) as stream:
                self._stream = stream
                log.debug("port opened", port=self._name)
                self.changes.notify()
                try:
                    await stream.ended.wait()
                finally:
                    self._stream = None
                    log.debug("port closed", port=self._name)
                    self.changes.notify()
        return True

    def _say_taken(self, error: CallRefused) -> None:
        if not self._is_taken:
            self._is_taken = True
            log.warning(
                "a port is open elsewhere, waiting until it is not", port=self._name, cause=error.text
            )


class _Stream:
    """Our end of the socket, while it is entered. `ended` is set when QEMU has closed the other one."""

    def __init__(self, sock: socket.socket, output: Observers[[bytes]]) -> None:
        self.ended = asyncio.Event()
        self._socket = sock
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._pause: asyncio.TimerHandle | None = None
        self._held = False
        self._writes = False
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def __enter__(self) -> "_Stream":
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def backlog(self) -> int:
        """Bytes that the system has not taken."""
        return len(self._unsent)

    def end(self) -> None:
        """Stops at once."""
        if self.ended.is_set():
            return
        self.ended.set()
        self._loop.remove_reader(self._socket.fileno())
        self._stop_writing()
        self._unsent.clear()
        if self._pause:
            self._pause.cancel()

    def write(self, data: bytes) -> int:
        """How many of these bytes will be sent."""
        if self.ended.is_set():
            return 0
        taken = data[: MAX_UNSENT - len(self._unsent)]
        self._unsent += taken
        if not self._writes:
            self._send()
        return len(taken)

    def hold(self, held: bool) -> None:
        """Reads no more, or goes on; a pause that a flood has made is kept to."""
        if held == self._held or self.ended.is_set():
            return
        self._held = held
        if held:
            self._loop.remove_reader(self._socket.fileno())
        elif not self._pause:
            self._listen()

    def _listen(self) -> None:
        self._pause = None
        if not self._held:
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(MAX_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        if len(data) >= FLOOD:
            self._loop.remove_reader(self._socket.fileno())
            self._pause = self._loop.call_later(FLOOD_PAUSE, self._listen)
        self._output.notify(data)

    def _send(self) -> None:
        try:
            while self._unsent:
                count = self._socket.send(self._unsent)
                del self._unsent[:count]
        except (BlockingIOError, InterruptedError):
            if not self._writes:
                self._writes = True
                self._loop.add_writer(self._socket.fileno(), self._send)
            return
        except OSError:
            self.end()
            return
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writes:
            self._writes = False
            self._loop.remove_writer(self._socket.fileno())
