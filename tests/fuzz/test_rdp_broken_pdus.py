"""Every PDU of a client cut off, too long, changed, repeated or out of turn, at every stage, over TLS."""

import asyncio
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from served_rdp_guest import ServedRdpGuest, served_rdp
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_rough_client import CAPS_ADVERTISE, DISPLAY, GRAPHICS, PIPELINE, TOUCH, RoughClient
from support.rdp_script import STEPS, Profile

TOGETHER = 24
"""Connections at a time."""

PROFILE = replace(PIPELINE, monitors=((0, 0, 1023, 767, 1),))


async def for_each(pieces: Iterator[bytes], offend: Callable[[bytes], object]) -> None:
    """Does it for all of them, some at a time."""
    waiting = iter(pieces)

    async def work() -> None:
        for piece in waiting:
            await offend(piece)  # type: ignore[misc]

    await asyncio.gather(*(work() for _ in range(TOGETHER)))


async def whole(here: ServedRdpGuest, step: str) -> bytes:
    """One PDU of a step."""
    peer = await here.dial(PROFILE)
    await peer.until_step(step)
    pdu = peer.step(step)
    await peer.close()
    return pdu[: int.from_bytes(pdu[2:4], "big")]


def resized(pdu: bytes, size: int) -> bytes:
    """A PDU of so many bytes, whose outer length is right."""
    return struct.pack(">BBH", 3, 0, size) + pdu[4:size].ljust(size - 4, b"\0")


LEAST = {"erect_domain": 8}
"""Bytes of PDUs that may be shorter than ours: what is in it is of no interest, and rdesktop's is shorter."""


@pytest.mark.parametrize("step", STEPS)
async def test_a_pdu_that_is_cut_off_anywhere_ends_its_session_and_no_other(step: str) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        pdu = await whole(here, step)

        async def offend(piece: bytes) -> None:
            peer = await here.dial(PROFILE)
            await peer.until_step(step)
            peer.send(piece)
            await here.faulted(peer)

        sizes = range(4, LEAST.get(step, len(pdu)))
        await for_each((resized(pdu, size) for size in sizes), offend)
        assert here.registry.count() == 1
        await here.serves(witness)
        await witness.close()


@pytest.mark.parametrize("step", STEPS)
async def test_a_pdu_that_goes_on_behind_its_end_ends_its_session(step: str) -> None:
    async with served_rdp() as here:
        pdu = await whole(here, step)
        # what is in an Erect Domain Request is of no interest
        for more in (60000,) if step == "erect_domain" else (1, 2, 8, 999, 60000):
            peer = await here.dial(PROFILE)
            await peer.until_step(step)
            peer.send(resized(pdu, len(pdu) + more))
            await here.faulted(peer)


@pytest.mark.parametrize("step", STEPS)
async def test_a_pdu_with_a_byte_changed_anywhere_is_taken_or_ends_its_session(step: str) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        pdu = await whole(here, step)

        async def offend(piece: bytes) -> None:
            peer = await here.dial(PROFILE)
            await peer.until_step(step)
            peer.send(piece)
            await peer.flush()
            await peer.close()

        # connect_initial holds names, client_info a time zone: not each of these bytes tells something
        stride = 1 if len(pdu) < 100 else 5
        changed = (
            pdu[:at] + bytes((pdu[at] ^ flip,)) + pdu[at + 1 :]
            for at in range(0, len(pdu), stride)
            for flip in (0x01, 0x80, 0xFF)
        )
        await for_each(changed, offend)
        await here.serves(witness)
        await witness.close()


IN_ANY_ORDER = {("erect_domain", "attach_user")}
"""A client may leave Erect Domain out."""


async def test_steps_that_come_before_or_after_their_turn_end_the_session() -> None:
    activation = STEPS.index("confirm_active")
    async with served_rdp() as here:
        witness = await here.connect()
        for at, step in enumerate(STEPS):
            for number, other in enumerate(STEPS):
                # in which order a client finalizes is its own business
                if number == at or (at > activation and number > activation) or (step, other) in IN_ANY_ORDER:
                    continue
                peer = await here.dial(PROFILE)
                await peer.until_step(step)
                peer.send(peer.step(other))
                await here.faulted(peer)
        await here.serves(witness)
        await witness.close()


async def test_what_is_said_twice_ends_the_session_where_it_may_be_said_once() -> None:
    async with served_rdp() as here:
        for step in STEPS[1:7]:
            peer = await here.dial(PROFILE)
            await peer.until_step(step)
            peer.send(peer.step(step) * 2)
            await here.faulted(peer)
        # these are taken again and again
        peer = await here.connect()
        for step in STEPS[7:]:
            peer.send(peer.step(step) * 3)
        await here.serves(peer)
        await peer.close()


