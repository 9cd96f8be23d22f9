"""drdynvc: bytes as in the examples of MS-RDPEDYC section 4 where it has any."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rdp_graphics import ChunkCollector, DynamicChannelReader

from sidecar.rdp.dynamic_channels import (
    ChannelState,
    Closed,
    Data,
    DynamicChannel,
    DynamicChannels,
    Opened,
    Ready,
    Refused,
)
from sidecar.rdp.errors import LocalError, Reason, RemoteError

CLIENT_CAPABILITIES = bytes.fromhex("50000200")
CREATED = bytes.fromhex("10 01 00000000")


def ready(**options: int) -> tuple[DynamicChannels, ChunkCollector]:
    sender = ChunkCollector()
    channels = DynamicChannels(sender, **options)
    channels.start()
    list(channels.receive(CLIENT_CAPABILITIES))
    sender.taken()
    return channels, sender


def opened(
    max_message: int = 100_000, **options: int
) -> tuple[DynamicChannels, DynamicChannel, ChunkCollector]:
    channels, sender = ready(**options)
    channel = channels.open("testdvc", max_message)
    assert list(channels.receive(CREATED)) == [Opened(channel)]
    sender.taken()
    return channels, channel, sender


def reason_of(channels: DynamicChannels, message: bytes) -> Reason:
    with pytest.raises(RemoteError) as caught:
        list(channels.receive(message))
    return caught.value.reason


def test_version_3_is_offered() -> None:
    sender = ChunkCollector()
    DynamicChannels(sender).start()
    assert sender.messages == [bytes.fromhex("50 00 0300 0000 0000 0000 0000")]


@pytest.mark.parametrize(("answer", "version"), [(1, 1), (2, 2), (3, 3), (4, 3), (0xFFFF, 3)])
def test_the_client_chooses_the_version(answer: int, version: int) -> None:
    channels = DynamicChannels(ChunkCollector())
    assert list(channels.receive(b"\x50\0" + answer.to_bytes(2, "little"))) == [Ready(version)]
    assert channels.version == version


def test_unused_bits_of_the_client_are_ignored() -> None:
    channels = DynamicChannels(ChunkCollector())
    assert list(channels.receive(bytes.fromhex("5c000200"))) == [Ready(2)]


def test_capabilities_that_come_again_change_nothing() -> None:
    channels, _ = ready()
    assert list(channels.receive(bytes.fromhex("50000100"))) == []
    assert channels.version == 2


def test_a_channel_is_asked_for_by_name_and_number() -> None:
    channels, sender = ready()
    for name in ("one", "two", "testdvc"):
        channels.open(name)
    assert sender.messages[2] == bytes.fromhex("10 03 74 65 73 74 64 76 63 00")


def test_the_priority_class_goes_beside_the_command() -> None:
    channels, sender = ready()
    channels.open("a", priority=2)
    assert sender.messages == [bytes.fromhex("18 01 61 00")]


def test_numbers_above_255_take_two_bytes() -> None:
    channels, sender = ready()
    for _ in range(256):
        channel = channels.open("a")
    assert sender.messages[-1] == bytes.fromhex("11 0001 61 00")
    assert list(channels.receive(bytes.fromhex("11 0001 00000000"))) == [Opened(channel)]
    channel.send(b"x")
    assert sender.messages[-1] == bytes.fromhex("31 0001 78")


def test_no_channel_is_opened_before_the_client_is_ready() -> None:
    channels = DynamicChannels(ChunkCollector())
    channels.start()
    with pytest.raises(LocalError):
        channels.open("testdvc")


@pytest.mark.parametrize("status", [0, 1, 0x7FFFFFFF])
def test_any_status_that_is_not_negative_opens(status: int) -> None:
    channels, _ = ready()
    channel = channels.open("testdvc")
    assert not channel.is_open
    answer = b"\x10\x01" + status.to_bytes(4, "little")
    assert list(channels.receive(answer)) == [Opened(channel)]
    assert channel.is_open


def test_a_refused_channel_can_be_asked_for_again() -> None:
    channels, _ = ready()
    channel = channels.open("testdvc")
    not_found = -0x3FFFFDDB
    answer = b"\x10\x01" + not_found.to_bytes(4, "little", signed=True)
    assert list(channels.receive(answer)) == [Refused(channel, not_found)]
    with pytest.raises(LocalError):
        channel.send(b"x")
    assert channels.open("testdvc").id == 2


def test_a_short_message_goes_in_one_piece() -> None:
    _, channel, sender = opened()
    channel.send(b"hello")
    channel.send(b"")
    assert sender.messages == [b"\x30\x01hello", b"\x30\x01"]


@pytest.mark.parametrize(
    ("length", "lengths"),
    [
        (1590, [1592]),
        (1591, [1595]),
        (1596, [1600]),
        (1597, [1600, 3]),
        (1596 + 1598, [1600, 1600]),
        (1596 + 1599, [1600, 1600, 3]),
    ],
)
def test_a_long_message_goes_in_pieces_of_at_most_1600_bytes(length: int, lengths: list[int]) -> None:
    _, channel, sender = opened()
    channel.send(bytes(length))
    assert [len(message) for message in sender.messages] == lengths


@pytest.mark.parametrize(
    ("length", "header"),
    [(1591, "24 01 3706"), (0xFFFF, "24 01 ffff"), (0x10000, "28 01 00000100")],
)
def test_the_first_piece_says_the_whole_length(length: int, header: str) -> None:
    _, channel, sender = opened()
    channel.send(bytes(length))
    assert sender.messages[0].startswith(bytes.fromhex(header))


def test_pieces_fit_a_client_with_shorter_chunks() -> None:
    _, channel, sender = opened(chunk_length=200)
    channel.send(bytes(199))
    channel.send(bytes(198))
    assert [len(message) for message in sender.messages] == [200, 4, 200]


def test_longer_chunks_make_no_longer_pieces() -> None:
    _, channel, sender = opened(chunk_length=16256)
    channel.send(bytes(5000))
    assert max(map(len, sender.messages)) == 1600


@given(st.binary(max_size=5000), st.sampled_from([200, 1000, 1600]), st.sampled_from([bytes, memoryview]))
def test_a_client_puts_together_what_was_sent(message: bytes, chunk_length: int, kind: type) -> None:
    _, channel, sender = opened(chunk_length=chunk_length)
    channel.send(kind(message))
    reader = DynamicChannelReader(chunk_length)
    results = [reader.feed(piece) for piece in sender.messages]
    assert results[-1] == (channel.id, message)
    assert not any(results[:-1])


def test_a_single_message_is_data() -> None:
    channels, channel, _ = opened()
    assert list(channels.receive(b"\x30\x01hello")) == [Data(channel, b"hello")]
    assert list(channels.receive(b"\x34\x01hello")) == [Data(channel, b"hello")]


def test_a_message_in_pieces_is_data_once_it_is_whole() -> None:
    channels, channel, _ = opened()
    assert list(channels.receive(bytes.fromhex("24 01 7b0c") + b"q" * 1596)) == []
    assert list(channels.receive(bytes.fromhex("34 01") + b"q" * 1598)) == []
    assert list(channels.receive(bytes.fromhex("34 01") + b"q")) == [Data(channel, b"q" * 3195)]
    assert list(channels.receive(b"\x30\x01next")) == [Data(channel, b"next")]


@pytest.mark.parametrize("header", ["20 01 03", "24 01 0300", "28 01 03000000"])
def test_a_first_piece_may_be_the_whole_message(header: str) -> None:
    channels, channel, _ = opened()
    assert list(channels.receive(bytes.fromhex(header) + b"abc")) == [Data(channel, b"abc")]


def test_pieces_of_two_channels_may_mix() -> None:
    channels, one, _ = opened()
    two = channels.open("other")
    list(channels.receive(bytes.fromhex("10 02 00000000")))
    assert list(channels.receive(bytes.fromhex("20 01 02") + b"a")) == []
    assert list(channels.receive(bytes.fromhex("20 02 02") + b"x")) == []
    assert list(channels.receive(b"\x30\x01b")) == [Data(one, b"ab")]
    assert list(channels.receive(b"\x30\x02y")) == [Data(two, b"xy")]


def test_each_channel_has_its_own_bound() -> None:
    channels, channel, _ = opened(max_message=10)
    assert list(channels.receive(b"\x30\x01" + bytes(10))) == [Data(channel, bytes(10))]
    assert reason_of(channels, b"\x30\x01" + bytes(11)) is Reason.OVERSIZED


def test_a_length_beyond_the_bound_is_refused_before_anything_is_kept() -> None:
    channels, channel, _ = opened(max_message=10)
    assert reason_of(channels, bytes.fromhex("28 01 ffffffff")) is Reason.OVERSIZED
    assert channel.partial is None


BROKEN = [
    ("nothing at all", "", Reason.TRUNCATED),
    ("capabilities that end", "50 00 02", Reason.TRUNCATED),
    ("capabilities with more behind", "50 00 0200 00", Reason.TRAILING),
    ("version 0", "50 00 0000", Reason.MALFORMED),
    ("an answer that ends", "10 01 000000", Reason.TRUNCATED),
    ("an answer with more behind", "10 01 00000000 00", Reason.TRAILING),
    ("a second answer", "10 01 00000000", Reason.UNEXPECTED),
    ("an answer for a number never given", "10 07 00000000", Reason.UNKNOWN_CHANNEL),
    ("data for a number never given", "30 07 61", Reason.UNKNOWN_CHANNEL),
    ("data for number 0", "30 00 61", Reason.UNKNOWN_CHANNEL),
    ("a close of a number never given", "40 07", Reason.UNKNOWN_CHANNEL),
    ("data without a number", "30", Reason.TRUNCATED),
    ("a number of three bytes", "33 01 00 00 61", Reason.MALFORMED),
    ("a length of three bytes", "2c 01 010000", Reason.MALFORMED),
    ("a first piece without a length", "24 01 01", Reason.TRUNCATED),
    ("a first piece that is longer than it says", "20 01 01 61 62", Reason.MALFORMED),
    ("compressed data", "70 01 e0 04", Reason.UNEXPECTED),
    ("a compressed first piece", "60 01 05 e0 04", Reason.UNEXPECTED),
    ("command 0", "00 01", Reason.MALFORMED),
    ("command 15", "f0 01", Reason.MALFORMED),
]


@pytest.mark.parametrize(("message", "reason"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_pdus_are_refused(message: str, reason: Reason) -> None:
    channels, _, _ = opened()
    assert reason_of(channels, bytes.fromhex(message)) is reason


def test_a_message_does_not_begin_inside_another() -> None:
    channels, _, _ = opened()
    list(channels.receive(bytes.fromhex("20 01 05") + b"a"))
    assert reason_of(channels, bytes.fromhex("20 01 05") + b"a") is Reason.UNEXPECTED


def test_pieces_do_not_exceed_the_length_that_was_said() -> None:
    channels, _, _ = opened()
    list(channels.receive(bytes.fromhex("20 01 05") + b"abc"))
    assert reason_of(channels, b"\x30\x01def") is Reason.MALFORMED


def test_data_before_the_answer_is_refused() -> None:
    channels, _ = ready()
    channels.open("testdvc")
    assert reason_of(channels, b"\x30\x01a") is Reason.UNKNOWN_CHANNEL


def test_soft_sync_is_ignored() -> None:
    channels, _, _ = opened()
    assert list(channels.receive(bytes.fromhex("90 00 00000000"))) == []
    assert list(channels.receive(bytes.fromhex("80 00"))) == []


def test_what_is_on_its_way_while_this_side_closes_is_dropped() -> None:
    channels, channel, sender = opened()
    list(channels.receive(bytes.fromhex("20 01 05") + b"ab"))
    channel.close()
    assert sender.messages == [bytes.fromhex("40 01")]
    assert list(channels.receive(b"\x30\x01cde")) == []
    assert list(channels.receive(bytes.fromhex("20 01 05") + b"ab")) == []
    assert list(channels.receive(bytes.fromhex("40 01"))) == []
    assert channel.state is ChannelState.CLOSED
    assert reason_of(channels, b"\x30\x01x") is Reason.UNKNOWN_CHANNEL


def test_the_client_closes_a_channel() -> None:
    channels, channel, sender = opened()
    assert list(channels.receive(bytes.fromhex("40 01"))) == [Closed(channel)]
    assert sender.messages == []
    assert reason_of(channels, b"\x30\x01x") is Reason.UNKNOWN_CHANNEL
    with pytest.raises(LocalError):
        channel.send(b"x")
    channel.close()
    assert sender.messages == []


def test_closes_may_cross() -> None:
    channels, channel, _ = opened()
    channel.close()
    assert list(channels.receive(bytes.fromhex("40 01"))) == []
    assert list(channels.receive(bytes.fromhex("40 01"))) == []


@pytest.mark.parametrize("status", [0, -1])
def test_a_channel_may_be_closed_before_the_client_has_answered(status: int) -> None:
    channels, _ = ready()
    channel = channels.open("testdvc")
    channel.close()
    assert list(channels.receive(b"\x10\x01" + status.to_bytes(4, "little", signed=True))) == []
    list(channels.receive(bytes.fromhex("40 01")))
    assert channel.state is ChannelState.CLOSED


COMMANDS = st.sampled_from([0x10, 0x20, 0x24, 0x28, 0x30, 0x31, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda command, number, rest: bytes((command, number)) + rest,
                COMMANDS,
                st.integers(0, 4),
                st.binary(max_size=20),
            ),
        ),
        max_size=12,
    )
)
def test_a_client_is_understood_or_refused(messages: list[bytes]) -> None:
    channels, _, _ = opened(max_message=32)
    channels.open("second")
    channels.open("third").close()
    with suppress(RemoteError):
        for message in messages:
            for event in channels.receive(message):
                assert not isinstance(event, Data) or len(event.message) <= 32
