"""D-Bus addresses (D-Bus specification, "Server Addresses")."""

import os
import re
import string
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from sidecar.errors import UsageError

# transport:key=value,...; several addresses are parted by ";"
_ADDRESS = re.compile(r"[A-Za-z0-9_-]+:[^:;,=\s]+=[!-:<-~]*(;[A-Za-z0-9_-]+:[^:;,=\s]+=[!-:<-~]*)*", re.ASCII)
_MAX_ADDRESS = 1024
_PLAIN: Final = frozenset(f"{string.ascii_letters}{string.digits}-_/.\\*".encode())


def bus_address_of(socket: Path) -> str:
    """The address of the bus on a unix socket: bytes other than the plain ones as %XX."""
    path = "".join(chr(octet) if octet in _PLAIN else f"%{octet:02x}" for octet in os.fsencode(socket))
    return f"unix:path={path}"


def unix_socket_of(address: str) -> bytes | None:
    """Where the first unix socket of an address is, as connect(2) takes it; None: there is none."""
    for one in address.split(";"):
        transport, _, rest = one.partition(":")
        keys = dict(pair.partition("=")[::2] for pair in rest.split(","))
        if transport != "unix":
            continue
        if path := keys.get("path"):
            return unquote_to_bytes(path)
        if name := keys.get("abstract"):
            return b"\0" + unquote_to_bytes(name)
    return None


def check_bus_address(address: str) -> None:
    """Raises UsageError for what is no D-Bus address or too long for one."""
    if len(address) > _MAX_ADDRESS or not address.isascii() or not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{address[:100]!r} is not a D-Bus address: write --dbus-address unix:path=/path/to/socket"
        )
