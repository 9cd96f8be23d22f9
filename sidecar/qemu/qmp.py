"""QEMU's monitor protocol, as far as attaching, asking and switching need it.

Not by qemu.qmp: that one can pass file descriptors on asyncio's own loops only, and we run on uvloop.
Source: QEMU docs/interop/qmp-spec.rst.
"""

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from sidecar.log import get_logger
from sidecar.qemu.errors import ConnectionLost, QmpRefused

log = get_logger(__name__)

TIMEOUT: Final = 30.0
MAX_LINE: Final = 4 * 1024 * 1024
"""Longest answer that is believed; `query-qmp-schema`, the longest one there is, takes 300 kB."""

EventFilter: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
"""Whether an event of this name and with this data is meant."""


class Qmp(asyncio.Protocol):
    """One connection to a monitor socket, ready for commands while the context lasts.

    QEMU serves one client at a time on such a socket; others wait in its queue.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._received = bytearray()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._awaited: list[tuple[EventFilter, asyncio.Future[tuple[str, Mapping[str, Any]]]]] = []
        loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._closed = loop.create_future()

    async def __aenter__(self) -> Self:
        """Raises ConnectionLost, also when QEMU is busy with another client for 10 s."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            # never waits: a unix socket is connected at once, or its queue is full, which loops do not tell
            sock.connect(str(self._path))
            async with asyncio.timeout(10):
                self._transport, _ = await loop.create_unix_connection(lambda: self, sock=sock)
                self._socket = sock
                await self._greeted
                await self.execute("qmp_capabilities")
        except (OSError, TimeoutError) as error:
            self._end(sock)
            busy = isinstance(error, BlockingIOError | TimeoutError)
            reason = "it does not answer" if busy else error
            raise ConnectionLost(f"no monitor at {self._path}: {reason}") from error
        except BaseException:
            self._end(sock)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport:
            self._transport.close()
            await asyncio.wait([self._closed])

    def _end(self, sock: socket.socket) -> None:
        if self._transport:
            self._transport.close()
        else:
            sock.close()

    async def wait_closed(self) -> None:
        """Returns when the connection has ended."""
        await asyncio.wait([self._closed])

    @property
    def is_open(self) -> bool:
        """Whether commands can be tried."""
        return self._socket is not None and not self._closed.done()

    @property
    def process(self) -> int:
        """Who listened at the socket when we came: a process id, or 0 where it is of another namespace.

        QEMU itself, unless who started it made the socket (unix(7), SO_PEERCRED).
        """
        if self._socket is None or not self.is_open:
            return 0
        size = struct.calcsize("3i")
        peer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", peer)[0])

    @contextmanager
    def event(self, wanted: EventFilter) -> Iterator["asyncio.Future[tuple[str, Mapping[str, Any]]]"]:
        """Name and data of the first event that `wanted` takes while it is entered.

        The future raises ConnectionLost where the connection ends before.
        """
        future = asyncio.get_running_loop().create_future()
        awaited = (wanted, future)
        self._awaited.append(awaited)
        try:
            yield future
        finally:
            self._awaited.remove(awaited)
            if not future.cancel() and not future.cancelled():
                # seen: who waited for a command that failed has that error
                future.exception()

    async def execute(
        self, command: str, arguments: dict[str, Any] | None = None, unix_fds: Sequence[int] = ()
    ) -> Any:
        """Runs a command; what it returns. `unix_fds` are duplicated for QEMU with it.

        Raises QmpRefused with QEMU's words, ConnectionLost when there is no answer within 30 s.
        """
        if self._socket is None or self._closed.done():
            raise ConnectionLost(f"{command}: the monitor connection is closed")
        number = next(self._numbers)
        message = {"execute": command, "id": number, **({"arguments": arguments} if arguments else {})}
        line = json.dumps(message).encode() + b"\n"
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            # commands are shorter than any socket buffer, and the transport itself never writes
            if socket.send_fds(self._socket, [line], list(unix_fds)) != len(line):
                # whatever followed would be read as the rest of this one
                del self._answers[number]
                self._fail(ConnectionLost("the monitor does not read"))
                raise ConnectionLost(f"{command}: the monitor does not read")
            async with asyncio.timeout(TIMEOUT):
                return await answer
        except TimeoutError:
            raise ConnectionLost(f"{command} was not answered within {TIMEOUT:g} s") from None
        except OSError as error:
            raise ConnectionLost(f"{command}: {error}") from error
        finally:
            self._answers.pop(number, None)

    def data_received(self, data: bytes) -> None:
        """Takes what QEMU sent, whole lines at a time."""
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        for line in lines:
            if line.strip():
                self._receive(line)
        if len(self._received) > MAX_LINE:
            log.warning("the monitor sent a line without end", path=str(self._path))
            self._fail(ConnectionLost("the monitor sent a line without end"))

    def _receive(self, line: bytes | bytearray) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._fail(ConnectionLost(f"{self._path} does not speak QMP"))
            return
        if "QMP" in message:
            if not self._greeted.done():
                self._greeted.set_result(None)
            return
        if "event" in message:
            self._receive_event(message["event"], message.get("data", {}))
            return
        number = message.get("id")
        answer = self._answers.get(number) if isinstance(number, int) else None
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(_refusal(message["error"]))
        else:
            answer.set_result(message.get("return"))

    def _receive_event(self, name: object, data: object) -> None:
        if not isinstance(name, str) or not isinstance(data, dict):
            return
        for wanted, future in self._awaited:
            if not future.done() and wanted(name, data):
                future.set_result((name, data))

    def connection_lost(self, error: Exception | None) -> None:
        """Tells everybody who waits."""
        self._fail(ConnectionLost(f"the monitor connection ended{f': {error}' if error else ''}"))
        if not self._closed.done():
            self._closed.set_result(None)

    def _fail(self, error: ConnectionLost) -> None:
        events = (future for _, future in self._awaited)
        waiting: asyncio.Future[Any]
        for waiting in (self._greeted, *self._answers.values(), *events):
            if not waiting.done():
                waiting.set_exception(error)
        if self._greeted.done() and not self._greeted.cancelled():
            # seen: who came in has other answers to wait for
            self._greeted.exception()
        if self._transport:
            self._transport.close()


def _refusal(error: object) -> QmpRefused:
    return QmpRefused(str(error.get("desc", error) if isinstance(error, dict) else error))
