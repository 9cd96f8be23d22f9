"""Random RDP conversations with a whole server over real sockets and TLS: it serves on, nothing is left."""

import asyncio
import contextlib
import struct
from collections.abc import Callable

import numpy as np
import uvloop
from guest_events import EVENTS, happen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_guest import until
from served_rdp_guest import ServedRdpGuest, served_rdp
from support import rdp_client_pdus as client
from support.rdp_rough_client import BITMAPS, CAPS_ADVERTISE, DISPLAY, GRAPHICS, PIPELINE, TOUCH, RoughClient
from support.rdp_script import STEPS, Profile
from support.rdp_server_pdus import Broken

Say = Callable[[RoughClient], bytes]
"""What a client says, with what it knows by then."""

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)

SHARED = (
    *(client.CONTROL, client.INPUT, client.SYNCHRONIZE, client.REFRESH_RECT, client.SUPPRESS_OUTPUT),
    *(client.SHUTDOWN_REQUEST, client.FONT_LIST, client.PERSISTENT_KEY_LIST, client.FRAME_ACKNOWLEDGE, 99),
)

fast_path_event = st.one_of(
    st.builds(lambda flags, code: bytes((flags, code)), st.integers(0, 7), u8),
    st.builds(lambda flags, x, y: struct.pack("<BHHH", 1 << 5, flags, x, y), u16, u16, u16),
    st.builds(lambda flags, x, y: struct.pack("<BHHH", 2 << 5, flags, x, y), u16, u16, u16),
    st.integers(0, 7).map(lambda toggles: bytes((3 << 5 | toggles,))),
    st.builds(lambda flags, code: struct.pack("<BH", 4 << 5 | flags, code), st.integers(0, 1), u16),
)
slow_path_event = st.tuples(
    st.sampled_from([0, 4, 5, 0x8001, 0x8002, 0x8004, 7]), st.binary(min_size=6, max_size=6)
)


def dynamic(number: int, message: bytes) -> Say:
    return lambda peer: peer.dynamic_data(number, message) if "drdynvc" in peer.channels else b""


def monitors(width: int, height: int, count: int) -> bytes:
    one = struct.pack("<IiiIIIIIII", 1, 0, 0, width, height, 100, 100, 0, 100, 100)
    return struct.pack("<IIII", 2, 16 + 40 * count, 40, count) + one * count


def fingers(contacts: list[tuple[int, int]]) -> bytes:
    told = b"".join(bytes((finger, 0)) + b"\x40\x10\x40\x10" + bytes((flags,)) for finger, flags in contacts)
    body = b"\0\x01" + bytes((len(contacts),)) + b"\0" + told
    return struct.pack("<HI", 3, 6 + len(body)) + body


message = st.one_of(
    st.just(dynamic(1, CAPS_ADVERTISE)),
    st.builds(lambda depth, frame: dynamic(1, struct.pack("<HHIIII", 13, 0, 20, depth, frame, 1)), u32, u8),
    st.builds(
        lambda width, height, count: dynamic(2, monitors(width, height, count)),
        st.sampled_from([0, 200, 321, 640, 9000]),
        st.sampled_from([0, 200, 480]),
        st.integers(0, 2),
    ),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 0x3F)), max_size=12).map(
        lambda contacts: dynamic(3, fingers(contacts))
    ),
    st.builds(dynamic, st.integers(0, 5), st.binary(max_size=30)),
)

