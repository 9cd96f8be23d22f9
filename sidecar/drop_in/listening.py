"""Listening as QEMU does: on every address that a host name has, and told in numbers."""

import asyncio
import socket
from typing import Any, Final

from sidecar.config.address import ListenAddress, TcpAddress, UnixAddress
from sidecar.drop_in.vnc_management import Listener
from sidecar.log import get_logger
from sidecar.transport.server import CannotListen, Server

log = get_logger(__name__)

_FAMILIES: Final = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


async def resolve(address: TcpAddress) -> list[tuple[str, str]]:
    """The numeric addresses of a host with their families, QEMU's words. Raises CannotListen."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from None
    known = [(str(where[0]), _FAMILIES[family]) for family, _, _, _, where in found if family in _FAMILIES]
    return list(dict.fromkeys(known))


async def listen_on(server: Server[Any], address: ListenAddress) -> list[Listener]:
    """Has `server` listen; where it does, at least at one place. Raises CannotListen."""
    if isinstance(address, UnixAddress):
        await server.listen_unix(address.path)
        return [Listener("", str(address.path), "unix")]
    listeners: list[Listener] = []
    failure: CannotListen | None = None
    for host, family in await resolve(address):
        try:
            port = await server.listen_tcp(host, address.port)
        except CannotListen as error:
            # such as a machine without IPv6 whose localhost has ::1 all the same
            log.warning("not listening", cause=str(error))
            failure = error
        else:
            listeners.append(Listener(host, str(port), family))
    if not listeners:
        raise failure or CannotListen(f"cannot listen on {address}: the name has no address")
    return listeners
