"""Virtual channels, static and dynamic, with data that nobody asked for and lengths that cannot be."""

import asyncio
import struct
from collections.abc import Callable

import pytest
from served_guest import until
from served_rdp_guest import ServedRdpGuest, served_rdp
from support import rdp_client_pdus as client
from support.rdp_rough_client import CAPS_ADVERTISE, DISPLAY, GRAPHICS, PIPELINE, TOUCH, RoughClient
from support.rdp_script import DynamicMessage, Profile

from sidecar.rdp import desktop as desktop_module
from sidecar.rdp.channel_table import ChannelTable

WHOLE = client.FIRST_CHUNK | client.LAST_CHUNK


def chunk(peer: RoughClient, channel: str | int, length: int, flags: int, data: bytes = b"") -> bytes:
    number = peer.channels[channel] if isinstance(channel, str) else channel
    return client.send_data(peer.user, number, struct.pack("<II", length, flags) + data)


def dvc(peer: RoughClient, pdu: bytes) -> bytes:
    return peer.channel("drdynvc", pdu)


STATIC: dict[str, Callable[[RoughClient], bytes]] = {
    "a channel that nobody has": lambda peer: chunk(peer, 1900, 4, WHOLE, bytes(4)),
    "the server's own channel": lambda peer: chunk(peer, 1002, 4, WHOLE, bytes(4)),
    "four gigabytes": lambda peer: chunk(peer, "drdynvc", 0xFFFFFFFF, client.FIRST_CHUNK, bytes(1600)),
    "two gigabytes of clipboard": lambda peer: chunk(peer, "cliprdr", 1 << 31, client.FIRST_CHUNK, bytes(99)),
    "a megabyte of dynamic channels": lambda peer: chunk(peer, "drdynvc", 1 << 20, 1, bytes(1600)),
    "a chunk without a first one": lambda peer: chunk(peer, "drdynvc", 4, client.LAST_CHUNK, bytes(4)),
    "a chunk longer than it says": lambda peer: chunk(peer, "drdynvc", 3, WHOLE, bytes(4)),
    "a chunk shorter than it says": lambda peer: chunk(peer, "drdynvc", 5, WHOLE, bytes(4)),
    "compressed data": lambda peer: chunk(peer, "drdynvc", 4, WHOLE | client.COMPRESSED_CHUNK, bytes(4)),
    "no header": lambda peer: client.send_data(peer.user, peer.channels["drdynvc"], b"\x04\0\0\0"),
    "an empty message": lambda peer: chunk(peer, "drdynvc", 0, WHOLE),
}

DYNAMIC: dict[str, Callable[[RoughClient], bytes]] = {
    "data for a channel that was never opened": lambda peer: dvc(peer, b"\x30\x63" + bytes(5)),
    "channel 0": lambda peer: dvc(peer, b"\x30\x00" + bytes(5)),
    "a channel that the client makes up": lambda peer: peer.dynamic_create_response(77),
    "a channel that is created twice": lambda peer: peer.dynamic_create_response(1) * 2,
    "a command that is none": lambda peer: dvc(peer, b"\xf0\x01"),
    "a field length of 3": lambda peer: dvc(peer, b"\x33\x01\0\0\0\0\0\0\0\0"),
    "data compressed": lambda peer: dvc(peer, b"\x70\x01" + bytes(9)),
    "a message of four gigabytes": lambda peer: dvc(peer, b"\x28\x02\xff\xff\xff\xff" + bytes(99)),
    "a message within another": lambda peer: dvc(peer, b"\x24\x02\0\x08" + bytes(99)) * 2,
    "a message longer than it says": lambda peer: dvc(peer, b"\x20\x02\x08" + bytes(9)),
    "a layout too long": lambda peer: dvc(peer, b"\x24\x02\0\x20" + bytes(99)),
    "fingers too many": lambda peer: dvc(peer, b"\x28\x03\0\0\x01\0" + bytes(99)),
    "capabilities too many": lambda peer: peer.dynamic_data(1, struct.pack("<HHIH", 18, 0, 10, 0xFFFF)),
    "capabilities twice": lambda peer: peer.dynamic_data(1, CAPS_ADVERTISE * 2),
    "a graphics PDU of no length": lambda peer: peer.dynamic_data(1, struct.pack("<HHI", 13, 0, 0)),
    "a graphics PDU of four gigabytes": lambda peer: peer.dynamic_data(
        1, struct.pack("<HHI", 13, 0, 0xFFFFFFFF)
    ),
    "monitors without number": lambda peer: peer.dynamic_data(
        2, struct.pack("<IIII", 2, 56, 40, 0xFFFFFFFF) + bytes(40)
    ),
    "capabilities of no version": lambda peer: peer.dynamic_capabilities(0),
    "nothing": lambda peer: dvc(peer, b""),
}