@pytest.mark.parametrize(
    "pdu",
    [
        # TPKT
        b"\x03\0\0\0",
        b"\x03\0\0\x04",
        b"\x03\0\0\x06\x02\xf0",
        b"\x03\0\xff\xff" + bytes(65531),
        b"\x02\0\0\x09",
        b"\xff" * 40,
        # fast path
        b"\x04\x01",
        b"\x04\x02",
        b"\x44\x04\x00\x1e",
        b"\xc4\x04\x00\x1e",
        b"\x00\x04\xff\x00",
        b"\x3c\x04\x00\x1e",
        b"\x04\xff\xff" + bytes(32764),
        # X.224
        client.tpkt(b"\x02\xf0\x00\x64"),
        client.tpkt(b"\xff\xf0\x80\x64"),
        client.tpkt(b"\x02\xe0\x80\x64"),
        # MCS
        client.x224_data(b""),
        client.x224_data(b"\xff" * 20),
        client.x224_data(b"\x64\0\0\x03\xeb\x70\xff\xff"),
        client.x224_data(b"\x64\0\0\x03\xeb\x70\xc4" + bytes(50000)),
        client.x224_data(b"\x64\0\0\x03\xeb\x70\x05\0"),
        client.x224_data(b"\x64\0\0\xff\xff\x70\x01\0"),
        client.x224_data(b"\x64\xff\xff\x03\xeb\x70\x01\0"),
        client.x224_data(b"\x68\0\0\x03\xeb\x70\x01\0"),
        client.attach_user(),
        client.join(1002, 1003),
        client.connect_initial(b""),
        # share control
        client.send_data(1002, 1003, b"\xff\xff\x17\0\xea\x03"),
        client.send_data(1002, 1003, b"\x05\0\x17\0\xea\x03"),
        client.send_data(1002, 1003, b"\0\0\x17\0\xea\x03" + bytes(20)),
        client.send_data(1002, 1003, client.share_control(1, 1002, bytes(30))),
        client.send_data(1002, 1003, client.share_control(6, 1002, bytes(6))),
        client.send_data(1002, 1003, client.share_control(15, 1002, bytes(30))),
        client.send_data(1002, 1003, client.confirm_active(1002, 0x103EA, client.capability_sets(9, 9))),
        client.send_data(1002, 1003, client.share_data(1002, 0x103EA, client.INPUT, b"\xff\xff\0\0")),
        client.send_data(1002, 1003, client.share_data(1002, 0x103EA, client.INPUT, b"\x01" + bytes(14))),
        client.send_data(1002, 1003, client.share_data(1002, 0x103EA, client.REFRESH_RECT, b"\xff\0\0\0")),
        client.send_data(1002, 1003, client.share_data(1002, 0x103EA, client.SUPPRESS_OUTPUT, b"")),
        client.send_data(1002, 1003, client.share_data(1002, 0x103EA, client.SYNCHRONIZE, b"\xff\xff\0\0")),
    ],
    ids=lambda pdu: pdu[:16].hex(),
)
async def test_lengths_and_types_that_cannot_be_end_an_active_session(pdu: bytes) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        peer = await here.connect()
        peer.send(pdu)
        await here.faulted(peer)
        told = [data for data in peer.heard(server.ShareData) if data.kind == server.SET_ERROR_INFO]
        assert [data.body for data in told] == [struct.pack("<I", 0x10CA)]
        assert isinstance(peer.inbox[-1], server.Ultimatum)
        await here.serves(witness)
        await witness.close()


def touch_event(count: int = 1) -> bytes:
    body = b"\0\x01" + bytes((count,)) + b"\0"
    body += b"".join(bytes((number, 0)) + b"\x40\x10\x40\x10\x1a" for number in range(count))
    return struct.pack("<HI", 3, 6 + len(body)) + body


def monitor_layout(width: int = 400, height: int = 300) -> bytes:
    return struct.pack("<IIII", 2, 56, 40, 1) + struct.pack(
        "<IiiIIIIIII", 1, 0, 0, width, height, 100, 100, 0, 100, 100
    )


@dataclass(frozen=True)
class Message:
    """A message of a dynamic channel; whether one that is shorter by some bytes is broken."""

    channel: str
    data: bytes


MESSAGES = {
    "capabilities": Message(GRAPHICS, CAPS_ADVERTISE),
    "acknowledgement": Message(GRAPHICS, struct.pack("<HHIIII", 13, 0, 20, 0, 1, 1)),
    "layout": Message(DISPLAY, monitor_layout()),
    "touch": Message(TOUCH, touch_event(3)),
    "touch ready": Message(TOUCH, struct.pack("<HIIIH", 2, 16, 0, 0x10000, 10)),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
async def test_a_message_of_a_dynamic_channel_that_is_cut_off_or_too_long_ends_its_session(
    message: Message,
) -> None:
    async with served_rdp() as here:
        witness = await here.connect()

        async def offend(piece: bytes) -> None:
            peer = await here.connect(PIPELINE)
            await peer.open_graphics()
            number = next(key for key, name in peer.reader.asked.items() if name == message.channel)
            peer.send(peer.dynamic_data(number, piece))
            await here.faulted(peer)

        data = message.data
        # an empty message says nothing, which is allowed
        pieces = [data[:size] for size in range(1, len(data))] + [data + bytes(1), data + bytes(7)]
        await for_each(iter(pieces), offend)
        await here.serves(witness)
        await witness.close()


async def test_input_of_all_kinds_is_cut_off_anywhere() -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        fast = client.fast_path_input(
            [client.fast_path_scancode(30), client.fast_path_mouse(0x800, 9, 9), b"\x80\x41\0", b"\x63"]
        )
        slow = client.slow_path_input([(4, bytes(6)), (0x8001, bytes(6)), (5, bytes(6)), (0, bytes(6))])

        def cut(peer: RoughClient) -> Iterator[bytes]:
            yield from (bytes((fast[0], size)) + fast[2:size] for size in range(len(fast)))
            yield from (peer.share(client.INPUT, slow[:size]) for size in range(len(slow)))
            yield fast[:1] + bytes((len(fast) + 1,)) + fast[2:] + b"\0"
            yield peer.share(client.INPUT, slow + b"\0")

        async def offend(piece: bytes) -> None:
            peer = await here.connect(Profile())
            peer.send(piece)
            await here.faulted(peer)

        await for_each(cut(witness), offend)
        await here.serves(witness)
        assert not here.console.keyboard.held
        await witness.close()
