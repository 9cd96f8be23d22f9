"""What `vdi-qemu-vnc` is told, and QEMU's way to write addresses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.config.address import ListenAddress, TcpAddress, UnixAddress, parse_tcp_address, socket_path
from sidecar.drop_in.sharing import Sharing
from sidecar.errors import UsageError

FIRST_PORT: Final = 5900
FIRST_WEB_PORT: Final = 5700
"""Ports of display 0."""

DEFAULT_DISPLAY: Final = TcpAddress("localhost", FIRST_PORT)

DEFAULT_CHARDEVS: Final = ("org.qemu.console.serial.0",)
"""QEMU's own program shows the monitor too. Whoever types there rules the machine and reads the host's files,
so here it must be asked for by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VncOptions:
    """Options of `vdi-qemu-vnc`. Exactly one of `dbus_address` and `p2p_fd` is there."""

    dbus_address: str | None = None
    bus_name: str | None = "org.qemu"
    """None: the address leads to QEMU itself."""
    p2p_fd: int | None = None
    wait: bool = False
    vnc: ListenAddress | None = DEFAULT_DISPLAY
    """None: viewers come by AddClient alone."""
    websocket: TcpAddress | None = None
    sharing: Sharing = Sharing.ALLOW_EXCLUSIVE
    keyboard_layout: str = "en-us"
    password: bool = False
    credential: Path | None = None
    """The file of a systemd credential that holds the password."""
    tls_directory: Path | None = None
    chardevs: tuple[str, ...] = DEFAULT_CHARDEVS
    """QEMU's names of the character devices that are shown as text consoles."""
    debug: bool = False

    @property
    def asks_password(self) -> bool:
        """Whether viewers must know a password."""
        return self.password or self.credential is not None

    @property
    def auth(self) -> str:
        """QEMU's word for what comes first (QAPI VncPrimaryAuth)."""
        return "vencrypt" if self.tls_directory is not None else self.inner_auth

    @property
    def inner_auth(self) -> str:
        """The same where TLS is none of VNC's own."""
        return "vnc" if self.asks_password else "none"

    @property
    def vencrypt_sub_auth(self) -> str:
        """QEMU's word for what comes within TLS (QAPI VncVencryptSubAuth), or nothing."""
        return f"x509-{self.inner_auth}" if self.tls_directory is not None else ""


def parse_display(text: str) -> ListenAddress | None:
    """`HOST:N` (port 5900 + N), `[IPv6]:N`, `:N` (every interface), `unix:PATH`, `none`.

    Raises UsageError.
    """
    address, comma, more = text.partition(",")
    if comma:
        raise UsageError(f"--vnc-addr: {more!r} is not an option here: write HOST:N, unix:PATH or none")
    if address == "none":
        return None
    if address.startswith("unix:"):
        return UnixAddress(socket_path(address.removeprefix("unix:")))
    host, _, number = address.rpartition(":")
    digits = number.removeprefix("-")
    # libvirt writes ports below 5900 as displays below 0
    if not (digits.isascii() and digits.isdigit()) or not 0 < (port := FIRST_PORT + int(number[:8])) < 65536:
        raise UsageError(f"--vnc-addr {text!r} is no display: write HOST:N for port {FIRST_PORT} + N")
    return parse_tcp_address(f"{host}:{port}")


def parse_websocket(text: str, display: ListenAddress | None) -> TcpAddress:
    """`PORT` or `on` (port 5700 + N) at the host of `display`, or `HOST:PORT`. Raises UsageError."""
    if ":" in text:
        return parse_tcp_address(text)
    if not isinstance(display, TcpAddress):
        raise UsageError(f"--websocket {text}: --vnc-addr names no host: write HOST:PORT")
    if text == "on":
        return TcpAddress(display.host, display.port - FIRST_PORT + FIRST_WEB_PORT)
    return TcpAddress(display.host, parse_tcp_address(f":{text}").port)
