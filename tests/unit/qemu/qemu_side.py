"""A test double: QEMU's end of a peer connection, for messages that the real one never sends."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from dbus_fast import Message, MessageFlag

from sidecar.qemu.connection import PeerConnection
from sidecar.qemu.listener import LISTENER, UNIX_MAP

X8R8G8B8 = 0x20020888
LISTENER_PATH = "/org/qemu/Display1/Listener"


class QemuSide(PeerConnection):
    """Authenticates its peer as QEMU does; what it says goes by `request` and `tell`."""

    def __init__(self, sock: socket.socket, verdict: bytes = b"OK 00112233445566778899aabbccddeeff") -> None:
        super().__init__(sock)
        self.lines: list[bytes] = []
        self._verdict = verdict

    async def _authenticate(self) -> None:
        loop = asyncio.get_running_loop()
        answers = {b"AUTH": self._verdict, b"NEGOTIATE_UNIX_FD": b"AGREE_UNIX_FD"}
        assert await loop.sock_recv(self._sock, 1) == b"\0"
        line = b""
        while line != b"BEGIN":
            line = b""
            # byte by byte: what follows BEGIN is the first message
            while not line.endswith(b"\r\n"):
                octet = await loop.sock_recv(self._sock, 1)
                if not octet:
                    raise EOFError
                line += octet
            line = line[:-2]
            self.lines.append(line)
            if line != b"BEGIN":
                await loop.sock_sendall(self._sock, answers[line.split(b" ")[0]] + b"\r\n")

    async def ask(
        self, member: str, signature: str, *body: Any, interface: str = LISTENER, fds: Sequence[int] = ()
    ) -> list[Any]:
        """Calls a method of the listener and waits for its answer."""
        return await self.request(
            None, LISTENER_PATH, interface, member, signature=signature, body=body, unix_fds=fds, timeout=5
        )

    async def tell(
        self, member: str, signature: str, *body: Any, interface: str = LISTENER, fds: Sequence[int] = ()
    ) -> None:
        """Calls a method of the listener and wants no answer."""
        await self.send(message(member, signature, *body, interface=interface, fds=fds))

    async def scanout_map(
        self, descriptor: int, width: int, height: int, stride: int, offset: int = 0
    ) -> None:
        """Offers shared memory in QEMU's usual format."""
        body = (0, offset, width, height, stride, X8R8G8B8)
        await self.ask("ScanoutMap", "huuuuu", *body, interface=UNIX_MAP, fds=[descriptor])


def message(
    member: str,
    signature: str,
    *body: Any,
    interface: str = LISTENER,
    fds: Sequence[int] = (),
    flags: MessageFlag = MessageFlag.NO_REPLY_EXPECTED,
) -> Message:
    """A call of the listener as it is sent, and as it arrives."""
    return Message(
        path=LISTENER_PATH,
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
        unix_fds=list(fds),
        flags=flags,
        serial=1,
    )
