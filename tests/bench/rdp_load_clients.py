"""Plays many RDP clients from one process and tells what they got; looks at no pixel.

    python rdp_load_clients.py '{"port": 3389, "clients": 4, "form": "avc420", "seconds": 10, ...}'

Each goes through the whole sequence over TLS, opens the graphics pipeline and acknowledges every frame there
(or of surface commands) as soon as it is there. Prints "ready" when all have a first frame, "begin" and "end"
around the time that is measured, and then the result as one line of JSON.
"""

import asyncio
import contextlib
import json
import ssl
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from support import rdp_client_pdus as client
from support.rdp_graphics import caps_advertise, unwrap
from support.rdp_peer import RdpPeer
from support.rdp_script import Profile
from support.rdp_server_pdus import read_per_length

GRAPHICS = "Microsoft::Windows::RDS::Graphics"
CAPABILITIES = {"pipeline": (0x00080105, 0), "avc420": (0x00080105, 0x10)}
"""Version 8.1 and its flags: without H.264, with."""

END_FRAME = 0x0C
SURFACE_COMMANDS, FRAME_MARKER = 4, 4


@dataclass
class Plan:
    """What is to be played."""

    port: int
    clients: int
    form: str
    seconds: float
    warm_up: float = 2.0
    width: int = 1024
    height: int = 768


@dataclass
class Result:
    """Times in seconds."""

    seconds: float = 0.0
    frames: list[int] = field(default_factory=list)
    """Per client."""
    bytes: int = 0
    processor: float = 0.0
    """What this process itself has used."""


class Client:
    """One connection: a scripted peer until the graphics pipeline stands, then as little as is needed."""

    def __init__(self, peer: RdpPeer) -> None:
        self.frames = 0
        self.bytes = 0
        self._peer = peer
        self._buffer = bytearray()
        self._dynamic_channel = peer.channels["drdynvc"]
        self._commands = bytearray()
        self._message = bytearray()
        self._expected = 0
        self._number = 0
        peer.receive = self._receive  # type: ignore[method-assign]

    @classmethod
    async def connect(cls, plan: Plan) -> "Client":
        profile = Profile(
            width=plan.width,
            height=plan.height,
            channels=("drdynvc",),
            early=client.ERRINFO | client.WANT_32BPP | client.DYNVC_GFX,
            capability_sets=tuple(capability_sets(plan.width, plan.height)),
        )
        peer = await RdpPeer.connect("127.0.0.1", plan.port, profile)
        answered = False
        while True:
            for number, name in peer.reader.asked.items():
                if name == GRAPHICS:
                    version, flags = CAPABILITIES[plan.form]
                    peer.send(peer.dynamic_create_response(number))
                    advertised = caps_advertise((version, struct.pack("<I", flags)))
                    peer.send(peer.dynamic_data(number, advertised))
                    peer.inbox.clear()
                    played = cls(peer)
                    played._number = number
                    return played
            if peer.reader.version and not answered:
                answered = True
                peer.send(peer.dynamic_capabilities(peer.reader.version))
            await peer.hear()

    async def play(self) -> None:
        """Returns when the server has hung up."""
        with contextlib.suppress(EOFError, ConnectionError, ssl.SSLError):
            while True:
                await self._peer.hear()

    async def close(self) -> None:
        await self._peer.close()

    def _receive(self, data: bytes) -> list[object]:
        self.bytes += len(data)
        buffer = self._buffer
        buffer += data
        at, size = 0, len(buffer)
        while size - at >= 4:
            if buffer[at] == 3:
                length = buffer[at + 2] << 8 | buffer[at + 3]
            elif buffer[at + 1] & 0x80:
                length = (buffer[at + 1] & 0x7F) << 8 | buffer[at + 2]
            else:
                length = buffer[at + 1]
            if size - at < length:
                break
            if buffer[at] != 3:
                self._fast_path(bytes(buffer[at + (3 if buffer[at + 1] & 0x80 else 2) : at + length]))
            # TPKT, X.224 data, MCS send data indication: 0x68, user, channel
            if buffer[at] == 3 and buffer[at + 7] == 0x68:
                channel = buffer[at + 10] << 8 | buffer[at + 11]
                if channel == self._dynamic_channel:
                    _, start = read_per_length(bytes(buffer[at + 13 : at + 17]), 0)
                    self._dynamic(bytes(buffer[at + 13 + start + 8 : at + length]))
            at += length
        del buffer[:at]
        return []

    def _fast_path(self, data: bytes) -> None:
        """Updates; only surface commands are of interest."""
        at = 0
        while at < len(data):
            header, size = struct.unpack_from("<BH", data, at)
            if header & 0x0F == SURFACE_COMMANDS:
                self._commands += data[at + 3 : at + 3 + size]
                # whole, or the last part
                if header >> 4 & 3 in (0, 1):
                    self._surface_commands(bytes(self._commands))
                    self._commands.clear()
            at += 3 + size

    def _surface_commands(self, data: bytes) -> None:
        """MS-RDPBCGR 2.2.9.2."""
        at = 0
        while at < len(data):
            (command,) = struct.unpack_from("<H", data, at)
            if command == FRAME_MARKER:
                action, frame = struct.unpack_from("<HI", data, at + 2)
                at += 8
                if action == 1:
                    self.frames += 1
                    self._peer.send(self._peer.share(client.FRAME_ACKNOWLEDGE, struct.pack("<I", frame)))
            else:
                flags = data[at + 11]
                (length,) = struct.unpack_from("<I", data, at + 18)
                at += 22 + length + (24 if flags & 1 else 0)

    def _dynamic(self, pdu: bytes) -> None:
        """A PDU of drdynvc; only data of the graphics channel is of interest."""
        command, extra = pdu[0] >> 4, pdu[0] >> 2 & 3
        if command not in (2, 3) or pdu[1] != self._number:
            return
        if command == 2:
            width = (1, 2, 4)[extra]
            self._expected = int.from_bytes(pdu[2 : 2 + width], "little")
            self._message = bytearray(pdu[2 + width :])
        elif self._expected:
            self._message += pdu[2:]
        else:
            self._graphics(pdu[2:])
            return
        if len(self._message) >= self._expected:
            self._expected = 0
            self._graphics(bytes(self._message))

    def _graphics(self, message: bytes) -> None:
        data = unwrap(message)
        at = 0
        while at < len(data):
            command, _, length = struct.unpack_from("<HHI", data, at)
            if command == END_FRAME:
                (frame,) = struct.unpack_from("<I", data, at + 8)
                self.frames += 1
                acknowledgement = struct.pack("<HHIIII", 0x0D, 0, 20, 0, frame, self.frames)
                self._peer.send(self._peer.dynamic_data(self._number, acknowledgement))
            at += length


