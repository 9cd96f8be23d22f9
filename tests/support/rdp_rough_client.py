"""A scripted RDP client for tests that go wrong: it stops at any step, and minds no server that hangs up."""

import asyncio
import contextlib
import ssl
import struct
from functools import cache
from typing import Self

from support import rdp_client_pdus as client
from support import rdp_server_pdus as server_pdus
from support.rdp_peer import RdpPeer
from support.rdp_script import ACTIVATION, STEPS, DynamicMessage, Profile, Received

GRAPHICS = "Microsoft::Windows::RDS::Graphics"
DISPLAY = "Microsoft::Windows::RDS::DisplayControl"
TOUCH = "Microsoft::Windows::RDS::Input"

BITMAPS = Profile()
"""A client without the graphics pipeline."""

PIPELINE = Profile(early=client.ERRINFO | client.WANT_32BPP | client.DYNVC_GFX)

CAPS_ADVERTISE = struct.pack("<HHI", 0x12, 0, 8 + 2 + 12) + struct.pack("<HIII", 1, 0x000A0502, 4, 0x20)
"""RDPGFX_CAPS_ADVERTISE_PDU: version 10.5 without AVC."""


@cache
def client_tls() -> ssl.SSLContext:
    """Trusts everybody; one for all, since the making of one takes longer than a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RoughClient(RdpPeer):
    """A scripted client that knows its dynamic channels, and gets over a server that hangs up."""

    async def start_tls(self) -> None:
        await asyncio.wait_for(self._writer.start_tls(client_tls()), 20)

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, profile: Profile | None = None
    ) -> None:
        super().__init__(reader, writer, profile)
        self.port: int = writer.get_extra_info("sockname")[1]
        """By which the server knows it."""
        self.acknowledges = True
        """Whether it says that it has shown a frame of bitmaps; it gets only some otherwise."""
        self.follows = False
        """Whether it goes through another activation when it is told to; so it does once it was active."""

    def receive(self, data: bytes) -> list[Received]:
        heard = super().receive(data)
        for pdu in heard:
            if isinstance(pdu, server_pdus.DemandActive) and self.follows:
                self.send(b"".join(map(self.step, ACTIVATION)))
            # the end of a frame among surface commands
            elif (
                isinstance(pdu, server_pdus.FastPathUpdate)
                and self.acknowledges
                and pdu.data[:4] == b"\x04\0\x01\0"
            ):
                self.send(self.share(client.FRAME_ACKNOWLEDGE, pdu.data[4:8]))
        return heard

    @property
    def writer(self) -> asyncio.StreamWriter:
        return self._writer

    @property
    def reader_stream(self) -> asyncio.StreamReader:
        return self._reader

    async def until_step(self, name: str) -> Self:
        """Goes through the sequence up to the step in front of this one; "" for all of it."""
        if name == "connection_request":
            return self
        await self.negotiate()
        answers = {
            "connect_initial": server_pdus.ConnectResponse,
            "attach_user": server_pdus.AttachUserConfirm,
            "client_info": server_pdus.DemandActive,
        }
        for step in STEPS[1:]:
            if step == name:
                return self
            self.send(self.step(step))
            if step in answers:
                await self.expect(answers[step])
            elif step == "joins":
                for _ in self.channels_to_join():
                    await self.expect(server_pdus.JoinConfirm)
        await self.expect(server_pdus.ShareData, lambda pdu: pdu.kind == server_pdus.FONT_MAP)
        self.follows = True
        return self

    async def open_channels(self, *names: str, version: int = 1) -> dict[str, int]:
        """Lets the server open its dynamic channels, these successfully; the numbers of all by name."""
        self.send(self.dynamic_capabilities(version))
        while len(self.reader.asked) < 2 or TOUCH not in self.reader.asked.values():
            await self.hear()
        numbers = {name: number for number, name in self.reader.asked.items()}
        for name, number in numbers.items():
            self.send(self.dynamic_create_response(number, 0 if name in names else -1))
        return numbers

    async def open_graphics(self) -> int:
        """Goes on to the graphics pipeline; the number of its channel."""
        number = (await self.open_channels(GRAPHICS, DISPLAY, TOUCH))[GRAPHICS]
        self.send(self.dynamic_data(number, CAPS_ADVERTISE))
        await self.expect(DynamicMessage, lambda message: message.channel == GRAPHICS)
        return number

    async def flush(self) -> None:
        """Waits until what was said has left, or the server has hung up."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            async with asyncio.timeout(30):
                await self._writer.drain()

    def send(self, data: bytes) -> None:
        # uvloop raises where asyncio drops what nobody hears any more
        with contextlib.suppress(RuntimeError, ConnectionError):
            super().send(data)

    async def ended(self) -> None:
        with contextlib.suppress(RuntimeError):
            await super().ended()
