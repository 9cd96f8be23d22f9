"""What a server may send once it is initialized, and what of it matters to the console."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.console.connection import ClientConnection
from sidecar.console.events import FenceAnswered, Initialized, StreamsAgreed
from sidecar.console.handshake import ClientSecurity
from sidecar.errors import SidecarError
from sidecar.vnc.errors import LocalError, Reason, RemoteError
from sidecar.vnc.stream_messages import MAX_BODY, Announce, Close, Data, Open, Opened, Unknown, Withdraw, pack
from sidecar.vnc.wire import PseudoEncoding, StreamEnd, StreamFlag, StreamKind

OpenConnection = Callable[..., ClientConnection]

SERIAL = Announce(7, StreamKind.SERIAL, StreamFlag.WRITE, "org.qemu.console.serial.0", "serial0")


def fence(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">B3xIB", kind, flags, len(payload)) + payload


def test_streams_are_handed_on(open_connection: OpenConnection) -> None:
    connection = open_connection()
    said = [
        SERIAL,
        Opened(7, StreamFlag.WRITE, 100),
        Data(7, b"x" * MAX_BODY),
        Close(7, StreamEnd.GONE, "off"),
        Withdraw(7),
    ]
    together = b"".join(map(pack, said))
    assert list(connection.receive(together)) == said
    events = [event for byte in together for event in connection.receive(bytes((byte,)))]
    assert events == said


def test_an_operation_of_a_later_version_is_skipped(open_connection: OpenConnection) -> None:
    message = struct.pack(">BBHI", 181, 99, 7, 3) + b"abc"
    assert list(open_connection().receive(message + pack(SERIAL))) == [Unknown(7, 99), SERIAL]


def test_nothing_but_streams_and_fences_is_asked_for() -> None:
    connection = ClientConnection(ClientSecurity())
    greeting = b"RFB 003.008\n\x01\x01\x00\x00\x00\x00" + struct.pack(">HHB15xI", 1, 1, 32, 0)
    assert list(connection.receive(greeting)) == [Initialized("")]
    assert connection.outgoing() == (
        b"RFB 003.008\n\x01\x01" + struct.pack(">BxHii", 2, 2, PseudoEncoding.STREAMS, PseudoEncoding.FENCE)
    )


@pytest.mark.parametrize(
    "skipped",
    [
        b"\x02",
        b"\x96",
        struct.pack(">B3xi", 3, 5) + b"hello",
        struct.pack(">B3xi", 3, -5) + b"hello",
        struct.pack(">BxHH", 1, 0, 2) + b"x" * 12,
        b"\xfa\x00\x01\x01",
        struct.pack(">BxH", 0, 0),
        struct.pack(">BxHHHHHi", 0, 1, 5, 6, 3, 2, 0) + b"\xb5" * 24,
        struct.pack(">BxHHHHHi", 0, 1, 1, 0, 0, 0, PseudoEncoding.STREAMS),
    ],
)
def test_what_does_not_matter_is_skipped(skipped: bytes, open_connection: OpenConnection) -> None:
    connection = open_connection()
    assert list(connection.receive(skipped * 3 + pack(SERIAL))) == [SERIAL]
    events = [event for byte in skipped + pack(SERIAL) for event in connection.receive(bytes((byte,)))]
    assert events == [SERIAL]


def test_a_text_of_any_length_is_not_kept(open_connection: OpenConnection) -> None:
    connection = open_connection()
    assert list(connection.receive(struct.pack(">B3xi", 3, -(1 << 31)))) == []
    for _ in range(16):
        assert list(connection.receive(b"\0" * (1 << 20))) == []
        assert connection.buffered == 0


def test_fences_are_answered_and_the_first_shows_that_ours_will_be(open_connection: OpenConnection) -> None:
    connection = open_connection()
    assert not connection.knows_fences
    assert list(connection.receive(fence(248, 0x80000007, b"abc"))) == []
    assert connection.knows_fences
    ours = fence(248, 0x80000001, b"announced")
    assert connection.outgoing() == fence(248, 7, b"abc") + ours
    assert list(connection.receive(fence(248, 0x80000000, b""))) == []
    assert connection.outgoing() == fence(248, 0, b"")
    assert list(connection.receive(fence(248, 0, b"other") + fence(248, 1, b"announced"))) == [
        FenceAnswered()
    ]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x09", Reason.UNKNOWN_MESSAGE),
        (b"\xff", Reason.UNKNOWN_MESSAGE),
        (struct.pack(">BxHHHHHi", 0, 1, 0, 0, 1, 1, 16), Reason.NOT_NEGOTIATED),
        (struct.pack(">BxHHHHHi", 0, 1, 0, 0, 1, 1, PseudoEncoding.STREAMS), Reason.NOT_NEGOTIATED),
        (struct.pack(">B3xIB", 248, 0, 65), Reason.OVERSIZED),
        (struct.pack(">BBHI", 181, 5, 0, MAX_BODY + 1), Reason.OVERSIZED),
        (struct.pack(">BBHI", 181, 1, 0, 1), Reason.MALFORMED),
        (pack(Open(0, StreamFlag.WRITE, 1)), Reason.MALFORMED),
    ],
)
def test_what_breaks_the_protocol_ends_it(
    sent: bytes, reason: Reason, open_connection: OpenConnection
) -> None:
    with pytest.raises(RemoteError) as caught:
        list(open_connection().receive(sent))
    assert caught.value.reason is reason


def test_no_stream_goes_before_streams_are_agreed_on(open_connection: OpenConnection) -> None:
    connection = open_connection(streams=False)
    with pytest.raises(LocalError):
        connection.send(Open(7, StreamFlag.WRITE, 1))
    with pytest.raises(RemoteError) as caught:
        list(connection.receive(pack(SERIAL)))
    assert caught.value.reason is Reason.NOT_NEGOTIATED


def test_the_version_of_the_extension_is_told(open_connection: OpenConnection) -> None:
    rectangle = struct.pack(">BxHHHHHi", 0, 1, 3, 0, 0, 0, PseudoEncoding.STREAMS)
    assert list(open_connection(streams=False).receive(rectangle)) == [StreamsAgreed(3)]


@given(st.lists(st.binary(max_size=40), max_size=20), st.booleans())
def test_whatever_comes_there_is_a_documented_error_or_none(pieces: list[bytes], through: bool) -> None:
    connection = ClientConnection(ClientSecurity(plain=True))
    if through:
        list(connection.receive(b"RFB 003.008\n\x01\x01\0\0\0\0" + struct.pack(">HHB15xI", 1, 1, 32, 0)))
    else:
        list(connection.receive(b"RFB 003.008\n"))
    try:
        for piece in pieces:
            list(connection.receive(piece))
    except (RemoteError, SidecarError):
        pass
    assert connection.buffered <= MAX_BODY + 40
