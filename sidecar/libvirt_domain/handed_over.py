"""A connection to QEMU over a socket that libvirt has made and handed to both."""

import socket
import struct
from typing import Final

from dbus_fast.auth import AuthExternal

from sidecar.qemu.connection import PeerConnection
from sidecar.qemu.link import Link

_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred of unix(7): process, user, group."""


class HandedOver(PeerConnection):
    """QEMU lets in who is at the other end of the socket.

    GLib asks the kernel for that (SO_PEERCRED), which names whoever has made the pair of sockets: libvirt's
    daemon, at either end. So that is the user to be named here, whichever we are, and whichever QEMU is.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user, _ = _CREDENTIALS.unpack(credentials)
        self._auth = AuthExternal(user)


def link_over(connection: HandedOver) -> Link:
    """The link to the QEMU at the other end; it ends with the connection."""
    link = Link(connection, None)
    connection.on_close = lambda: link.end("QEMU has closed the connection")
    if not connection.is_open:
        link.end("QEMU has closed the connection")
    return link
