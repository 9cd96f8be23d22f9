"""The host of a USB device that does not exist, as it speaks usbredir: a USB stick, whose medium is missing.

A real device is used by no test: test machines have none. This one says what usbredirect says of a stick of
0951:1666, and answers the control transfers by which an operating system finds out what it is.
"""

import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

HELLO, DEVICE_CONNECT, DEVICE_DISCONNECT, RESET, INTERFACE_INFO, EP_INFO = range(6)
SET_CONFIGURATION, GET_CONFIGURATION, CONFIGURATION_STATUS = 6, 7, 8
SET_ALT_SETTING, GET_ALT_SETTING, ALT_SETTING_STATUS = 9, 10, 11
DEVICE_DISCONNECT_ACK = 24
CONTROL, BULK = 100, 101

CONNECT_DEVICE_VERSION, FILTER, DISCONNECT_ACK, EP_INFO_MAX_PACKET_SIZE, IDS_64_BIT, BULK_LENGTH_32_BIT = (
    *(1 << 1, 1 << 2, 1 << 3),
    *(1 << 4, 1 << 5, 1 << 6),
)
ALL = CONNECT_DEVICE_VERSION | DISCONNECT_ACK | EP_INFO_MAX_PACKET_SIZE | IDS_64_BIT | BULK_LENGTH_32_BIT

HIGH_SPEED = 2
STALL = 4

DEVICE_DESCRIPTOR = struct.pack(
    "<BBHBBBBHHHBBBB", 18, 1, 0x200, 0, 0, 0, 64, 0x0951, 0x1666, 0x110, 0, 0, 0, 1
)
CONFIGURATION = (
    struct.pack("<BBHBBBBB", 9, 2, 32, 1, 1, 0, 0x80, 50)
    + bytes([9, 4, 0, 0, 2, 8, 6, 0x50, 0])
    + struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
    + struct.pack("<BBBBHB", 7, 5, 0x02, 2, 512, 0)
)


def packet(kind: int, body: bytes = b"", number: int = 0, *, long_ids: bool = False) -> bytes:
    """A packet of usbredir."""
    return struct.pack("<IIQ" if long_ids else "<III", kind, len(body), number) + body


def hello(capabilities: int = ALL) -> bytes:
    """The first packet of either side."""
    return packet(HELLO, b"usbredir_peer".ljust(64, b"\0") + struct.pack("<I", capabilities))


def device_connect(
    vendor: int = 0x0951,
    product: int = 0x1666,
    class_code: int = 0,
    *,
    speed: int = HIGH_SPEED,
    version: int | None = 0x110,
) -> bytes:
    """The body of a device_connect. `version` None: the other side does not know of it."""
    body = struct.pack("<BBBBHH", speed, class_code, 0, 0, vendor, product)
    return body if version is None else body + struct.pack("<H", version)


def interface_info(interfaces: Iterable[tuple[int, int, int, int]] = ((0, 8, 6, 0x50),)) -> bytes:
    """The body of an interface_info: number, class, subclass and protocol of each."""
    rows = list(interfaces)
    columns = (bytes(row[column] for row in rows).ljust(32, b"\0") for column in range(4))
    return struct.pack("<I", len(rows)) + b"".join(columns)


def ep_info() -> bytes:
    """The body of an ep_info: control, and bulk in both directions."""
    kinds, sizes = bytearray(b"\xff" * 32), [0] * 32
    for at, kind, size in ((0, 0, 64), (16, 0, 64), (2, 2, 512), (17, 2, 512)):
        kinds[at], sizes[at] = kind, size
    return bytes(kinds) + bytes(32) + bytes(32) + struct.pack("<32H", *sizes)


@dataclass
class UsbStick:
    """The device's side of a connection. `send` sends bytes; give what comes to `receive`."""

    send: Callable[[bytes], Awaitable[None]]
    heard: list[int] = field(default_factory=list)
    """The types of the packets that came."""
    guest_says: str = ""
    """What the hello of the other side says that it is."""
    _buffer: bytearray = field(default_factory=bytearray)
    _capabilities: int = 0

    async def begin(self) -> None:
        """Says hello."""
        await self.send(hello())

    async def plug_in(self) -> None:
        """The stick is there; only after the other side's hello."""
        for kind, body in (
            (EP_INFO, ep_info()),
            (INTERFACE_INFO, interface_info()),
            (DEVICE_CONNECT, device_connect()),
        ):
            await self._say(kind, body)

    async def pull_out(self) -> None:
        """The stick is gone; the connection stays."""
        await self._say(DEVICE_DISCONNECT)

    async def receive(self, data: bytes) -> None:
        """Bytes of the other side; answers what has to be answered."""
        self._buffer += data
        while True:
            head = 16 if HELLO in self.heard else 12
            if len(self._buffer) < head:
                return
            kind, length = struct.unpack_from("<II", self._buffer)
            number = int.from_bytes(self._buffer[8:head], "little")
            if len(self._buffer) < head + length:
                return
            body = bytes(self._buffer[head : head + length])
            del self._buffer[: head + length]
            self.heard.append(kind)
            await self._answer(kind, number, body)

    async def _answer(self, kind: int, number: int, body: bytes) -> None:
        if kind == HELLO:
            self.guest_says = body[:64].rstrip(b"\0").decode()
            self._capabilities = int.from_bytes(body[64:68], "little")
            assert self._capabilities & ALL == ALL, "QEMU knows all that we do"
        elif kind in (SET_CONFIGURATION, GET_CONFIGURATION):
            await self._say(CONFIGURATION_STATUS, bytes([0, 1]), number)
        elif kind in (SET_ALT_SETTING, GET_ALT_SETTING):
            await self._say(ALT_SETTING_STATUS, bytes([0, body[0], 0]), number)
        elif kind == CONTROL:
            await self._control(number, body)
        elif kind == BULK:
            endpoint, _status, _low, stream, _high = struct.unpack_from("<BBHIH", body)
            await self._say(BULK, struct.pack("<BBHIH", endpoint, STALL, 0, stream, 0), number)

    async def _control(self, number: int, body: bytes) -> None:
        endpoint, request, kind, _status, value, index, length = struct.unpack_from("<BBBBHHH", body)
        answer: bytes | None = None
        if (kind, request) == (0x80, 6):
            answer = {1: DEVICE_DESCRIPTOR, 2: CONFIGURATION}.get(value >> 8)
        elif not kind & 0x80:
            answer = b""
        status, data = (STALL, b"") if answer is None else (0, answer[:length])
        head = struct.pack("<BBBBHHH", endpoint, request, kind, status, value, index, len(data))
        await self._say(CONTROL, head + data, number)

    async def _say(self, kind: int, body: bytes = b"", number: int = 0) -> None:
        await self.send(packet(kind, body, number, long_ids=True))
