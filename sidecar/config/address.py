"""Addresses to listen on, as people write them."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sidecar.errors import UsageError
from sidecar.socket_path import LONGEST_SOCKET_PATH, excess_bytes


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address. `host`: a name, an IPv4 or IPv6 address, or empty for every interface; `port` 0..65535,
    where 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine (or pod) can reach it. No name but localhost is believed."""
        if self.host.lower() == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix stream socket; whoever may write to its file may connect."""

    path: Path

    @property
    def is_local(self) -> bool:
        """Always."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


ListenAddress: TypeAlias = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class ConsoleAddress:
    """An address that is for one console. `console`: its name, its label or its number."""

    console: str
    address: ListenAddress

    def __str__(self) -> str:
        return f"{self.console}={self.address}"


def parse_console_address(text: str) -> ConsoleAddress:
    """`NAME=` and what `parse_listen_address` takes. Raises UsageError."""
    console, equals, address = text.partition("=")
    if not equals or not console:
        raise UsageError(f"{text!r} names no console: write NAME=HOST:PORT, such as serial0=127.0.0.1:5901")
    return ConsoleAddress(console, parse_listen_address(address))


def parse_listen_address(text: str) -> ListenAddress:
    """`HOST:PORT`, `[IPv6]:PORT`, `:PORT` and `*:PORT` (every interface), `unix:PATH`. Raises UsageError."""
    if text.startswith("unix:"):
        return UnixAddress(socket_path(text.removeprefix("unix:")))
    return parse_tcp_address(text)


def parse_tcp_address(text: str) -> TcpAddress:
    """`HOST:PORT`, `[IPv6]:PORT`, `:PORT` and `*:PORT` (every interface). Raises UsageError."""
    host, colon, port_text = text.rpartition(":")
    if not colon or not (port_text.isascii() and port_text.isdigit()):
        raise UsageError(f"{text!r} is not an address: write HOST:PORT, such as 127.0.0.1:5900")
    port = int(port_text[:6])
    if port > 65535:
        raise UsageError(f"{text!r} is not an address: ports end at 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise UsageError(f"{text!r} is not an address: [{host}] is not IPv6") from None
    elif ":" in host:
        raise UsageError(f"{text!r} is not an address: write IPv6 in brackets, such as [::1]:5900")
    elif any(character.isspace() or character in "/@" for character in host):
        raise UsageError(f"{text!r} is not an address: write HOST:PORT, such as 127.0.0.1:5900")
    return TcpAddress("" if host == "*" else host, port)


def socket_path(text: str) -> Path:
    """A path that a unix socket can have. Raises UsageError."""
    if not text or "\0" in text:
        raise UsageError("a unix socket needs a path: write unix:/path/to/socket")
    path = Path(text).absolute()
    if excess_bytes(path) > 0:
        raise UsageError(f"{path} is too long for a unix socket (at most {LONGEST_SOCKET_PATH} bytes)")
    return path
