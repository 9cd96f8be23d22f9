"""An agent in the guest, as spice-vdagent is one: it speaks the vdagent protocol to a real QEMU.

The deterministic guests have no driver for a virtio port. QEMU's `qemu-vdagent` is therefore put behind the
second serial port, and the test works that port's registers in the place of a program in the guest, through
QEMU's `-qtest`. Its FIFO stays off: to switch it on would throw away what has come. Serials are counted as
spice-vdagentd does it.
"""

import socket
import struct
import time
from collections import deque
from pathlib import Path
from typing import Final

from support.qmp import Qmp
from support.waiting import DEADLINE

PORT: Final = 0x2F8
LINE_STATUS: Final = PORT + 5
DATA_READY: Final = 1

CLIENT_PORT: Final = 1
PROTOCOL: Final = 1
CHUNK: Final = struct.Struct("<II")
MESSAGE: Final = struct.Struct("<IIQI")
"""Protocol, type, opaque, size."""

CLIPBOARD, ANNOUNCE, GRAB, REQUEST, RELEASE = 4, 6, 7, 8, 9
UTF8_TEXT: Final = 1
BY_DEMAND, SELECTIONS, GRAB_SERIAL = 1 << 5, 1 << 6, 1 << 17
AT_ONCE: Final = 1024

BACKEND: Final = {"clipboard": True, "mouse": False}


def vdagent_device(directory: Path) -> tuple[str, ...]:
    """QEMU's options for what `VdAgent(directory)` speaks to."""
    return (
        *("-qtest", f"unix:{directory}/qtest,server=on,wait=off", "-qtest-log", "none"),
        *("-chardev", "qemu-vdagent,id=vdagent,clipboard=on,mouse=off"),
        *("-device", "isa-serial,chardev=vdagent"),
    )


