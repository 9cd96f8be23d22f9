"""The peer connection of a listener: much comes in, little goes out."""

import array
import os
import socket
from collections.abc import Callable
from typing import Final

from sidecar.qemu.connection import PeerConnection
from sidecar.qemu.errors import ListenerError
from sidecar.qemu.message_stream import Call, MessageStream

MAX_DESCRIPTORS: Final = 16
"""Descriptors that come with one piece of the stream; QEMU sends one."""

MAX_READS: Final = 64
"""Pieces that are read until others have their turn."""


class ListenerConnection(PeerConnection):
    """Calls that want no answer go to `take`; all other messages take dbus-fast's way."""

    def __init__(
        self, sock: socket.socket, on_close: Callable[[], None], take: Callable[[Call], None]
    ) -> None:
        super().__init__(sock, on_close)
        self._take = take
        self._stream_in = MessageStream()
        self._incoming = sock

    def _reader(self) -> Callable[[], None]:
        return self._read

    def _read(self) -> None:
        try:
            for _ in range(MAX_READS):
                if not self.is_open or not self._receive():
                    return
                for message in self._stream_in.messages():
                    if isinstance(message, Call):
                        self._take(message)
                    else:
                        self._process_message(message)
        except (ListenerError, OSError, EOFError) as error:
            self._finalize(error)

    def _receive(self) -> bool:
        """Reads a piece; whether there was one."""
        size = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
        try:
            count, control, flags, _ = self._incoming.recvmsg_into([self._stream_in.room()], size)
        except BlockingIOError:
            return False
        descriptors = array.array("i")
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        self._stream_in.received(count, list(descriptors))
        if flags & socket.MSG_CTRUNC:
            raise ListenerError("more descriptors came than a message may have")
        if not count:
            raise EOFError("QEMU has closed the connection")
        return True

    def _finalize(self, error: Exception | None = None) -> None:
        super()._finalize(error)
        for descriptor in self._stream_in.close():
            os.close(descriptor)
