"""Chunks of static virtual channels, both ways, and messages sliced in one go."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.static_channel import CHUNK_LENGTH, StaticChannel, chunked, packets
from sidecar.rdp.wire import Reader

FIRST, LAST, SHOW_PROTOCOL = 1, 2, 0x10
CHANNEL = 1005


def read_pdus(data: bytes) -> list[tuple[int, int, bytes]]:
    """Total length, flags and data of every chunk: TPKT, X.224, MCS and channel headers by the letter."""
    found, at = [], 0
    while at < len(data):
        version, length = data[at], int.from_bytes(data[at + 2 : at + 4], "big")
        assert version == 3
        pdu = data[at : at + length]
        assert len(pdu) == length
        at += length
        assert pdu[4:7] == b"\x02\xf0\x80"
        assert pdu[7:13] == bytes.fromhex("68 00 01 03 ed 70")
        size, start = pdu[13], 14
        if size & 0x80:
            size, start = (size & 0x7F) << 8 | pdu[14], 15
        assert size == len(pdu) - start
        total, flags = struct.unpack_from("<II", pdu, start)
        chunk = pdu[start + 8 :]
        assert len(chunk) <= CHUNK_LENGTH
        found.append((total, flags, chunk))
    return found


def sent(message: bytes, **options: bool) -> list[tuple[int, int, bytes]]:
    out: list[bytes | memoryview] = []
    StaticChannel(CHANNEL, out.append, 1000, **options).send(message)
    return read_pdus(b"".join(out))


def channel(max_message: int = 10000) -> StaticChannel:
    return StaticChannel(CHANNEL, lambda pdus: None, max_message)


def reader(chunk: bytes) -> Reader:
    return Reader(chunk, "test")


def chunk(length: int, flags: int, data: bytes = b"") -> Reader:
    return reader(struct.pack("<II", length, flags) + data)


# Sending


@pytest.mark.parametrize(
    ("length", "flags"),
    [
        (0, [FIRST | LAST]),
        (1, [FIRST | LAST]),
        (119, [FIRST | LAST]),
        (120, [FIRST | LAST]),
        (1600, [FIRST | LAST]),
        (1601, [FIRST, LAST]),
        (3200, [FIRST, LAST]),
        (5000, [FIRST, 0, 0, LAST]),
    ],
)
def test_messages_are_sent_in_chunks(length: int, flags: list[int]) -> None:
    message = (bytes(range(251)) * 20)[:length]
    pdus = sent(message)
    assert [each[1] for each in pdus] == flags
    assert {each[0] for each in pdus} == {length}
    assert b"".join(each[2] for each in pdus) == message
    assert all(len(each[2]) == CHUNK_LENGTH for each in pdus[:-1])


def test_a_channel_that_wants_to_see_the_protocol_is_told_in_every_chunk() -> None:
    flags = [each[1] for each in sent(bytes(4000), show_protocol=True)]
    assert flags == [SHOW_PROTOCOL | FIRST, SHOW_PROTOCOL, SHOW_PROTOCOL | LAST]


def expected_slices(header: bytes, payload: bytes, size: int) -> list[bytes]:
    return [header + payload[at : at + size] for at in range(0, len(payload), size)]


@pytest.mark.parametrize("size", [1, 50, 111, 112, 1590, 1598])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("left", [0, 1])
def test_slices_are_messages_of_their_own(size: int, count: int, left: int) -> None:
    payload = (bytes(range(251)) * 60)[: count * size + min(left, size - 1)]
    for given_payload in (payload, memoryview(payload)):
        made = packets(CHANNEL, b"\x30\x07", given_payload, size)
        messages = read_pdus(bytes(made))
        assert [each[2] for each in messages] == expected_slices(b"\x30\x07", payload, size)
        assert all(each[:2] == (len(each[2]), FIRST | LAST) for each in messages)


@given(
    st.binary(max_size=3000), st.binary(max_size=5), st.integers(1, 1595), st.sampled_from([0, SHOW_PROTOCOL])
)
def test_slices_of_anything_are_what_single_messages_would_be(
    payload: bytes, header: bytes, size: int, flags: int
) -> None:
    single = b"".join(chunked(CHANNEL, each, flags) for each in expected_slices(header, payload, size))
    assert bytes(packets(CHANNEL, header, payload, size, flags)) == single


def test_slices_go_out_through_the_channel() -> None:
    out: list[bytes | memoryview] = []
    StaticChannel(CHANNEL, out.append, 1000, show_protocol=True).send_slices(b"h", b"abcde", 2)
    assert [each[2] for each in read_pdus(b"".join(out))] == [b"hab", b"hcd", b"he"]
    assert {each[1] for each in read_pdus(b"".join(out))} == {SHOW_PROTOCOL | FIRST | LAST}


# Receiving


@pytest.mark.parametrize("length", [0, 1, 1600, 1601, 5000])
@pytest.mark.parametrize("chunk_size", [100, 1600, 16256])
def test_messages_are_put_together_from_chunks_of_any_size(length: int, chunk_size: int) -> None:
    message = (bytes(range(251)) * 20)[:length]
    receiving = channel()
    for _ in range(2):
        *parts, last = (
            receiving.receive(reader(each)) for each in client.channel_chunks(message, chunk_size)
        )
        assert parts == [None] * len(parts)
        assert last == message


def test_a_first_chunk_ends_a_message_that_was_not_finished() -> None:
    receiving = channel()
    assert receiving.receive(chunk(10, FIRST, b"lost")) is None
    assert receiving.receive(chunk(3, FIRST | LAST, b"new")) == b"new"


def test_suspend_and_resume_are_skipped() -> None:
    receiving = channel()
    assert receiving.receive(chunk(4, FIRST, b"ab")) is None
    assert receiving.receive(chunk(0, 0x20)) is None
    assert receiving.receive(chunk(0, 0x40)) is None
    assert receiving.receive(chunk(4, LAST, b"cd")) == b"abcd"


def refused(receiving: StaticChannel, data: Reader) -> Reason:
    with pytest.raises(RemoteError) as caught:
        receiving.receive(data)
    return caught.value.reason


def test_a_message_that_is_too_long_is_refused_before_it_comes() -> None:
    assert channel(100).receive(chunk(100, FIRST, b"a")) is None
    assert refused(channel(100), chunk(101, FIRST, b"a")) is Reason.OVERSIZED
    assert refused(channel(100), chunk(0xFFFFFFFF, FIRST)) is Reason.OVERSIZED


@pytest.mark.parametrize(
    ("length", "flags", "data"),
    [
        (3, FIRST | LAST, b"abcd"),
        (3, FIRST, b"abcd"),
        (3, FIRST | LAST, b"ab"),
        (3, LAST, b"abc"),
        (3, 0, b"abc"),
        (3, FIRST | LAST | 0x00200000, b"abc"),
    ],
)
def test_a_chunk_that_does_not_fit_its_message_is_refused(length: int, flags: int, data: bytes) -> None:
    assert refused(channel(), chunk(length, flags, data)) is Reason.MALFORMED


def test_chunks_that_go_on_behind_the_end_are_refused() -> None:
    receiving = channel()
    receiving.receive(chunk(4, FIRST, b"abc"))
    assert refused(receiving, chunk(4, 0, b"de")) is Reason.MALFORMED


@pytest.mark.parametrize("size", range(8))
def test_a_chunk_that_ends_in_its_header_is_refused(size: int) -> None:
    assert refused(channel(), reader(bytes(size))) is Reason.TRUNCATED


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 1, 2, 3, 0x20]), st.binary(max_size=30))))
def test_any_chunks_are_messages_or_an_error(chunks: list[tuple[int, int, bytes]]) -> None:
    receiving = channel(50)
    with contextlib.suppress(RemoteError):
        for each in chunks:
            message = receiving.receive(chunk(*each))
            assert message is None or len(message) <= 50
