"""D-Bus connections: to a bus, and to a peer without one.

dbus-fast knows only buses: `MessageBus.connect` says Hello, which QEMU's own sockets do not understand. This
file builds on private parts of dbus-fast, and is the only one that does; tests/unit/qemu/test_connection.py
pins what it relies on (facts: QEMU D-Bus section 10).
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.aio.message_bus import _MessageWriter
from dbus_fast.aio.message_reader import build_message_reader
from dbus_fast.auth import AuthExternal
from dbus_fast.errors import AuthError, InvalidAddressError

from sidecar.qemu.errors import CallRefused, ConnectionLost

AUTHENTICATION_TIMEOUT: Final = 10.0
CALL_TIMEOUT: Final = 30.0

_PEER: Final = ":peer"

_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred: process, user, group."""


class _PatientWriter(_MessageWriter):
    """Waits for room when the socket is full, where dbus-fast 5.2 gives the connection up."""

    def __init__(self, bus: MessageBus, sock: socket.socket) -> None:
        super().__init__(bus)
        self._socket = sock

    def write_callback(self, remove_writer: bool = True) -> None:
        """Sends what the socket takes."""
        try:
            while self.buf is not None or self.messages:
                if self.buf is None:
                    message, self.unix_fds, self.fut = self.messages.popleft()
                    self.buf, self.offset = memoryview(message), 0
                try:
                    self._send(self.buf[self.offset :])
                except BlockingIOError:
                    # whoever called has the socket watched while something is left
                    return
                if self.offset == len(self.buf):
                    self.buf = None
                    self._resolve()
            if remove_writer:
                self.loop.remove_writer(self._socket)
        except OSError as error:
            # nobody waits for it: calls hear of the end by their answer
            self._resolve()
            self.bus._finalize(error)

    def _send(self, rest: memoryview) -> None:
        if self.unix_fds:
            self.offset += socket.send_fds(self._socket, [rest], self.unix_fds)
            self.unix_fds = None
        else:
            self.offset += self._socket.send(rest)

    def _resolve(self) -> None:
        if self.fut and not self.fut.done():
            self.fut.set_result(None)


