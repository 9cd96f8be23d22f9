"""RFB clients for tests: blocking (`RfbClient`) and for asyncio (`AsyncRfbClient`)."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from support.rfb_session import Needs, RfbSession, StartTls
from support.rfb_wire import ServerMessage, Update
from support.waiting import DEADLINE

Address = str | tuple[str, int]
"""The path of a unix socket, or host and port."""


def no_verification() -> ssl.SSLContext:
    """TLS whose peer nobody checks."""
    # not create_default_context: to read all of the system's authorities takes a tenth of a second
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RfbClient(RfbSession):
    """A blocking client, through the handshake when the constructor returns. A context manager.

    `source`: the address of ours that it comes from; all of 127.0.0.0/8 is.
    """

    def __init__(
        self, address: Address, *, tls: ssl.SSLContext | None = None, source: str = "", **options: Any
    ) -> None:
        super().__init__(**options)
        self._tls = tls or no_verification()
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(DEADLINE)
        self._buffer = bytearray()
        try:
            if source:
                self._socket.bind((source, 0))
            self._socket.connect(address)
            self._run(self.handshake())
            self.flush()
        except BaseException:
            self._socket.close()
            raise

    def _run(self, steps: Needs) -> Any:
        try:
            needed = next(steps)
            while True:
                self.flush()
                if isinstance(needed, StartTls):
                    self._socket = self._tls.wrap_socket(self._socket)
                    needed = steps.send(b"")
                else:
                    needed = steps.send(self._read(needed))
        except StopIteration as end:
            return end.value

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self._socket.recv(max(65536, count - len(self._buffer)))
            if not data:
                raise ConnectionError("the server has closed the connection")
            self._buffer += data
        result = bytes(self._buffer[:count])
        del self._buffer[:count]
        return result

    def flush(self) -> None:
        """Sends what is in `outgoing`."""
        if self.outgoing:
            data = bytes(self.outgoing)
            self.outgoing.clear()
            self._socket.sendall(data)

    def send(self, data: bytes) -> None:
        self.outgoing += data
        self.flush()

    def receive(self) -> ServerMessage:
        """The next message; TimeoutError when none comes."""
        message: ServerMessage = self._run(self.message())
        self.flush()
        return message

    def refresh(self, incremental: bool = False) -> Update:
        """Asks for the whole screen and takes what comes up to the first update with pixels."""
        self.request(incremental)
        self.flush()
        while True:
            message = self.receive()
            if isinstance(message, Update):
                if message.has_pixels:
                    return message
                self.request(incremental)
                self.flush()

    def until(self, condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> None:
        """Asks for and takes updates until `condition` holds; AssertionError with `what` otherwise."""
        end = time.monotonic() + deadline
        self.request(bool(self.updates))
        self.flush()
        while not condition():
            self._socket.settimeout(max(end - time.monotonic(), 0.01))
            try:
                if isinstance(self.receive(), Update):
                    self.request()
                    self.flush()
            except TimeoutError:
                raise AssertionError(f"not within {deadline} s: {what}") from None
            finally:
                self._socket.settimeout(DEADLINE)

    def until_shown(self, rgb: NDArray[np.uint32], deadline: float = DEADLINE) -> None:
        """Takes updates until every pixel is that of `rgb` as far as the pixel format can tell."""
        self.until(lambda: self.shows(rgb), "the picture is exact", deadline)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRfbClient(RfbSession):
    """The same for asyncio: `async with await AsyncRfbClient.connect(...) as client`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(
        cls, address: Address, *, tls: ssl.SSLContext | None = None, source: str = "", **options: Any
    ) -> Self:
        """Connects and goes through the handshake. `source`: the address of ours that it comes from."""
        client = cls(**options)
        client._tls = tls or no_verification()
        if isinstance(address, str):
            client.reader, client.writer = await asyncio.open_unix_connection(address)
        else:
            local = (source, 0) if source else None
            client.reader, client.writer = await asyncio.open_connection(*address, local_addr=local)
        try:
            async with asyncio.timeout(DEADLINE):
                await client._run(client.handshake())
                await client.flush()
        except BaseException:
            client.writer.close()
            raise
        return client

    _tls: ssl.SSLContext

    async def _run(self, steps: Needs) -> Any:
        try:
            needed = next(steps)
            while True:
                await self.flush()
                if isinstance(needed, StartTls):
                    await self.writer.start_tls(self._tls)
                    needed = steps.send(b"")
                else:
                    needed = steps.send(await self.reader.readexactly(needed) if needed else b"")
        except StopIteration as end:
            return end.value

    async def flush(self) -> None:
        """Sends what is in `outgoing`."""
        if self.outgoing:
            data = bytes(self.outgoing)
            self.outgoing.clear()
            self.writer.write(data)
            await self.writer.drain()

    async def send(self, data: bytes) -> None:
        self.outgoing += data
        await self.flush()

    async def receive(self) -> ServerMessage:
        """The next message; asyncio.IncompleteReadError when the server closes."""
        message: ServerMessage = await self._run(self.message())
        await self.flush()
        return message

    async def refresh(self, incremental: bool = False) -> Update:
        """Asks for the whole screen and takes what comes up to the first update with pixels."""
        self.request(incremental)
        await self.flush()
        while True:
            message = await self.receive()
            if isinstance(message, Update):
                if message.has_pixels:
                    return message
                self.request(incremental)
                await self.flush()

    async def until(self, condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> None:
        """Asks for and takes updates until `condition` holds; AssertionError with `what` otherwise."""
        try:
            async with asyncio.timeout(deadline):
                self.request(bool(self.updates))
                await self.flush()
                while not condition():
                    if isinstance(await self.receive(), Update):
                        self.request()
                        await self.flush()
        except TimeoutError:
            raise AssertionError(f"not within {deadline} s: {what}") from None

    async def until_shown(self, rgb: NDArray[np.uint32], deadline: float = DEADLINE) -> None:
        """Takes updates until every pixel is that of `rgb` as far as the pixel format can tell."""
        await self.until(lambda: self.shows(rgb), "the picture is exact", deadline)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
