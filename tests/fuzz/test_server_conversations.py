"""Random conversations with a whole server over real sockets: it serves on, and nothing is left behind."""

import asyncio
import contextlib
import struct

import numpy as np
import uvloop
from guest_events import EVENTS, happen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_guest import ServedGuest, served, until
from support import rfb_wire
from support.rfb_wire import BGR233, BGRX, COLOUR_MAP, RGB565, Encoding

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
edge = st.one_of(u16, st.sampled_from([0, 1, 63, 64, 65, 320, 65535]))

EVERYTHING = (Encoding.ZRLE, *rfb_wire.ALL_PSEUDO)

greeting = st.sampled_from(
    [
        b"RFB 003.008\n\x01\x01" + rfb_wire.set_encodings(EVERYTHING),
        b"RFB 003.008\n\x01\x00",
        b"RFB 003.007\n\x01\x01",
        b"RFB 003.003\n\x01",
        b"RFB 003.008\n\x02",
        b"RFB 003.008\n",
        b"RFB 0",
        b"",
    ]
)

said = st.one_of(
    st.sampled_from([BGRX, RGB565, BGR233, COLOUR_MAP]).map(rfb_wire.set_pixel_format),
    st.lists(st.sampled_from([*Encoding, -23, -32, -256]), max_size=30).map(rfb_wire.set_encodings),
    st.builds(rfb_wire.update_request, st.booleans(), edge, edge, edge, edge),
    st.builds(rfb_wire.key_event, u32, st.booleans()),
    st.builds(rfb_wire.extended_key_event, u32, st.integers(0, 255), st.booleans()),
    st.builds(rfb_wire.pointer_event, u16, u16, u8),
    st.binary(max_size=40).map(rfb_wire.cut_text),
    st.builds(rfb_wire.enable_continuous_updates, st.booleans(), edge, edge, edge, edge),
    st.builds(rfb_wire.fence, st.sampled_from([0, 1 << 31, 1 << 31 | 7, 0xFFFFFFFF]), st.binary(max_size=65)),
    st.integers(0, 5).map(lambda code: bytes((250, 0, 1, code))),
    st.builds(
        lambda width, height, number: (
            struct.pack(">BxHHBx", 251, width, height, number)
            + struct.pack(">IHHHHI", 7, 0, 0, width, height, 0) * number
        ),
        st.integers(0, 700),
        st.integers(0, 500),
        st.integers(0, 2),
    ),
    st.binary(min_size=1, max_size=20),
)

step = st.one_of(
    said,
    said,
    st.sampled_from([*EVENTS, "pause", "read", "leave"]),
)


async def converse(here: ServedGuest, start: bytes, steps: list[bytes | str]) -> None:
    reader, writer = await here.dial()
    writer.write(start)
    for number, what in enumerate(steps):
        if writer.transport.is_closing():
            break
        if isinstance(what, bytes):
            writer.write(what)
        elif what == "pause":
            await asyncio.sleep(0.02)
        elif what == "leave":
            break
        elif what == "read":
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.01):
                    await reader.read(1 << 16)
        else:
            happen(here.guest, here.registry, what, number)
        if number % 3 == 0:
            await asyncio.sleep(0)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            await writer.drain()
    if len(steps) % 2:
        writer.transport.abort()
    else:
        writer.close()


async def play(conversations: list[tuple[bytes, list[bytes | str]]]) -> None:
    async with served(allow_power=True) as here, await here.connect(encodings=EVERYTHING) as good:
        await asyncio.gather(*(converse(here, *conversation) for conversation in conversations))
        here.console.draw(0, 0, np.full((5, 5), 77, np.uint32))
        # an administrator may have ended it (and uvloop's streams say so by RuntimeError)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, RuntimeError):
            await good.until_shown(here.console.surface.frame.pixels)
        await until(lambda: len(here.server.viewers) <= 1, "who left is forgotten")
        async with await here.connect(encodings=(Encoding.ZRLE, Encoding.DESKTOP_SIZE)) as late:
            await late.until_shown(here.console.surface.frame.pixels)


conversations = st.lists(st.tuples(greeting, st.lists(step, max_size=25)), min_size=1, max_size=3)
few = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@few
@given(conversations)
def test_conversations_on_asyncio(conversations: list[tuple[bytes, list[bytes | str]]]) -> None:
    asyncio.run(play(conversations))


@few
@given(conversations)
def test_conversations_on_uvloop(conversations: list[tuple[bytes, list[bytes | str]]]) -> None:
    uvloop.run(play(conversations))
