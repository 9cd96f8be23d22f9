"""Hostile RFB clients: whatever they send is accepted or ends in a RemoteError, and memory stays bounded."""

import struct
import zlib
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.encode.form import Encoding
from sidecar.encode.pixel_form import CANONICAL
from sidecar.vnc import clipboard
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.client_messages import MAX_ENCODINGS
from sidecar.vnc.connection import MAX_WAITING, ServerConnection, Stage
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import (
    ClientInit,
    ClipboardProvide,
    Event,
    PlainCredentials,
    StartTls,
    VncAuthResponse,
)
from sidecar.vnc.handshake import Security
from sidecar.vnc.security.plain import MAX_CREDENTIAL
from sidecar.vnc.wire import ClientMessage, PseudoEncoding, SecurityType, VeNCryptSubtype

MAX_CUT_TEXT = 600
MOST_BUFFERED = max(
    MAX_WAITING, 2 * MAX_CREDENTIAL, 8 + MAX_CUT_TEXT + 4, 4 + 4 * MAX_ENCODINGS, 8 + 16 * 255, 8 + 65536
)

ANNOUNCE = struct.pack(
    f">BxH{len(PseudoEncoding) + 1}i", 2, len(PseudoEncoding) + 1, Encoding.TIGHT, *PseudoEncoding
)

fuzz = settings(deadline=None, max_examples=250)


def connect(*types: SecurityType, secure: bool = False) -> ServerConnection:
    security = Security(types or (SecurityType.NONE,), bytes, tuple(VeNCryptSubtype), secure)
    return ServerConnection(security, offered=~Extension(0), max_cut_text=MAX_CUT_TEXT)


def converse(
    connection: ServerConnection, chunks: Iterable[bytes], lets_in: bool = True
) -> tuple[list[Event], Reason | None]:
    """Plays the driver. Returns the events and why the connection ended, if the client was at fault.

    Any exception but RemoteError is a failure of the test that calls this.
    """
    events: list[Event] = []
    for chunk in chunks:
        try:
            for event in connection.receive(chunk):
                events.append(event)
                answer(connection, event, lets_in)
        except RemoteError as error:
            return events, error.reason
        finally:
            if connection.stage is Stage.CLOSED:
                assert connection.buffered == 0
        assert connection.buffered <= MOST_BUFFERED
        # security lists, a challenge, reasons: the handshake says little, the session nothing
        assert len(connection.outgoing()) < 1024
    return events, None


def answer(connection: ServerConnection, event: Event, lets_in: bool) -> None:
    match event:
        case StartTls():
            connection.tls_started()
        case VncAuthResponse() | PlainCredentials() if lets_in:
            connection.authenticated()
        case VncAuthResponse() | PlainCredentials():
            connection.authentication_failed("no")
        case ClientInit():
            connection.send_server_init(640, 480, CANONICAL, "fuzz")


def split(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
splits = st.lists(st.integers(0, 1 << 16), max_size=12)

some_format = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.builds(
        lambda bits, flags, maxima, shifts: struct.pack(">BBBBHHHBBB3x", bits, 24, *flags, *maxima, *shifts),
        st.sampled_from([0, 8, 16, 24, 32]),
        st.tuples(st.integers(0, 1), st.integers(0, 1)),
        st.tuples(*[st.sampled_from([0, 1, 3, 7, 31, 63, 200, 255, 65535])] * 3),
        st.tuples(*[st.integers(0, 40)] * 3),
    ),
)

clipboard_body = st.one_of(
    st.binary(max_size=64),
    st.builds(
        lambda flags, inflated: struct.pack(">I", flags) + zlib.compress(inflated),
        st.sampled_from([0x10000001, 0x10000003, 0x10008001, 0x10000000]),
        st.one_of(
            st.binary(max_size=40),
            st.integers(0, 3 * MAX_CUT_TEXT).map(lambda size: struct.pack(">I", size) + bytes(size)),
        ),
    ),
)


def cut_text(length: int, content: bytes) -> bytes:
    return struct.pack(">B3xi", ClientMessage.CLIENT_CUT_TEXT, length) + content


message = st.one_of(
    some_format.map(lambda body: b"\0\0\0\0" + body),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40).map(
        lambda numbers: struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers)
    ),
    st.lists(st.sampled_from([*PseudoEncoding, *Encoding, -32, -23, -256, -512, -763]), max_size=40).map(
        lambda numbers: struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers)
    ),
    st.builds(lambda *values: struct.pack(">BBHHHH", 3, *values), u8, u16, u16, u16, u16),
    st.builds(lambda down, keysym: struct.pack(">BBHI", 4, down, 0, keysym), u8, u32),
    st.builds(lambda mask, x, y, more: struct.pack(">BBHHB", 5, mask | 128, x, y, more), u8, u16, u16, u8),
    st.builds(lambda mask, x, y: struct.pack(">BBHH", 5, mask & 127, x, y), u8, u16, u16),
    st.binary(max_size=2 * MAX_CUT_TEXT).map(lambda text: cut_text(len(text), text)),
    clipboard_body.map(lambda body: cut_text(-len(body), body)),
    st.builds(cut_text, st.integers(-(2**31), 2**31 - 1), st.binary(max_size=20)),
    st.builds(lambda *values: struct.pack(">BBHHHH", 150, *values), u8, u16, u16, u16, u16),
    st.builds(
        lambda flags, body: struct.pack(">B3xIB", 248, flags, len(body)) + body, u32, st.binary(max_size=70)
    ),
    st.builds(lambda version, code: struct.pack(">BxBB", 250, version, code), st.integers(0, 2), u8),
    st.builds(
        lambda width, height, body: struct.pack(">BxHHBx", 251, width, height, len(body)) + b"".join(body),
        u16,
        u16,
        st.lists(st.binary(min_size=16, max_size=16), max_size=5),
    ),
    st.builds(lambda *values: struct.pack(">BBHII", 255, 0, *values), u16, u32, u32),
    st.builds(lambda op: struct.pack(">BBH", 255, 1, op), st.integers(0, 1)),
    st.builds(
        lambda kind, channels, hertz: struct.pack(">BBHBBI", 255, 1, 2, kind, channels, hertz),
        st.integers(0, 7),
        st.integers(0, 3),
        st.one_of(u32, st.sampled_from([0, 1, 44100, 48000, 48001])),
    ),
    st.binary(min_size=1, max_size=3),
)

