"""Frames of RFC 6455, as a server reads and writes them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket_client import frame

from sidecar.web.frames import (
    Close,
    CloseCode,
    Event,
    FrameReader,
    Opcode,
    Payload,
    Ping,
    Pong,
    WebSocketViolation,
    close_frame,
    frame_header,
)


def events(data: bytes, step: int | None = None) -> list[Event]:
    reader = FrameReader()
    found: list[Event] = []
    for start in range(0, len(data), step or len(data) or 1):
        reader.feed(data[start : start + (step or len(data))])
        while (event := reader.next_event()) is not None:
            found.append(event)
    return found


def stream(found: list[Event]) -> bytes:
    return b"".join(event.data for event in found if isinstance(event, Payload))


@pytest.mark.parametrize("length", [1, 125, 126, 127, 65535, 65536, 100_000])
def test_a_binary_message_of_any_length_is_read(length: int) -> None:
    payload = bytes(index * 7 & 0xFF for index in range(length))
    assert stream(events(frame(payload))) == payload


def test_the_parts_of_a_message_may_have_pings_between_them() -> None:
    data = (
        frame(b"one ", fin=False)
        + frame(b"ping", 9)
        + frame(b"", 0, fin=False)
        + frame(b"two", 0)
        + frame(b" three")
    )
    assert events(data) == [Payload(b"one "), Ping(b"ping"), Payload(b"two"), Payload(b" three")]


def test_payload_is_passed_on_before_its_frame_is_complete() -> None:
    # 2**62 bytes announced: nothing of that size is waited for, or allocated
    head = bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 62) + bytes(4)
    assert events(head + b"already here") == [Payload(b"already here")]


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (frame(b"", 9), Ping(b"")),
        (frame(b"x" * 125, 9), Ping(b"x" * 125)),
        (frame(b"late", 10), Pong()),
        (frame(b"", 8), Close(None, "")),
        (frame(b"\x03\xe8", 8), Close(1000, "")),
        (frame(b"\x0f\xa0" + "tschüß".encode(), 8), Close(4000, "tschüß")),
    ],
)
def test_control_frames_are_understood(data: bytes, event: Event) -> None:
    assert events(data) == [event]
    assert events(data, 1) == [event]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(b"x", mask=None), 1002, id="not masked"),
        pytest.param(frame(b"text", 1), 1003, id="text"),
        pytest.param(frame(b"x", 3), 1002, id="reserved data opcode"),
        pytest.param(frame(b"x", 11), 1002, id="reserved control opcode"),
        pytest.param(frame(b"x", bits=0x40), 1002, id="compressed"),
        pytest.param(frame(b"x", bits=0x10), 1002, id="reserved bit"),
        pytest.param(frame(b"x", 9, fin=False), 1002, id="ping in parts"),
        pytest.param(frame(b"x" * 126, 9), 1002, id="long ping"),
        pytest.param(frame(b"x", 0), 1002, id="continuation of nothing"),
        pytest.param(frame(b"x", fin=False) + frame(b"y"), 1002, id="message inside a message"),
        pytest.param(frame(b"x", fin=False) + frame(b"y", 0) + frame(b"z", 0), 1002, id="one part too many"),
        pytest.param(bytes([0x82, 0xFE, 0, 5]) + bytes(9), 1002, id="length longer than needed, 16 bits"),
        pytest.param(bytes([0x82, 0xFF]) + struct.pack(">Q", 65535) + bytes(9), 1002, id="the same, 64 bits"),
        pytest.param(bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 63) + bytes(9), 1002, id="2**63 bytes"),
        pytest.param(frame(b"\x03", 8), 1002, id="half a close code"),
        pytest.param(frame(b"\x03\xed", 8), 1002, id="close code 1005"),
        pytest.param(frame(b"\x00\x00", 8), 1002, id="close code 0"),
        pytest.param(frame(b"\x03\xe8\xff", 8), 1007, id="reason that is not UTF-8"),
    ],
)
@pytest.mark.parametrize("step", [None, 1])
def test_a_violation_is_refused_with_its_close_code(data: bytes, code: int, step: int | None) -> None:
    with pytest.raises(WebSocketViolation) as caught:
        events(data, step)
    assert caught.value.code == code


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=8),
    st.integers(1, 50),
    st.binary(min_size=4, max_size=4),
)
def test_how_the_bytes_are_cut_changes_nothing(
    parts: list[tuple[bytes, bool]], step: int, mask: bytes
) -> None:
    data, in_message = b"", False
    for payload, fin in parts:
        data += frame(payload, 0 if in_message else 2, fin=fin, mask=mask)
        in_message = not fin
    assert stream(events(data, step)) == stream(events(data)) == b"".join(payload for payload, _ in parts)


@given(st.binary(max_size=200), st.integers(1, 20))
def test_random_bytes_are_read_or_refused_and_never_anything_else(data: bytes, step: int) -> None:
    def outcome(step: int | None) -> int | None:
        try:
            events(data, step)
        except WebSocketViolation as violation:
            return violation.code
        return None

    assert outcome(step) == outcome(None)


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_the_header_of_our_frames_has_the_shortest_length(length: int, header: str) -> None:
    assert frame_header(Opcode.BINARY, length).hex() == header


def test_a_close_frame_carries_code_and_reason() -> None:
    assert close_frame(None).hex() == "8800"
    assert close_frame(CloseCode.PROTOCOL_ERROR, "no").hex() == "880403ea6e6f"


def test_the_reason_of_a_close_frame_is_cut_between_characters() -> None:
    reason = close_frame(1000, "ä" * 100)
    assert len(reason) == 2 + 2 + 122
    assert reason[4:].decode() == "ä" * 61
