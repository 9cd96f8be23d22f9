"""A scripted RDP client over TCP and TLS, for tests of a running server."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from support import rdp_server_pdus as server
from support.rdp_script import ACTIVATION, STEPS, Profile, RdpScript, Received
from support.waiting import DEADLINE

T = TypeVar("T", bound=Received)

BEFORE_LOGIN = STEPS[1:6]
"""From the end of the TLS handshake to the Client Info PDU."""


class Refused(Exception):
    """The server does not want what the client offers; the argument is its failure code."""


class RdpPeer(RdpScript):
    """A client that does one step after the other. An asynchronous context manager."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, profile: Profile | None = None
    ) -> None:
        super().__init__(profile)
        self._reader, self._writer = reader, writer
        self._read = 0

    @classmethod
    async def open(cls, host: str, port: int, profile: Profile | None = None, source: str = "") -> Self:
        """Connected, and nothing said. `source`: the address of ours that it comes from."""
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection(host, port, local_addr=local), profile)

    @classmethod
    async def connect(cls, host: str, port: int, profile: Profile | None = None, source: str = "") -> Self:
        """Active: the whole sequence over TLS, without NLA. Raises Refused, EOFError."""
        peer = await cls.open(host, port, profile, source)
        try:
            await peer.negotiate()
            await peer.log_in()
            await peer.activate()
        except BaseException:
            await peer.close()
            raise
        return peer

    async def negotiate(self) -> None:
        """X.224 and the TLS handshake. Raises Refused."""
        self.send(self.connection_request())
        confirm = await self.expect(server.ConnectionConfirm)
        if confirm.kind != 2:
            raise Refused(confirm.value)
        await self.start_tls()

    async def start_tls(self) -> None:
        """The TLS handshake; nobody's certificate is checked."""
        # not create_default_context: to read all of the system's authorities takes a tenth of a second
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await asyncio.wait_for(self._writer.start_tls(context), DEADLINE)

    async def log_in(self) -> None:
        """From MCS Connect Initial to the licence. Raises EOFError where the server hangs up."""
        for name, answer in zip(
            BEFORE_LOGIN,
            (server.ConnectResponse, None, server.AttachUserConfirm, None, server.Licence),
            strict=True,
        ):
            self.send(self.step(name))
            if name == "joins":
                for _ in self.channels_to_join():
                    await self.expect(server.JoinConfirm)
            elif answer is not None:
                await self.expect(answer)

    async def activate(self) -> None:
        """From Demand Active to Font Map: at the beginning and whenever the server deactivates."""
        await self.expect(server.DemandActive)
        for name in ACTIVATION:
            self.send(self.step(name))
        await self.expect(server.ShareData, lambda pdu: pdu.kind == server.FONT_MAP)

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._writer.write(data)

    async def expect(self, kind: type[T], matches: Callable[[T], bool] = lambda pdu: True) -> T:
        """The next of `inbox` that was not looked at and is of this kind; goes past others."""
        async with asyncio.timeout(DEADLINE):
            while True:
                while self._read < len(self.inbox):
                    pdu = self.inbox[self._read]
                    self._read += 1
                    if isinstance(pdu, kind) and matches(pdu):
                        return pdu
                await self.hear()

    async def hear(self) -> None:
        """Reads what comes next. Raises EOFError at the end."""
        data = await self._reader.read(1 << 16)
        if not data:
            raise EOFError("the server has hung up")
        self.receive(data)

    async def ended(self) -> None:
        """Returns when the server has hung up; takes in what it says before."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(EOFError, ConnectionError, ssl.SSLError):
                while True:
                    await self.hear()

    async def close(self) -> None:
        """Hangs up."""
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        # one that has not read all waits for the end of TLS in vain
        self.abort()

    def abort(self) -> None:
        """Vanishes."""
        # Python 3.11.2 cannot abort a TLS transport whose connection is lost
        with contextlib.suppress(AttributeError):
            self._writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
