"""A connection to a server as bytes that are read when they are wanted."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import cast

from sidecar.console.errors import ConnectionBroken, NotTrusted, Unreachable

READ_AHEAD = 256 * 1024
"""Bytes that wait to be read, above which nothing more is taken from the network."""

TLS_TIME = 30.0
"""Seconds that a TLS handshake may take."""

CLOSE_TIME = 2.0
"""Seconds for the last bytes to leave."""


def connect(host: str, port: int, *, time_limit: float) -> socket.socket:
    """A TCP connection. Waits in the kernel, so that any signal ends it. Raises Unreachable."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        connection = socket.create_connection((host, port), time_limit)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except socket.gaierror as error:
        raise Unreachable(f"cannot find the host {host!r}: {_cause(error)}") from None
    except UnicodeError:
        raise Unreachable(f"there can be no host {host!r}") from None
    except ConnectionRefusedError:
        raise Unreachable(f"nobody listens at {where}: is the server running, and is it this port?") from None
    except TimeoutError:
        raise Unreachable(f"{where} does not answer") from None
    except OSError as error:
        raise Unreachable(f"cannot reach {where}: {_cause(error)}") from None
    return connection


def connect_unix(path: Path) -> socket.socket:
    """A connection to a unix socket. Raises Unreachable."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        raise Unreachable(f"nobody listens at {path}: is the server running?") from None
    except OSError as error:
        connection.close()
        raise Unreachable(f"cannot reach {path}: {_cause(error)}") from None
    return connection


class Transport(asyncio.Protocol):
    """One connection. An async context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._news = asyncio.Event()
        self._closed = self._loop.create_future()
        self._at_end = False
        self._error: Exception | None = None
        self.writable = asyncio.Event()
        """Cleared while more waits to leave than should."""
        self.writable.set()

    @classmethod
    async def over(cls, connection: socket.socket) -> "Transport":
        """Takes `connection` over."""
        connection.setblocking(False)
        if connection.family == socket.AF_UNIX:
            _, protocol = await asyncio.get_running_loop().create_unix_connection(cls, sock=connection)
        else:
            _, protocol = await asyncio.get_running_loop().create_connection(cls, sock=connection)
        return protocol

    async def __aenter__(self) -> "Transport":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        # what it still has to send may never be taken
        await asyncio.wait([self._closed], timeout=CLOSE_TIME)
        self._transport.abort()

    async def read(self) -> bytes:
        """What has come, at least a byte; empty at the end. Raises ConnectionBroken."""
        while not self._buffer and not self._at_end:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._buffer)
        self._buffer.clear()
        if data:
            self._transport.resume_reading()
        elif self._error is not None:
            raise ConnectionBroken(f"the connection to the server broke: {_cause(self._error)}")
        return data

    def write(self, data: bytes) -> None:
        """Sends; `writable` tells when to wait."""
        if data and not self._at_end:
            self._transport.write(data)

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Goes over to TLS. `name`: what the server's certificate must be for.

        Raises NotTrusted and ConnectionBroken.
        """
        if self._buffer:
            raise ConnectionBroken("bytes came in the clear before TLS: somebody may be on the way")
        if self._at_end:
            raise ConnectionBroken("the server hung up before TLS")
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_hostname=name, ssl_handshake_timeout=TLS_TIME
            )
        except BaseException as error:
            # the loop closes the transport then, and does not always say so
            self.connection_lost(None)
            if isinstance(error, ssl.SSLCertVerificationError):
                raise NotTrusted(_advice(error, name)) from None
            if isinstance(error, OSError):
                raise ConnectionBroken(f"TLS with the server failed: {_cause(error)}") from None
            raise
        if transport is None:
            raise ConnectionBroken("the server hung up during the TLS handshake")
        self._transport = transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._buffer += data
        self._news.set()
        if len(self._buffer) > READ_AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Called by the loop, which closes the transport then."""
        self._at_end = True
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self._at_end = True
        self._error = error
        self._news.set()
        self.writable.set()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Called by the loop."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Called by the loop."""
        self.writable.set()


def tls_context(authorities: Path | None, *, verify: bool) -> ssl.SSLContext:
    """How servers prove who they are: by `authorities` (PEM) or the system's. Raises NotTrusted."""
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise NotTrusted(f"cannot use the certificates in {authorities}: {_cause(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # a server's own certificate may be the authority, as simple as such certificates are
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


_HOST_MISMATCH = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


def _advice(error: ssl.SSLCertVerificationError, name: str) -> str:
    if error.verify_code in _HOST_MISMATCH:
        return (
            f"the server's certificate is not for {name!r}: --tls-name says for whom it should be, "
            "--tls-insecure takes any"
        )
    return (
        f"the server's certificate is not trusted ({error.verify_message}): --ca names the file of who "
        "signed it, --tls-insecure takes any"
    )


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
