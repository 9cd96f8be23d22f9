"""Fast-path input, and updates cut into fragments."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client

from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.fast_path import MAX_FRAGMENT, UpdateCode, parse_input, update
from sidecar.rdp.input_events import (
    ExtendedMouseEvent,
    InputEvent,
    MouseEvent,
    RelativeMouseEvent,
    ScancodeEvent,
    SynchronizeEvent,
    ToggleFlags,
    UnicodeEvent,
)

EXAMPLE_EVENTS = bytes.fromhex("20 00 08 ab 02 6f 01")
"""MS-RDPBCGR 4.7, decrypted."""

EXAMPLE_ENCRYPTED = bytes.fromhex("c4 11 30 35 6b 5b b5 34 c8 47 26 18 5e 76 0e de 28")
"""The same as it was on the wire."""


def test_the_input_of_the_specification() -> None:
    assert parse_input(b"\x04\x09" + EXAMPLE_EVENTS) == (MouseEvent(0x0800, 683, 367),)


def test_encrypted_input_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        parse_input(EXAMPLE_ENCRYPTED)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ("00 1e", ScancodeEvent(0x1E)),
        ("01 1e", ScancodeEvent(0x1E, released=True)),
        ("02 1d", ScancodeEvent(0x1D, extended=True)),
        ("05 1d", ScancodeEvent(0x1D, released=True, extended1=True)),
        ("20 78 02 00 00 05 00", MouseEvent(0x0278, 0, 5)),
        ("40 01 80 02 00 03 00", ExtendedMouseEvent(0x8001, 2, 3)),
        ("6f", SynchronizeEvent(ToggleFlags(15))),
        ("70", SynchronizeEvent(ToggleFlags(0))),
        ("80 ac 20", UnicodeEvent(0x20AC)),
        ("81 ac 20", UnicodeEvent(0x20AC, released=True)),
        ("a0 00 08 ff ff 00 80", RelativeMouseEvent(0x0800, -1, -32768)),
    ],
)
def test_events(body: str, event: InputEvent) -> None:
    assert parse_input(client.fast_path_input([bytes.fromhex(body)])) == (event,)


def test_timestamps_are_left_out_and_the_rest_keeps_its_order() -> None:
    events = [b"\x00\x1e", b"\xc0\x01\x02\x03\x04", b"\x01\x1e", b"\x62"]
    assert parse_input(client.fast_path_input(events)) == (
        ScancodeEvent(0x1E),
        ScancodeEvent(0x1E, released=True),
        SynchronizeEvent(ToggleFlags.NUM_LOCK),
    )


@pytest.mark.parametrize("count", [16, 100, 255])
def test_more_events_than_the_header_can_count(count: int) -> None:
    body = bytes((count,)) + b"\x00\x1e" * count
    data = b"\x00" + struct.pack(">H", 0x8000 | len(body) + 3) + body
    assert parse_input(data) == (ScancodeEvent(0x1E),) * count


def test_no_event_at_all() -> None:
    assert parse_input(b"\x00\x03\x00") == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("04", Reason.TRUNCATED),
        ("04 80", Reason.TRUNCATED),
        ("00 02", Reason.TRUNCATED),
        ("04 02", Reason.TRUNCATED),
        ("04 03 00", Reason.TRUNCATED),
        ("08 04 00 1e", Reason.TRUNCATED),
        ("04 05 00 1e 00", Reason.TRAILING),
        ("04 05 00 1e", Reason.MALFORMED),
        ("04 03 00 1e", Reason.MALFORMED),
        ("44 04 00 1e", Reason.MALFORMED),
        ("84 04 00 1e", Reason.MALFORMED),
        ("05 04 00 1e", Reason.MALFORMED),
        ("04 03 e0", Reason.MALFORMED),
    ],
)
def test_input_that_is_not_what_it_says_is_refused(data: str, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_input(bytes.fromhex(data))
    assert caught.value.reason is reason


@given(st.integers(0, 15), st.binary(max_size=60))
def test_any_bytes_are_input_or_an_error(count: int, body: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_input(bytes((count << 2, len(body) + 2)) + body)


@given(st.binary(max_size=30))
def test_bytes_without_any_form_are_input_or_an_error(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_input(data)


# Updates


def reassembled(pdus: list[bytes]) -> tuple[int, bytes, list[int]]:
    """Code, payload and fragmentation of an update, read by what the specification says of the bytes."""
    payload, fragmentation, codes = b"", [], set()
    for pdu in pdus:
        assert pdu[0] == 0
        assert pdu[1] & 0x80
        assert (pdu[1] & 0x7F) << 8 | pdu[2] == len(pdu)
        assert len(pdu) <= 0x3FFF
        assert not pdu[3] & 0xC0, "it says that it is compressed"
        codes.add(pdu[3] & 0x0F)
        fragmentation.append(pdu[3] >> 4)
        assert pdu[4] | pdu[5] << 8 == len(pdu) - 6
        payload += pdu[6:]
    (code,) = codes
    return code, payload, fragmentation


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, MAX_FRAGMENT])
def test_a_short_update_is_one_pdu_for_every_client(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    pdus = update(UpdateCode.PTR_NULL, payload, max_request_size=0)
    assert reassembled(pdus) == (5, payload, [0])


@pytest.mark.parametrize(
    ("size", "fragmentation"),
    [
        (MAX_FRAGMENT + 1, [2, 1]),
        (2 * MAX_FRAGMENT, [2, 1]),
        (2 * MAX_FRAGMENT + 1, [2, 3, 1]),
        (70000, [2, 3, 3, 3, 1]),
    ],
)
def test_a_long_update_is_cut_into_fragments(size: int, fragmentation: list[int]) -> None:
    payload = (bytes(range(251)) * (size // 251 + 1))[:size]
    for each in (payload, memoryview(payload)):
        pdus = update(UpdateCode.BITMAP, each, max_request_size=100000)
        assert reassembled(pdus) == (1, payload, fragmentation)


@pytest.mark.parametrize("max_request_size", [0, 1000, MAX_FRAGMENT, 20000])
def test_an_update_that_the_client_cannot_put_together_is_an_error(max_request_size: int) -> None:
    with pytest.raises(LocalError):
        update(UpdateCode.BITMAP, bytes(20000), max_request_size=max_request_size)


def test_the_headers_of_the_fragments_are_counted_too() -> None:
    assert len(update(UpdateCode.BITMAP, bytes(20000), max_request_size=20006)) == 2
