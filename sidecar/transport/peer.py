"""Who is at the other end of a transport, and how that is told to people."""

import asyncio
import socket

KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""Two minutes after its machine has vanished without a word a client is not counted any more."""

LONGEST_USER = 64
"""Characters of a user name that are kept."""


def presentable(user: str) -> str:
    """A name that somebody claims, as it may stand in logs, tables and on an administrator's terminal."""
    return "".join(character if character.isprintable() else "?" for character in user[:LONGEST_USER])


def address(transport: asyncio.Transport) -> str:
    """The peer's address for people; empty for a unix socket."""
    host, port = host_and_port(transport)
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(transport: asyncio.Transport) -> tuple[str, int]:
    """The peer's; an empty host for a unix socket."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or len(peer) < 2:
        return "", 0
    return str(peer[0]), peer[1]


def keep_alive(transport: asyncio.Transport) -> None:
    """Has the system notice when the machine of a TCP peer has vanished."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
