"""Logs in to a server and learns which ports it has."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from sidecar.console.connection import ClientConnection
from sidecar.console.errors import ConnectionBroken, NoStreams
from sidecar.console.events import (
    CredentialsWanted,
    Event,
    FenceAnswered,
    Initialized,
    StartTls,
    StreamsAgreed,
)
from sidecar.console.handshake import ClientSecurity
from sidecar.console.ports import Ports
from sidecar.console.transport import Transport
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.stream_messages import Announce, Withdraw

STREAMS_TIME = 10.0
"""Seconds in which a server answers our list of encodings, if it knows streams. One that knows fences tells
sooner that it does not."""

QUIET_TIME = 1.0
"""Seconds without another announcement after which a server without fences has made them all."""

ANSWER_TIME = 30.0
"""Seconds that a server may take for each step of the handshake, and to open a port."""


@dataclass(frozen=True, slots=True)
class Login:
    """How we get in.

    `credentials`: gives user and password when the server asks for them; its argument tells whether it wants
    a user's name. `tls`: makes what proves who the server is, and `tls_name` is who it must be.
    """

    security: ClientSecurity
    credentials: Callable[[bool], Awaitable[tuple[str, str]]]
    tls: Callable[[], ssl.SSLContext]
    tls_name: str


def protocol_broken(error: RemoteError) -> ConnectionBroken:
    """The same for a person."""
    return ConnectionBroken(f"the server does not keep to the protocol: {error.text.rstrip('.')}")


class Client:
    """One connection to a server, through its handshake and with its ports known. Made by `open_client`."""

    def __init__(self, transport: Transport, connection: ClientConnection) -> None:
        self._transport = transport
        self._pending: Iterator[Event] = iter(())
        self.connection = connection
        self.ports = Ports()

    @property
    def writable(self) -> asyncio.Event:
        """Cleared while the server does not take what is sent."""
        return self._transport.writable

    def flush(self) -> None:
        """Sends what is outgoing."""
        self._transport.write(self.connection.outgoing())

    async def event(self) -> Event:
        """The next thing that the server says; `ports` has followed it.

        Raises ConnectionBroken, also where the server breaks the protocol, and what the handshake raises.
        """
        try:
            event = await self._next()
        except RemoteError as error:
            raise protocol_broken(error) from None
        if isinstance(event, Announce):
            self.ports.announced(event)
        elif isinstance(event, Withdraw):
            self.ports.withdrawn(event)
        return event

    async def log_in(self, login: Login) -> None:
        """Leads through the handshake and waits for the announcements. Raises NoStreams and as `event`."""
        while True:
            match await self.event_within(ANSWER_TIME):
                case StartTls():
                    await self._transport.start_tls(login.tls(), login.tls_name)
                    self.connection.tls_started()
                case CredentialsWanted(user):
                    self.connection.authenticate(*await login.credentials(user))
                case Initialized():
                    break
            self.flush()
        self.flush()
        await self._learn_ports()

    async def event_within(self, time_limit: float) -> Event:
        """As `event`; ConnectionBroken also where there is none within so many seconds."""
        try:
            async with asyncio.timeout(time_limit):
                return await self.event()
        except TimeoutError:
            raise ConnectionBroken("the server does not answer: is it a VNC server, and alive?") from None

    async def _learn_ports(self) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + STREAMS_TIME
        is_agreed = False
        while True:
            is_quick = is_agreed and not self.connection.knows_fences
            try:
                async with asyncio.timeout_at(min(deadline, now() + QUIET_TIME) if is_quick else deadline):
                    event = await self.event()
            except TimeoutError:
                break
            if isinstance(event, FenceAnswered):
                break
            if isinstance(event, StreamsAgreed):
                is_agreed = True
        if not is_agreed:
            raise NoStreams("this server does not carry serial ports")

    async def _next(self) -> Event:
        while (event := next(self._pending, None)) is None:
            self.flush()
            data = await self._transport.read()
            if not data:
                raise ConnectionBroken("the server has closed the connection")
            self._pending = self.connection.receive(data)
        self.flush()
        return event


@contextlib.asynccontextmanager
async def open_client(connection: socket.socket, login: Login) -> AsyncIterator[Client]:
    """A client over `connection`, logged in; both are closed at the end. Raises as `Client.log_in`."""
    async with await Transport.over(connection) as transport:
        client = Client(transport, ClientConnection(login.security))
        await client.log_in(login)
        yield client
