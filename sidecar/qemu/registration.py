"""Giving QEMU a socket on which it talks to a listener of ours."""

import asyncio
import socket
from typing import Final, Protocol

from sidecar.qemu.link import Link
from sidecar.qemu.listener_thread import ListenerThread

REGISTER_TIMEOUT: Final = 15.0


class SocketListener(Protocol):
    """What is served on the listener's thread."""

    async def open(self, sock: socket.socket) -> None:
        """Serves QEMU on `sock`, whose other end it gets at this moment. Raises ConnectionLost."""
        ...


async def register(
    link: Link, thread: ListenerThread, listener: SocketListener, *, path: str, interface: str, member: str
) -> None:
    """Hands the socket to that method of QEMU's. Raises CallRefused, ConnectionLost.

    QEMU authenticates us on that socket right after its answer and stands still meanwhile, hence both at
    once.
    """
    ours, theirs = socket.socketpair()
    opening = asyncio.create_task(thread.run(listener.open(ours)))
    try:
        with theirs:
            await link.call(
                path,
                interface,
                member,
                signature="h",
                body=[0],
                unix_fds=[theirs.fileno()],
                timeout=REGISTER_TIMEOUT,
            )
        await asyncio.wait([opening])
        opening.result()
    finally:
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            # seen, where the call's own error says why
            opening.exception()
