"""What a stream's messages may look like, and what is refused."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.connection import ServerConnection
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.stream_messages import (
    MAX_BODY,
    MAX_STRING,
    Announce,
    Break,
    Close,
    Credit,
    Data,
    Open,
    Opened,
    Rights,
    Unknown,
    Withdraw,
    check_length,
    pack,
    parse_client,
    parse_server,
)
from sidecar.vnc.wire import PseudoEncoding, StreamEnd, StreamFlag, StreamKind, StreamOperation

OpenSession = Callable[..., ServerConnection]

STREAMS = int(PseudoEncoding.STREAMS)
OFFERED = ALWAYS_OFFERED | Extension.STREAMS

streams = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
flags = st.sampled_from([StreamFlag(bits) for bits in range(4)])
texts = st.text(max_size=60)
ends = st.sampled_from(list(StreamEnd))
both_ways = (
    st.builds(Close, streams, ends, texts),
    st.builds(Data, streams, st.binary(max_size=300)),
    st.builds(Credit, streams, u32),
)
client_messages = st.one_of(
    st.builds(Open, streams, flags, u32), st.builds(Break, streams, st.integers(0, 0xFFFF)), *both_ways
)
server_messages = st.one_of(
    st.builds(Announce, streams, st.sampled_from(list(StreamKind)), flags, texts, texts),
    st.builds(Withdraw, streams),
    st.builds(Opened, streams, flags, u32),
    st.builds(Rights, streams, flags),
    *both_ways,
)


def split(message: bytes) -> tuple[int, int, bytes]:
    kind, operation, stream, length = struct.unpack_from(">BBHI", message)
    assert (kind, length) == (181, len(message) - 8)
    return operation, stream, message[8:]


@given(client_messages)
def test_what_a_client_packs_a_server_reads(message: Open) -> None:
    assert parse_client(*split(pack(message))) == message


@given(server_messages)
def test_what_a_server_packs_a_client_reads(message: Withdraw) -> None:
    assert parse_server(*split(pack(message))) == message


@given(st.sampled_from([parse_client, parse_server]), st.integers(0, 255), streams, st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(
    parse: Callable[[int, int, bytes], Withdraw], operation: int, stream: int, body: bytes
) -> None:
    told: int | Reason
    try:
        told = parse(operation, stream, body).stream
    except RemoteError as error:
        told = error.reason
    assert told in (stream, Reason.MALFORMED, Reason.OVERSIZED)


@pytest.mark.parametrize("operation", [*StreamOperation, 77])
def test_no_message_may_promise_more_than_is_kept(operation: int) -> None:
    with pytest.raises(RemoteError) as caught:
        check_length(operation, MAX_BODY + 1)
    assert caught.value.reason is Reason.OVERSIZED


@pytest.mark.parametrize(
    ("operation", "length"),
    [
        (StreamOperation.WITHDRAW, 1),
        (StreamOperation.OPEN, 4),
        (StreamOperation.CREDIT, 5),
        (StreamOperation.ANNOUNCE, 5),
        (StreamOperation.ANNOUNCE, 600),
        (StreamOperation.CLOSE, 300),
    ],
)
def test_a_wrong_length_is_refused_before_the_body_is_there(operation: StreamOperation, length: int) -> None:
    with pytest.raises(RemoteError) as caught:
        check_length(operation, length)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("message", [Withdraw(1), Rights(1, StreamFlag(0)), Opened(1, StreamFlag(0), 1)])
def test_a_client_may_not_say_what_a_server_says(message: Withdraw) -> None:
    with pytest.raises(RemoteError):
        parse_client(*split(pack(message)))


@pytest.mark.parametrize("message", [Open(1, StreamFlag(0), 1), Break(1)])
def test_a_server_may_not_say_what_a_client_says(message: Open) -> None:
    with pytest.raises(RemoteError):
        parse_server(*split(pack(message)))


@pytest.mark.parametrize(
    "strings",
    [b"\0\5abcd\0\0", b"\1\0" + 256 * b"a" + b"\0\0", b"\0\1a\0\1b!", b"\0\2\xff\xfe\0\0", b"\0\4abcd"],
    ids=["short", "long", "rest", "no text", "one missing"],
)
def test_strings_are_whole_and_short_and_text(strings: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_server(StreamOperation.ANNOUNCE, 0, b"\0\0" + strings)


def test_a_long_name_is_cut_between_characters() -> None:
    message = parse_server(*split(pack(Announce(0, StreamKind.SERIAL, StreamFlag(0), "ü" * 200, "x" * 300))))
    assert isinstance(message, Announce)
    assert message.name == "ü" * (MAX_STRING // 2)
    assert message.label == "x" * MAX_STRING


def test_what_a_later_version_adds_is_read_as_the_nearest_thing() -> None:
    assert parse_server(StreamOperation.ANNOUNCE, 1, b"\x09\xff\0\1a\0\0") == Announce(
        1, StreamKind.CHANNEL, StreamFlag.WRITE | StreamFlag.HISTORY, "a", ""
    )
    assert parse_server(StreamOperation.CLOSE, 1, b"\x63\0\0") == Close(1, StreamEnd.GONE)
    assert parse_client(99, 1, b"whatever") == Unknown(1, 99)


def test_what_cannot_be_sent_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="65536"):
        pack(Data(0, bytes(MAX_BODY + 1)))
    with pytest.raises(ValueError, match="unknown"):
        pack(Unknown(0, 9))


def test_what_went_through_a_stream_is_not_shown() -> None:
    assert "secret" not in repr(Data(0, b"secret"))


# on a connection


def test_a_connection_reads_streams_byte_by_byte(open_session: OpenSession) -> None:
    connection = open_session([STREAMS], offered=OFFERED)
    told = [Open(3, StreamFlag.WRITE, 100), Data(3, b"ls\r"), Close(3, StreamEnd.DONE)]
    read = []
    for octet in b"".join(pack(message) for message in told):
        read += list(connection.receive(bytes([octet])))
    assert read == told


def test_streams_must_have_been_agreed_on(open_session: OpenSession) -> None:
    for connection in (open_session([0], offered=OFFERED), open_session([STREAMS])):
        with pytest.raises(RemoteError) as caught:
            list(connection.receive(pack(Break(0))))
        assert caught.value.reason is Reason.NOT_NEGOTIATED


def test_a_promise_of_too_much_ends_the_connection_at_its_header(open_session: OpenSession) -> None:
    connection = open_session([STREAMS], offered=OFFERED)
    with pytest.raises(RemoteError) as caught:
        list(connection.receive(struct.pack(">BBHI", 181, 5, 0, 0xFFFFFFFF)))
    assert caught.value.reason is Reason.OVERSIZED