class Connection(MessageBus):
    """One D-Bus connection; it belongs to the loop that runs when it is made.

    `on_close` is called once, on that loop, when the connection ends, whoever ends it. File descriptors
    that come with a message are closed when its handlers have returned: who wants one duplicates it.
    """

    def __init__(self, address: str, on_close: Callable[[], None] | None = None) -> None:
        super().__init__(address, negotiate_unix_fd=True, auth_timeout=AUTHENTICATION_TIMEOUT)
        self.on_close = on_close
        self._authenticating = False
        self._number = -1
        """The socket's, also when it is closed."""

    @property
    def is_open(self) -> bool:
        """Whether it can still be used."""
        return self.connected

    async def connect(self) -> Self:
        """Connects to the bus; what dbus-fast promises, and nothing is watched when it is cancelled."""
        try:
            await super().connect()
        except BaseException:
            # dbus-fast forgets that it watches for room from the answer to Hello on. libuv aborts the process
            # when it comes to a watched number whose socket is closed
            if self._number >= 0:
                self._loop.remove_writer(self._number)
            raise
        return self

    async def _authenticate(self) -> None:
        if self._sock:
            self._number = self._sock.fileno()
        await super()._authenticate()

    def wait_for_room(self) -> None:
        """Gives a connection that dbus-fast has made the patient writer; before the first message."""
        if self._sock:
            self._writer = _PatientWriter(self, self._sock)

    async def wait_closed(self) -> None:
        """Returns when the connection has ended."""
        await asyncio.wait([self._disconnect_future])

    def close(self) -> None:
        """Ends the connection at once; may be called at any time and again."""
        self._user_disconnect = True
        if self._sock is None:
            # never connected, so there is nothing to take down
            self._disconnected = True
        elif self._authenticating:
            # whoever waits for the other side's next line hears that none will come, and takes it down
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        else:
            self._finalize(None)

    async def request(
        self,
        destination: str | None,
        path: str,
        interface: str,
        member: str,
        *,
        signature: str = "",
        body: Sequence[Any] = (),
        unix_fds: Sequence[int] = (),
        timeout: float = CALL_TIMEOUT,
    ) -> list[Any]:
        """Calls a method; the body of its answer. `destination` is None on a peer connection.

        `unix_fds` stay the caller's and must stay open until this returns. Raises CallRefused for an error
        answer, ConnectionLost when there will be none or when it does not come within `timeout` seconds.
        """
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            unix_fds=list(unix_fds),
        )
        if not self.is_open:
            raise ConnectionLost(f"{member}: the connection is closed")
        try:
            async with asyncio.timeout(timeout):
                answer: Message | None = await self.call(message)
        except TimeoutError:
            raise ConnectionLost(f"{member} was not answered within {timeout:g} s") from None
        except (OSError, EOFError) as error:
            raise ConnectionLost(f"{member}: {error or 'the connection ended'}") from error
        if answer is None:
            raise ConnectionLost(f"{member}: the connection was closed")
        if answer.message_type is MessageType.ERROR:
            raise CallRefused(str(answer.error_name), " ".join(str(part) for part in answer.body))
        return list(answer.body)

    def send(self, message: Message) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Queues a message; the future is done when it is sent, or never will be."""
        if not self._disconnected:
            try:
                return super().send(message)
            except (OSError, ValueError):
                # dbus-fast watches the socket of a connection that ended while it wrote
                self._finalize(None)
        done = self._loop.create_future()
        done.set_result(None)
        return done

    def _process_message(self, message: Message) -> None:
        try:
            super()._process_message(message)
        finally:
            for descriptor in message.unix_fds:
                os.close(descriptor)

    def _finalize(self, error: Exception | None = None) -> None:
        # dbus-fast would take a second call for a reason to stop watching the number of its closed socket,
        # which may be another one's by then
        if self._disconnected:
            return
        super()._finalize(error)
        if not self._disconnect_future.cancelled():
            # seen: nobody has to collect it
            self._disconnect_future.exception()
        if self.on_close:
            self.on_close()


async def connect_to_bus(address: str) -> Connection:
    """A connection to the bus at `address`. Raises ConnectionLost when there is none."""
    try:
        connection = Connection(address)
    except InvalidAddressError as error:
        raise ConnectionLost(f"{address} is not a D-Bus address: {error}") from error
    try:
        async with asyncio.timeout(AUTHENTICATION_TIMEOUT):
            await connection.connect()
            connection.wait_for_room()
    except (OSError, EOFError, AuthError, TimeoutError, InvalidAddressError) as error:
        raise ConnectionLost(f"no bus at {address}: {_reason(error)}") from error
    return connection


class PeerConnection(Connection):
    """A connection whose other end is QEMU itself, over `sock`, a connected unix socket.

    There are no names and no Hello. QEMU lets in who names the user that the kernel tells for the socket
    (unix(7), SO_PEERCRED): whoever has made the pair of sockets, at either end of it. So that is the user to
    be named here, whichever we are, and whichever QEMU is.
    """

    def __init__(self, sock: socket.socket, on_close: Callable[[], None] | None = None) -> None:
        super().__init__("unix:path=/", on_close)
        sock.setblocking(False)
        self._auth = AuthExternal(_user_of(sock))
        self._sock = sock
        self._stream = sock.makefile("rwb")
        self._fd = self._number = sock.fileno()
        self._writer = _PatientWriter(self, sock)

    async def open(self) -> None:
        """Authenticates, then lets messages flow: handlers must be there before.

        Raises ConnectionLost, the socket then being closed.
        """
        if self._disconnected:
            raise ConnectionLost("the connection was closed")
        self._authenticating = True
        try:
            await self._authenticate()
        except (OSError, EOFError, AuthError, UnicodeDecodeError) as error:
            self._finalize(None)
            raise ConnectionLost(f"QEMU does not let us in: {_reason(error)}") from error
        except BaseException:
            self._finalize(None)
            raise
        finally:
            self._authenticating = False
        if self._user_disconnect:
            self._finalize(None)
            raise ConnectionLost("the connection was closed")
        # the writer holds everything back while there is no name
        self.unique_name = _PEER
        self._loop.add_reader(self._number, self._reader())

    def _reader(self) -> Callable[[], None]:
        """What is called when there is something to read."""
        reader: Callable[[], None] = build_message_reader(
            self._sock, self._process_message, self._finalize, True
        )
        return reader


def _user_of(sock: socket.socket) -> int:
    _, user, _ = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return int(user)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