@pytest.mark.parametrize("pdu", STATIC.values(), ids=STATIC.keys())
async def test_a_static_channel_used_wrongly_ends_that_session(pdu: Callable[[RoughClient], bytes]) -> None:
    channels: ChannelTable[desktop_module.Desktop] = ChannelTable()
    channels.add_static("cliprdr", lambda _: Listener())
    async with served_rdp(channels=channels) as here:
        witness = await here.connect()
        peer = await here.connect()
        peer.send(pdu(peer))
        await here.faulted(peer)
        await here.serves(witness)


@pytest.mark.parametrize("pdu", DYNAMIC.values(), ids=DYNAMIC.keys())
async def test_a_dynamic_channel_used_wrongly_ends_that_session(pdu: Callable[[RoughClient], bytes]) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.connect(PIPELINE)
        await peer.open_graphics()
        assert list(peer.reader.asked.values())[:3] == [GRAPHICS, DISPLAY, TOUCH]
        peer.send(pdu(peer))
        await here.faulted(peer)
        await here.serves(witness)


class Listener:
    """A handler that counts what comes."""

    max_message = 1000

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.is_open = False

    def opened(self, channel: object) -> None:
        assert not self.is_open
        self.is_open = True

    def receive(self, message: bytes) -> None:
        self.heard.append(message)

    def closed(self) -> None:
        assert self.is_open
        self.is_open = False


async def test_handlers_are_opened_and_closed_once_whatever_the_client_does() -> None:
    made: list[Listener] = []

    def make(_: object) -> Listener:
        made.append(Listener())
        return made[-1]

    channels: ChannelTable[desktop_module.Desktop] = ChannelTable()
    channels.add_static("cliprdr", make)
    channels.add_dynamic("ECHO", make)
    async with served_rdp(channels=channels) as here:
        peer = await here.connect(Profile(channels=("cliprdr", "drdynvc", "cliprdr", "drdynvc")))
        await peer.open_channels("ECHO")
        assert len(made) == 2
        echo = next(number for number, name in peer.reader.asked.items() if name == "ECHO")
        await until(lambda: made[1].is_open)
        peer.send(dvc(peer, bytes((0x40, echo))) * 100)
        await until(lambda: not made[1].is_open)
        await peer.close()
        await until(lambda: not here.server.viewers)
        assert not any(listener.is_open for listener in made)


async def test_channels_that_nobody_serves_are_listened_to_in_vain() -> None:
    async with served_rdp() as here:
        peer = await here.connect()
        # no handler has it: nothing of it is kept
        peer.send(chunk(peer, "cliprdr", 1 << 31, client.FIRST_CHUNK, bytes(1600)) * 300)
        peer.send(chunk(peer, "rdpdr", 4, WHOLE | client.COMPRESSED_CHUNK, bytes(900)))
        await here.serves(peer)


async def test_messages_that_never_end_are_bounded() -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.connect(PIPELINE)
        number = await peer.open_graphics()
        peer.send(dvc(peer, b"\x28" + bytes((number,)) + struct.pack("<I", 1 << 17) + bytes(1500)))
        for _ in range(200):
            peer.send(dvc(peer, b"\x30" + bytes((number,)) + bytes(1500)))
        assert "longer than it says" in await here.faulted(peer)
        await here.serves(witness)


async def test_dynamic_channels_closed_in_floods_leave_the_client_with_bitmaps() -> None:
    async with served_rdp() as here:
        peer = await here.connect(PIPELINE)
        await peer.open_graphics()
        for number in (1, 2, 3):
            peer.send(dvc(peer, bytes((0x40, number))) * 2000)
        await here.serves(peer)
        # what comes for them afterwards is the client's fault
        peer.send(peer.dynamic_data(1, CAPS_ADVERTISE))
        assert 'cause="unknown channel"' in await here.faulted(peer)