banner = st.one_of(
    st.sampled_from([b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n", b"RFB 003.889\n"]),
    st.binary(max_size=14),
)


@st.composite
def spoiled(draw: st.DrawFn, pieces: st.SearchStrategy[list[bytes]]) -> bytes:
    """A conversation that may have lost its end, a piece or its order, or had some bytes changed."""
    parts = draw(pieces)
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    data = bytearray(b"".join(parts))
    if data:
        for place, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), u8), max_size=4)):
            data[place] = value
        del data[draw(st.integers(0, len(data))) if draw(st.booleans()) else len(data) :]
    return bytes(data)


@fuzz
@given(data=st.binary(max_size=300), places=splits, version=banner)
def test_random_bytes_at_the_start(data: bytes, places: list[int], version: bytes) -> None:
    for prefix in (b"", version):
        for types in ((SecurityType.NONE,), (SecurityType.VNC_AUTHENTICATION, SecurityType.NONE)):
            whole = converse(connect(*types), [prefix + data])
            assert converse(connect(*types), split(prefix + data, places)) == whole


security_pieces = st.tuples(
    banner,
    st.sampled_from([b"\x13", b"\x02", b"\x01", b"\x00", b"\xff"]),
    st.one_of(st.just(b"\x00\x02"), st.binary(max_size=2)),
    st.one_of(
        st.sampled_from(list(VeNCryptSubtype)).map(lambda subtype: struct.pack(">I", subtype)),
        st.binary(max_size=4),
    ),
    st.one_of(
        st.just(bytes(16)),
        st.just(struct.pack(">II", 1, 2) + b"abc"),
        st.builds(
            lambda user, password, body: struct.pack(">II", user, password) + body,
            u32,
            u32,
            st.binary(max_size=30),
        ),
        st.just(struct.pack(">II", MAX_CREDENTIAL, MAX_CREDENTIAL) + b"x" * 2 * MAX_CREDENTIAL),
    ),
    st.sampled_from([b"", b"\x01", b"\x01\x04\x01\0\0\0\0\0\x61"]),
).map(list)


@fuzz
@given(
    data=spoiled(security_pieces),
    places=splits,
    secure=st.booleans(),
    lets_in=st.booleans(),
    refused_after=st.none() | st.integers(0, 12),
)
def test_every_stage_of_the_handshake(
    data: bytes, places: list[int], secure: bool, lets_in: bool, refused_after: int | None
) -> None:
    connection = connect(
        SecurityType.VENCRYPT, SecurityType.VNC_AUTHENTICATION, SecurityType.NONE, secure=secure
    )
    events: list[Event] = []
    for number, chunk in enumerate(split(data, places)):
        if number == refused_after:
            connection.refuse("full")
        more, _ = converse(connection, [chunk], lets_in)
        events += more
    if not lets_in and any(isinstance(event, VncAuthResponse | PlainCredentials) for event in events):
        assert connection.stage is Stage.CLOSED
        assert not any(isinstance(event, ClientInit) for event in events)


@fuzz
@given(data=spoiled(st.lists(message, max_size=20)), places=splits)
def test_every_message_of_the_session(data: bytes, places: list[int]) -> None:
    start = b"RFB 003.008\n\x01\x01" + ANNOUNCE
    whole = converse(connect(), [start, data])
    assert len(whole[0]) >= 2
    assert converse(connect(), [start, *split(data, places)]) == whole
    assert converse(connect(), [start, *(bytes([byte]) for byte in data)]) == whole


@fuzz
@given(data=st.binary(max_size=400), kind=st.sampled_from([*ClientMessage, 1, 127, 254]))
def test_random_bytes_behind_every_type(data: bytes, kind: int) -> None:
    start = b"RFB 003.008\n\x01\x01" + ANNOUNCE
    whole = converse(connect(), [start, bytes([kind]) + data])
    assert converse(connect(), [start, bytes([kind]), *(bytes([byte]) for byte in data)]) == whole


@fuzz
@given(body=clipboard_body, limit=st.integers(0, 2000))
def test_clipboard_contents_stay_within_the_limit(body: bytes, limit: int) -> None:
    try:
        event = clipboard.parse(body, limit)
    except RemoteError:
        return
    if isinstance(event, ClipboardProvide):
        assert sum(len(content) for content in event.contents.values()) <= limit