class _Ports:
    """Input and output instructions, carried out by QEMU."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")

    def run(self, commands: list[str]) -> list[int]:
        """Carries out all of them; what those gave that read a port."""
        values = []
        # no more than fit into the socket: QEMU takes the next command when its answer to the last is away
        for start in range(0, len(commands), AT_ONCE):
            part = commands[start : start + AT_ONCE]
            self._socket.sendall("".join(f"{command}\n" for command in part).encode())
            answers = [self._lines.readline().split() for _ in part]
            assert all(answer[:1] == ["OK"] for answer in answers), answers
            values += [int(answer[1], 16) for answer in answers if len(answer) > 1]
        return values

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class VdAgent:
    """The agent. Its methods wait, and QEMU may wait meanwhile for whoever shares the clipboard with it: they
    are called in another thread than that one's."""

    def __init__(self, directory: Path) -> None:
        self._ports = _Ports(directory / "qtest")
        self._incoming = bytearray()
        self._begun = False
        self._message = bytearray()
        self._messages: deque[tuple[int, bytes]] = deque()
        self._serial = 0
        self.has_grabbed = False
        """Whether what was copied last in the guest is still on its clipboard."""
        self.is_offered = False
        """Whether somebody outside has a text for the guest."""
        self.text = ""
        """What was copied in the guest."""
        self.requests = 0
        """How often somebody wanted to have it."""

    def start(self) -> None:
        """Tells QEMU what the agent can do, as the first thing; serials begin anew."""
        self._serial = 0
        self.has_grabbed = self.is_offered = False
        capabilities = BY_DEMAND | SELECTIONS | GRAB_SERIAL
        self._send(ANNOUNCE, struct.pack("<II", 0, capabilities))

    def restart(self, qmp: Qmp) -> None:
        """As when the agent is started again; nothing may be on its way to it.

        It closes and opens its port then, which a serial port cannot: QEMU gets a new backend instead.
        """
        while self._read():
            pass
        self._messages.clear()
        qmp("chardev-change", id="vdagent", backend={"type": "qemu-vdagent", "data": BACKEND})
        self.start()

    def copy(self, text: str) -> None:
        """A program in the guest has copied `text`."""
        self.text = text
        self.has_grabbed, self.is_offered = True, False
        serial, self._serial = self._serial, self._serial + 1
        self._send(GRAB, struct.pack("<B3xII", 0, serial, UTF8_TEXT))

    def clear(self) -> None:
        """A program in the guest has cleared the clipboard."""
        self.has_grabbed = False
        self._send(RELEASE, struct.pack("<B3x", 0))

    def run_until_requested(self, times: int = 1) -> None:
        """Answers until somebody has wanted the guest's text so often."""
        end = time.monotonic() + DEADLINE
        while self.requests < times:
            self._step(end, "nobody wants the guest's text")

    def run_until_offered(self) -> None:
        """Answers until somebody outside has a text."""
        end = time.monotonic() + DEADLINE
        while not self.is_offered:
            self._step(end, "nothing is offered to the guest")

    def run_until_released(self) -> None:
        """Answers until nobody outside has a text any more."""
        end = time.monotonic() + DEADLINE
        while self.is_offered:
            self._step(end, "what was offered to the guest stays")

    def paste(self) -> str:
        """What a program in the guest pastes that is offered from outside."""
        self._send(REQUEST, struct.pack("<B3xI", 0, UTF8_TEXT))
        end = time.monotonic() + DEADLINE
        while True:
            kind, body = self._next(end, "QEMU does not answer the guest's request")
            if kind == CLIPBOARD:
                selection, form = struct.unpack_from("<B3xI", body)
                assert (selection, form) == (0, UTF8_TEXT)
                return body[8:].decode()
            self._handle(kind, body)

    def _step(self, end: float, complaint: str) -> None:
        self._handle(*self._next(end, complaint))

    def _handle(self, kind: int, body: bytes) -> None:
        if kind == GRAB:
            selection, serial = struct.unpack_from("<B3xI", body)
            # one grab behind: both at once, and the one outside wins; all others are of another time
            if selection == 0 and serial in (self._serial, self._serial - 1):
                self._serial = serial + 1
                self.has_grabbed, self.is_offered = False, True
        elif kind == RELEASE:
            self.is_offered = False
        elif kind == REQUEST:
            self.requests += 1
            self._send(CLIPBOARD, struct.pack("<B3xI", 0, UTF8_TEXT) + self.text.encode())

    def _send(self, kind: int, body: bytes) -> None:
        message = MESSAGE.pack(PROTOCOL, kind, 0, len(body)) + body
        data = CHUNK.pack(CLIENT_PORT, len(message)) + message
        self._ports.run([f"outb {PORT} {octet}" for octet in data])

    def _next(self, end: float, complaint: str) -> tuple[int, bytes]:
        while not self._messages:
            assert time.monotonic() < end, complaint
            if not self._read():
                time.sleep(0.01)
        return self._messages.popleft()

    def _read(self) -> bool:
        """Takes what waits in the port; whether there was something."""
        (status,) = self._ports.run([f"inb {LINE_STATUS}"])
        data = bytearray()
        # one by one: an octet that comes between a look and a read would be taken for none
        while status & DATA_READY and len(data) < AT_ONCE:
            octet, status = self._ports.run([f"inb {PORT}", f"inb {LINE_STATUS}"])
            data.append(octet)
        if data and not self._begun:
            self._begun = True
            # QEMU 10 says its first octet before the machine is reset, and the port forgets it then
            if data[0] != CLIENT_PORT:
                data.insert(0, CLIENT_PORT)
        self._incoming += data
        while len(self._incoming) >= CHUNK.size:
            port, size = CHUNK.unpack_from(self._incoming)
            assert port == CLIENT_PORT
            if len(self._incoming) < CHUNK.size + size:
                break
            self._message += self._incoming[CHUNK.size : CHUNK.size + size]
            del self._incoming[: CHUNK.size + size]
            self._take_message()
        return bool(data)

    def _take_message(self) -> None:
        if len(self._message) < MESSAGE.size:
            return
        protocol, kind, _, size = MESSAGE.unpack_from(self._message)
        assert protocol == PROTOCOL
        if len(self._message) == MESSAGE.size + size:
            self._messages.append((kind, bytes(self._message[MESSAGE.size :])))
            self._message.clear()

    def close(self) -> None:
        self._ports.close()