REMOTEFX = bytes.fromhex("122f777672bd6344afb3b73c9c6f7886")
"""CODEC_GUID_REMOTEFX (MS-RDPBCGR 2.2.7.2.10.1.1)."""


def capability_sets(width: int, height: int) -> list[bytes]:
    """Those of the scripted peer that every server accepts, and RemoteFX, which the shadow server wants."""
    bitmap = struct.pack("<9H2B2H", 32, 1, 1, 1, width, height, 0, 1, 1, 0, 8, 1, 0)
    entropy = (struct.pack("<HHBBBB", 0x100, 64, 0, 1, 1, coder) for coder in (1, 4))
    remotefx = struct.pack("<IIIHIHHIBHHH", 49, 1, 37, 0xCBC0, 8, 1, 0xCBC1, 29, 1, 0xCFC0, 2, 8)
    properties = remotefx + b"".join(entropy)
    codecs = b"\x01" + REMOTEFX + struct.pack("<BH", 3, len(properties)) + properties
    strange = (b"\x02\0", b"\x77\0")
    sets = [body for body in client.capability_sets(width, height) if body[:2] not in strange]
    return [sets[0], client.capability_set(2, bitmap), *sets[1:], client.capability_set(29, codecs)]


async def play(plan: Plan) -> Result:
    clients: list[Client] = []
    tasks: list[asyncio.Task[None]] = []
    result = Result()
    for _ in range(plan.clients):
        async with asyncio.timeout(30):
            clients.append(await Client.connect(plan))
        tasks.append(asyncio.create_task(clients[-1].play()))
    await _until(lambda: all(player.frames for player in clients), tasks)
    print("ready", flush=True)
    await asyncio.sleep(plan.warm_up)
    frames = [player.frames for player in clients]
    octets = sum(player.bytes for player in clients)
    print("begin", flush=True)
    begin, processor = time.perf_counter(), time.process_time()
    await asyncio.sleep(plan.seconds)
    result.seconds = time.perf_counter() - begin
    print("end", flush=True)
    result.processor = time.process_time() - processor
    result.frames = [player.frames - before for player, before in zip(clients, frames, strict=True)]
    result.bytes = sum(player.bytes for player in clients) - octets
    if any(task.done() for task in tasks):
        raise SystemExit("the server hung up")
    for player in clients:
        await player.close()
    return result


async def _until(condition: Callable[[], bool], tasks: list[asyncio.Task[None]]) -> None:
    end = time.monotonic() + 60
    while not condition():
        if any(task.done() for task in tasks):
            raise SystemExit("the server hung up")
        if time.monotonic() > end:
            raise SystemExit("a client got no frame within a minute")
        await asyncio.sleep(0.01)


def main() -> None:
    """Plays the plan that is the first argument."""
    print(json.dumps(asdict(asyncio.run(play(Plan(**json.loads(sys.argv[1])))))), flush=True)


if __name__ == "__main__":
    main()
