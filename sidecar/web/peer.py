"""Who is at the other end of a unix socket."""

import socket
import struct


def peer_uid(connection: socket.socket) -> int:
    """The user of whoever has connected, or listens (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
