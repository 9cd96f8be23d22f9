"""Slow-path input, and updates for clients without the fast path."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client

from sidecar.rdp import pointer_update, slow_path
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.fast_path import UpdateCode
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
from sidecar.rdp.share_data import PduType2
from sidecar.rdp.wire import Reader


def parse(data: bytes) -> tuple[InputEvent, ...]:
    return slow_path.parse_input(Reader(data, "test"))


@pytest.mark.parametrize(
    ("kind", "body", "event"),
    [
        (0x0000, "00 00 06 00 00 00", SynchronizeEvent(ToggleFlags.NUM_LOCK | ToggleFlags.CAPS_LOCK)),
        (0x0000, "00 00 f0 00 00 00", SynchronizeEvent(ToggleFlags(0))),
        (0x0004, "00 00 1e 00 00 00", ScancodeEvent(0x1E)),
        (0x0004, "00 c0 1e 00 00 00", ScancodeEvent(0x1E, released=True)),
        (0x0004, "00 01 1d 00 00 00", ScancodeEvent(0x1D, extended=True)),
        (0x0004, "00 82 1d 00 00 00", ScancodeEvent(0x1D, released=True, extended1=True)),
        (0x0005, "00 00 ac 20 00 00", UnicodeEvent(0x20AC)),
        (0x0005, "00 80 ac 20 00 00", UnicodeEvent(0x20AC, released=True)),
        (0x8001, "00 08 ab 02 6f 81", MouseEvent(0x0800, 0x2AB, 0x816F)),
        (0x8002, "01 80 ab 02 6f 01", ExtendedMouseEvent(0x8001, 0x2AB, 0x16F)),
        (0x8004, "00 08 ff ff 00 80", RelativeMouseEvent(0x0800, -1, -32768)),
    ],
)
def test_events(kind: int, body: str, event: InputEvent) -> None:
    assert parse(client.slow_path_input([(kind, bytes.fromhex(body))])) == (event,)


def test_events_keep_their_order_and_those_of_no_interest_are_left_out() -> None:
    events = [
        (0x0004, bytes.fromhex("0000 1e00 0000")),
        (0x0002, bytes(6)),
        (0x7777, bytes(6)),
        (0x0004, bytes.fromhex("0000 1e01 0000")),
        (0x0004, bytes.fromhex("0080 1e00 0000")),
    ]
    assert parse(client.slow_path_input(events)) == (ScancodeEvent(0x1E), ScancodeEvent(0x1E, released=True))


def test_no_event_at_all() -> None:
    assert parse(bytes(4)) == ()


@pytest.mark.parametrize(
    ("count", "size"), [(1, 0), (1, 11), (1, 13), (2, 12), (0, 12), (0xFFFF, 24)], ids=lambda each: str(each)
)
def test_a_count_that_is_not_that_of_the_events_is_refused(count: int, size: int) -> None:
    with pytest.raises(RemoteError) as caught:
        parse(struct.pack("<HH", count, 0) + bytes(size))
    assert caught.value.reason is Reason.MALFORMED


@given(st.integers(0, 4), st.binary(max_size=48))
def test_any_bytes_are_input_or_an_error(count: int, data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse(struct.pack("<HH", count, 0) + data)


@given(st.lists(st.binary(min_size=12, max_size=12), max_size=5))
def test_events_of_any_content_are_read(events: list[bytes]) -> None:
    assert len(parse(struct.pack("<HH", len(events), 0) + b"".join(events))) <= len(events)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (pointer_update.hidden(), "01 00 00 00 00 00 00 00"),
        (pointer_update.default(), "01 00 00 00 00 7f 00 00"),
        (pointer_update.position(300, 2), "03 00 00 00 2c 01 02 00"),
        (pointer_update.cached(7), "07 00 00 00 07 00"),
        ((UpdateCode.COLOR, b"abc"), "06 00 00 00 61 62 63"),
        ((UpdateCode.POINTER, b"abc"), "08 00 00 00 61 62 63"),
        ((UpdateCode.LARGE_POINTER, b"abc"), "09 00 00 00 61 62 63"),
    ],
)
def test_pointer_updates(update: tuple[UpdateCode, bytes], expected: str) -> None:
    assert slow_path.update(*update) == (PduType2.POINTER, bytes.fromhex(expected))


def test_bitmap_updates_are_the_same_on_both_paths() -> None:
    assert slow_path.update(UpdateCode.BITMAP, b"payload") == (PduType2.UPDATE, b"payload")


@pytest.mark.parametrize("code", [UpdateCode.SURFCMDS, UpdateCode.ORDERS, UpdateCode.SYNCHRONIZE])
def test_what_the_slow_path_does_not_have_is_not_made_up(code: UpdateCode) -> None:
    with pytest.raises(LocalError):
        slow_path.update(code, b"")