async def test_a_client_that_is_late_with_its_pipeline_has_its_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desktop_module, "PIPELINE_TIME", 0.1)
    async with served_rdp() as here:
        silent = await here.connect(PIPELINE)
        await here.serves(silent)
        late = await here.connect(PIPELINE)
        await late.open_channels(GRAPHICS, DISPLAY, TOUCH)
        await asyncio.sleep(0.2)
        late.send(late.dynamic_data(1, CAPS_ADVERTISE))
        await here.serves(late)
        await here.serves(silent)


async def test_a_client_that_starts_over_ten_thousand_times_is_served_in_the_end() -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.connect(PIPELINE)
        number = await peer.open_graphics()
        count = 10_000
        heard = 0
        saying = asyncio.create_task(say(peer, peer.dynamic_data(number, CAPS_ADVERTISE), count))
        confirmed = struct.pack("<HH", 0x13, 0)
        async with asyncio.timeout(30):
            while heard < count:
                message = await peer.expect(DynamicMessage)
                # RDP_SEGMENTED_DATA: a descriptor and a header of one segment
                heard += message.data[2:6] == confirmed
        await saying
        await here.serves(witness)


async def say(peer: RoughClient, pdu: bytes, count: int) -> None:
    for _ in range(count // 100):
        peer.send(pdu * 100)
        await peer.flush()


async def test_frames_acknowledged_that_were_never_sent_and_those_that_never_are() -> None:
    async with served_rdp() as here:
        never = await here.connect(PIPELINE)
        await never.open_graphics()
        wrong = await here.connect(PIPELINE)
        number = await wrong.open_graphics()
        framed = await here.connect()
        framed.acknowledges = False
        for frame in (0, 1, 2, 77, 0xFFFFFFFF, 0, 1) * 200:
            wrong.send(wrong.dynamic_data(number, struct.pack("<HHIIII", 13, 0, 20, 9, frame, 5)))
            framed.send(framed.share(client.FRAME_ACKNOWLEDGE, struct.pack("<I", frame)))
        witness = await here.connect()
        for _ in range(10):
            await here.serves(witness)
            # two frames may be on their way to those who acknowledge none, and no more
            await never_more_than_two(here)


async def never_more_than_two(here: ServedRdpGuest) -> None:
    for viewer in here.server.viewers:
        pipeline = viewer.desktop._pipeline if viewer.desktop is not None else None
        assert pipeline is None or pipeline.unacknowledged <= 2
    await asyncio.sleep(0.02)


def layout(width: int, height: int) -> bytes:
    monitor = struct.pack("<IiiIIIIIII", 1, 0, 0, width, height, 100, 100, 0, 100, 100)
    return struct.pack("<IIII", 2, 56, 40, 1) + monitor


@pytest.mark.parametrize("guest", ["obeys", "does nothing", "refuses"])
async def test_layouts_by_the_thousand_are_few_requests_to_the_guest(guest: str) -> None:
    async with served_rdp() as here:
        here.console.obeys, here.console.resizable = guest == "obeys", guest != "refuses"
        asked = 0
        request = here.console.request_size

        async def counted(width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> None:
            nonlocal asked
            asked += 1
            await request(width, height, width_mm, height_mm)

        here.console.request_size = counted  # type: ignore[method-assign]
        witness = await here.connect()
        peer = await here.connect(PIPELINE)
        await peer.open_graphics()
        started = asyncio.get_running_loop().time()
        for number in range(3000):
            peer.send(peer.dynamic_data(2, layout(400 + number % 100 * 2, 300)))
            if number % 100 == 0:
                await peer.flush()
        peer.send(peer.dynamic_data(2, layout(800, 600)))
        if guest == "obeys":
            await until(lambda: here.console.surface.frame.width == 800, "the last one counts")
        await here.serves(witness)
        assert asked <= 3 + (asyncio.get_running_loop().time() - started) / 0.1


async def test_fingers_by_the_hundred_thousand_are_let_go_of() -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.connect(PIPELINE)
        await peer.open_graphics()
        contacts = b"".join(bytes((number % 256, 0)) + b"\x40\x10\x40\x10\x1a" for number in range(200))
        body = b"\0\x01\x80\xc8\0" + contacts
        message = struct.pack("<HI", 3, 6 + len(body)) + body
        await say(peer, peer.dynamic_data(3, message), 500)
        await until(lambda: here.console.pointer.log, "one of them is the mouse")
        await here.serves(witness)
        await peer.close()
        await until(lambda: not here.console.pointer.held and here.registry.count() == 1)
