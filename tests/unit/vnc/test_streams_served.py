"""Streams over a real socket, beside the picture, and among clients that do everything wrong."""

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.rfb_wire import Encoding, Update
from support.stream_client import BREAK, CLOSE, CREDIT, DATA, HISTORY, OPEN, WRITE, StreamClient
from support.synthetic_guest import SyntheticGuest, SyntheticPort
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.registry import Registry
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.server import VncServer
from sidecar.vnc.streams import streams_tunnel

SERIAL = "org.qemu.console.serial.0"


class House:
    """A server before a synthetic guest with one serial port."""

    def __init__(self, guest: SyntheticGuest, registry: Registry, lines: SerialLines, port: int) -> None:
        self.guest = guest
        self.serial = guest.ports[SERIAL]
        self.registry = registry
        self.lines = lines
        self._port = port

    async def connect(self) -> StreamClient:
        return await StreamClient.connect(("127.0.0.1", self._port), encodings=(Encoding.RAW,))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    guest, registry = SyntheticGuest(), Registry()
    guest.add_port(SyntheticPort())
    with ThreadPoolExecutor(2) as pool:
        with (
            contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts,
            contextlib.closing(SerialLines(guest, write=WritePolicy.EVERYBODY)) as lines,
        ):
            server = VncServer(
                guest,
                registry,
                broadcasts,
                Seats(guest),
                layout=Layout("us"),
                tunnels=[streams_tunnel(lines)],
                offered=Extension.STREAMS,
            )
            async with server:
                yield House(guest, registry, lines, await server.listen_tcp("127.0.0.1", 0))


async def test_the_picture_goes_on_beside_a_flood_and_nothing_of_it_is_lost(house: House) -> None:
    piece, pieces = b"x" * 1022 + b"\r\n", 4096
    console, dice = house.guest.console, np.random.default_rng(1)
    async with await house.connect() as client:
        stream = await client.open(SERIAL, credit=1 << 20)

        async def read() -> None:
            while True:
                if isinstance(await client.receive(), Update):
                    client.request()
                    await client.flush()

        reading = asyncio.create_task(read())
        for number in range(1, pieces + 1):
            house.serial.say(piece)
            await asyncio.sleep(0)
            if number % 64 == 0:
                # as raw pixels several times what the queue holds
                console.draw(0, 0, dice.integers(0, 1 << 24, (200, 320), np.uint32))
                updates, most = client.updates, (number - 64) * len(piece)
                await eventually(lambda before=updates: client.updates > before, "the picture goes on")
                await eventually(lambda most=most: len(stream.data) >= most, "the stream goes on")
        await eventually(lambda: len(stream.data) >= len(piece) * pieces, "all of it comes")
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
    assert stream.data == piece * pieces


async def test_a_client_that_reads_nothing_costs_the_others_nothing(house: House) -> None:
    async with await house.connect() as deaf, await house.connect() as client:
        await deaf.open(SERIAL, credit=1 << 30)
        session = next(iter(house.registry))
        stream = await client.open(SERIAL, credit=1 << 20)
        # more than all buffers of the system hold for the one that does not read
        for number in range(160):
            house.serial.say(b"%06d" % number + bytes(65530))
            await client.follow(lambda number=number: len(stream.data) >= 65536 * (number + 1), "it comes")
        assert session.bytes_sent < len(stream.data)


async def test_a_reader_that_comes_back_is_told_what_it_missed(house: House) -> None:
    async with await house.connect() as client:
        stream = await client.open(SERIAL, credit=1000)
        stream.keeps_up = False
        for number in range(100_000):
            house.serial.say(b"%06d\r\n" % number)
        await client.follow(lambda: len(stream.data) == 1000, "as much as it takes")
        await client.credit(stream, 1 << 30)
        await client.follow(lambda: b"099999\r\n" in stream.data, "the newest comes")
        assert b" bytes left out]\r\n" in stream.data


@pytest.mark.parametrize(
    "wrong",
    [
        (OPEN, 5, struct.pack(">BI", WRITE, 10)),
        (OPEN, 0, struct.pack(">BI", WRITE, 10) * 2),
        (DATA, 0, bytes(65536)),
        (0, 0, b"\0\0\0\1a\0\0"),
        (CLOSE, 0, b"\0\0\5a"),
    ],
    ids=["never announced", "wrong length", "no credit", "not for clients", "short string"],
)
async def test_who_breaks_the_protocol_is_ended_and_nobody_else(
    house: House, wrong: tuple[int, int, bytes]
) -> None:
    async with await house.connect() as other, await house.connect() as client:
        stream = await other.open(SERIAL)
        await client.open(SERIAL)
        await client.say(*wrong)
        await eventually(lambda: house.registry.count() == 1, "that session ends")
        await other.write(stream, b"still here")
        await eventually(lambda: house.serial.written == b"still here", "the other one goes on")


async def test_any_rubbish_ends_at_most_its_own_session(house: House) -> None:
    dice = random.Random(181)
    async with await house.connect() as other:
        stream = await other.open(SERIAL, HISTORY)
        for _ in range(40):
            client = await house.connect()
            for _ in range(20):
                operation = dice.choice([OPEN, CLOSE, DATA, CREDIT, BREAK, dice.randrange(256)])
                body = dice.randbytes(dice.choice([0, 2, 3, 4, 5, dice.randrange(64)]))
                client.outgoing += struct.pack(">BBHI", 181, operation, dice.randrange(3), len(body)) + body
            with contextlib.suppress(ConnectionError):
                await client.flush()
            await client.close()
        await eventually(lambda: house.registry.count() == 1, "all of them are gone")
        house.serial.say(b"still here")
        await other.follow(lambda: stream.data.endswith(b"still here"), "the other one goes on")
        assert len(house.serial.output) == 1, "the line itself"