said = st.one_of(
    st.sampled_from(STEPS).map(lambda step: lambda peer: peer.step(step)),
    st.lists(fast_path_event, min_size=1, max_size=15).map(
        lambda events: lambda _: client.fast_path_input(events)
    ),
    st.lists(slow_path_event, max_size=20).map(
        lambda events: lambda peer: peer.share(client.INPUT, client.slow_path_input(events))
    ),
    st.builds(
        lambda kind, body: lambda peer: peer.share(kind, body),
        st.sampled_from(SHARED),
        st.binary(max_size=20),
    ),
    st.builds(
        lambda left, top, right, bottom: (
            lambda peer: peer.share(client.REFRESH_RECT, struct.pack("<B3x4H", 1, left, top, right, bottom))
        ),
        *(u16,) * 4,
    ),
    st.booleans().map(
        lambda shown: (
            lambda peer: peer.share(client.SUPPRESS_OUTPUT, bytes((shown, 0, 0, 0)) + bytes(8 * shown))
        )
    ),
    st.builds(
        lambda number, status: (
            lambda peer: peer.dynamic_create_response(number, status) if "drdynvc" in peer.channels else b""
        ),
        st.integers(0, 5),
        st.sampled_from([0, 0, 0, -1]),
    ),
    st.builds(
        lambda channel, data: lambda peer: client.send_data(peer.user, channel, data),
        st.sampled_from([1002, 1003, 1004, 1005, 1006, 1035, 1036]),
        st.binary(max_size=40),
    ),
    st.integers(0, 5).map(
        lambda number: (
            lambda peer: peer.channel("drdynvc", bytes((0x40, number))) if "drdynvc" in peer.channels else b""
        )
    ),
    st.binary(min_size=1, max_size=20).map(lambda data: lambda _: data),
    st.sampled_from([client.disconnect_ultimatum(), client.disconnect_request()]).map(
        lambda pdu: lambda _: pdu
    ),
)

step = st.one_of(said, message, message, st.sampled_from([*EVENTS, "pause", "read", "channels", "leave"]))
steps = st.lists(step, max_size=25)
start = st.tuples(st.sampled_from(["", "", "", "", *STEPS]), st.sampled_from([BITMAPS, PIPELINE]))
conversations = st.lists(st.tuples(start, steps), min_size=1, max_size=3)


async def listen(peer: RoughClient, seconds: float) -> None:
    """Takes what comes for a while; what a session that talks nonsense hears may be nonsense to it."""
    with contextlib.suppress(TimeoutError, ConnectionError, EOFError, RuntimeError, Broken):
        async with asyncio.timeout(seconds):
            while True:
                await peer.hear()


async def converse(here: ServedRdpGuest, where: str, profile: Profile, steps: list[Say | str]) -> None:
    peer = await here.dial(profile)
    # an administrator may end it before it has got there
    with contextlib.suppress(EOFError, ConnectionError, RuntimeError, ValueError, Broken):
        await peer.until_step(where)
    for number, what in enumerate(steps):
        if peer.writer.transport.is_closing():
            break
        if callable(what):
            peer.send(what(peer))
        elif what == "pause":
            await asyncio.sleep(0.02)
        elif what == "leave":
            break
        elif what == "read":
            await listen(peer, 0.01)
        elif what == "channels":
            with contextlib.suppress(KeyError, EOFError, ConnectionError, RuntimeError, TimeoutError, Broken):
                async with asyncio.timeout(0.05):
                    await peer.open_channels(GRAPHICS, DISPLAY, TOUCH)
        else:
            happen(here.guest, here.registry, what, number)
        if number % 3 == 0:
            await asyncio.sleep(0)
    await peer.flush()
    if len(steps) % 2:
        peer.abort()
    else:
        await peer.close()


async def play(conversations: list[tuple[tuple[str, Profile], list[Say | str]]]) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        await asyncio.gather(*(converse(here, *begin, steps) for begin, steps in conversations))
        await until(lambda: len(here.server.viewers) <= 1, "who left is forgotten")
        # an administrator may have ended the witness, and the guest's size is another
        late = await here.connect()
        here.console.draw(0, 0, np.full((1, 1), 77, np.uint32))
        await here.serves(late)
        await witness.close()
        await late.close()
        assert not here.log.with_words("Traceback")


few = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@few
@given(conversations)
def test_rdp_conversations_on_asyncio(
    conversations: list[tuple[tuple[str, Profile], list[Say | str]]],
) -> None:
    asyncio.run(play(conversations))


@few
@given(conversations)
def test_rdp_conversations_on_uvloop(
    conversations: list[tuple[tuple[str, Profile], list[Say | str]]],
) -> None:
    uvloop.run(play(conversations))
