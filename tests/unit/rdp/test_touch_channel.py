"""The input channel: variable-length integers, contacts and their states."""

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.touch_channel import (
    ClientReady,
    Contact,
    ContactKind,
    TouchChannel,
    TouchFrame,
    Version,
    eight_byte_unsigned,
    four_byte_signed,
    four_byte_unsigned,
    two_byte_signed,
    two_byte_unsigned,
)
from sidecar.rdp.wire import Reader

BEGIN, UPDATE, END, CANCEL = ContactKind.BEGIN, ContactKind.UPDATE, ContactKind.END, ContactKind.CANCEL

DOWN, MOVE, HOVER = 0x19, 0x1A, 0x0A
"""DOWN, UPDATE and no contact, each in range: the combinations of MS-RDPEI 2.2.3.3.1.1."""
UP, UP_TO_HOVER, UP_CANCELED, LEAVE, LEAVE_CANCELED = 0x04, 0x0C, 0x24, 0x02, 0x22


def unsigned(value: int) -> bytes:
    """FOUR_BYTE_UNSIGNED_INTEGER in its longest form."""
    return (0xC0000000 | value).to_bytes(4, "big")


def signed(value: int) -> bytes:
    """FOUR_BYTE_SIGNED_INTEGER in its longest form."""
    return (0xC0000000 | (0x20000000 if value < 0 else 0) | abs(value)).to_bytes(4, "big")


def contact(number: int, flags: int, x: int = 10, y: int = 20, fields: bytes = b"\0") -> bytes:
    return bytes((number,)) + fields[:1] + signed(x) + signed(y) + unsigned(flags) + fields[1:]


def frame(*contacts: bytes) -> bytes:
    return bytes((len(contacts), 0)) + b"".join(contacts)


def pdu(event_id: int, body: bytes = b"") -> bytes:
    return struct.pack("<HI", event_id, 6 + len(body)) + body


def touch(*frames: bytes) -> bytes:
    return pdu(3, b"\0" + bytes((len(frames),)) + b"".join(frames))


def kinds(channel: TouchChannel, *flags: int) -> list[ContactKind | None]:
    """What becomes of one contact that has these flags, one after the other."""
    found: list[ContactKind | None] = []
    for each in flags:
        events = list(channel.receive(touch(frame(contact(1, each)))))
        found += [event.contacts[0].kind for event in events if isinstance(event, TouchFrame)] or [None]
    return found


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (Version.V100, "0100 0a000000 00000100"),
        (Version.V101, "0100 0a000000 01000100"),
        (Version.V200, "0100 0a000000 00000200"),
        (Version.V300, "0100 0e000000 00000300 00000000"),
    ],
)
def test_the_server_says_its_version(version: Version, message: str) -> None:
    assert TouchChannel(version).opened() == bytes.fromhex(message)


def test_pens_are_not_asked_for_unless_wanted() -> None:
    assert TouchChannel().opened() == TouchChannel(Version.V101).opened()


def test_suspend_and_resume() -> None:
    channel = TouchChannel()
    assert channel.suspend() == bytes.fromhex("0400 06000000")
    assert channel.resume() == bytes.fromhex("0500 06000000")


def test_the_client_is_ready() -> None:
    message = bytes.fromhex("0200 10000000 01000000 01000100 0a00")
    assert list(TouchChannel().receive(message)) == [ClientReady(0x00010001, 10)]


@pytest.mark.parametrize(
    ("read", "data", "value"),
    [
        (two_byte_unsigned, "00", 0),
        (two_byte_unsigned, "7f", 0x7F),
        (two_byte_unsigned, "8080", 0x80),
        (two_byte_unsigned, "9a1b", 0x1A1B),
        (two_byte_unsigned, "ffff", 0x7FFF),
        (two_byte_signed, "3f", 63),
        (two_byte_signed, "42", -2),
        (two_byte_signed, "9a1b", 0x1A1B),
        (two_byte_signed, "da1b", -0x1A1B),
        (two_byte_signed, "ffff", -0x3FFF),
        (four_byte_unsigned, "3f", 0x3F),
        (four_byte_unsigned, "4001", 1),
        (four_byte_unsigned, "5a1b", 0x1A1B),
        (four_byte_unsigned, "9a1b1c", 0x1A1B1C),
        (four_byte_unsigned, "da1b1c1d", 0x1A1B1C1D),
        (four_byte_unsigned, "ffffffff", 0x3FFFFFFF),
        (four_byte_signed, "1f", 31),
        (four_byte_signed, "22", -2),
        (four_byte_signed, "5a1b", 0x1A1B),
        (four_byte_signed, "7a1b", -0x1A1B),
        (four_byte_signed, "9a1b1c", 0x1A1B1C),
        (four_byte_signed, "fa1b1c1d", -0x1A1B1C1D),
        (eight_byte_unsigned, "1f", 31),
        (eight_byte_unsigned, "3a1b", 0x1A1B),
        (eight_byte_unsigned, "5a1b1c", 0x1A1B1C),
        (eight_byte_unsigned, "fa1b1c1d1e1f2a2b", 0x1A1B1C1D1E1F2A2B),
        (eight_byte_unsigned, "ffffffffffffffff", 0x1FFFFFFFFFFFFFFF),
    ],
)
def test_variable_length_integers(read: Callable[[Reader], int], data: str, value: int) -> None:
    reader = Reader(bytes.fromhex(data), "an integer")
    assert read(reader) == value
    reader.end()


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (two_byte_unsigned, "80"),
        (two_byte_signed, "80"),
        (four_byte_unsigned, "c00000"),
        (four_byte_signed, ""),
        (eight_byte_unsigned, "e0000000000000"),
    ],
)
def test_integers_that_end_are_refused(read: Callable[[Reader], int], data: str) -> None:
    with pytest.raises(RemoteError):
        read(Reader(bytes.fromhex(data), "an integer"))


def test_a_touch_says_who_and_where() -> None:
    message = bytes.fromhex(
        "0300 18000000"  # header
        "05 01"  # encodeTime, frameCount
        "02 2021"  # contactCount, frameOffset
        "00 00 4100 00 19"  # contact 0 at 256, 0
        "07 00 22 9f0000 19"  # contact 7 at -2, 0x1F0000
    )
    assert list(TouchChannel().receive(message)) == [
        TouchFrame((Contact(0, BEGIN, 256, 0), Contact(7, BEGIN, -2, 0x1F0000)))
    ]


def test_the_further_fields_of_a_contact_are_gone_past() -> None:
    fields = b"\x07" + bytes.fromhex("42 42 02 9a1b") + bytes.fromhex("5000") + bytes.fromhex("4200")
    message = touch(frame(contact(1, DOWN, fields=fields), contact(2, DOWN, 3, 4)))
    assert list(TouchChannel().receive(message)) == [
        TouchFrame((Contact(1, BEGIN, 10, 20), Contact(2, BEGIN, 3, 4)))
    ]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((DOWN, MOVE, MOVE, UP), [BEGIN, UPDATE, UPDATE, END]),
        ((DOWN, UP_CANCELED), [BEGIN, CANCEL]),
        ((HOVER, HOVER, DOWN, UP_TO_HOVER, HOVER, LEAVE), [None, None, BEGIN, END, None, None]),
        ((HOVER, LEAVE_CANCELED), [None, None]),
        ((DOWN, UP, DOWN, UP), [BEGIN, END, BEGIN, END]),
        ((MOVE, UP), [BEGIN, END]),
        ((DOWN, DOWN, UP, UP), [BEGIN, UPDATE, END, None]),
        ((DOWN, HOVER), [BEGIN, END]),
        ((DOWN, LEAVE), [BEGIN, END]),
        ((DOWN, LEAVE_CANCELED), [BEGIN, CANCEL]),
        ((UP, UP_CANCELED, 0, LEAVE), [None, None, None, None]),
        ((0x01, 0x10, 0), [BEGIN, UPDATE, END]),
    ],
)
def test_contacts_begin_move_and_end(flags: tuple[int, ...], expected: list[ContactKind | None]) -> None:
    assert kinds(TouchChannel(), *flags) == expected


def test_frames_come_one_by_one() -> None:
    message = touch(
        frame(contact(1, DOWN), contact(2, DOWN)), frame(contact(1, MOVE, 11)), frame(contact(3, HOVER))
    )
    assert list(TouchChannel().receive(message)) == [
        TouchFrame((Contact(1, BEGIN, 10, 20), Contact(2, BEGIN, 10, 20))),
        TouchFrame((Contact(1, UPDATE, 11, 20),)),
    ]


def test_a_contact_is_only_once_in_a_frame() -> None:
    message = touch(frame(contact(1, DOWN), contact(2, DOWN), contact(1, UP)))
    assert list(TouchChannel().receive(message)) == [
        TouchFrame((Contact(1, BEGIN, 10, 20), Contact(2, BEGIN, 10, 20))),
        TouchFrame((Contact(1, END, 10, 20),)),
    ]


def test_contacts_beyond_the_most_are_left_out_until_one_has_ended() -> None:
    channel = TouchChannel(max_contacts=2)
    list(channel.receive(touch(frame(contact(1, DOWN), contact(2, DOWN)))))
    assert list(channel.receive(touch(frame(contact(3, DOWN), contact(1, MOVE))))) == [
        TouchFrame((Contact(1, UPDATE, 10, 20),))
    ]
    assert list(channel.receive(touch(frame(contact(3, UP), contact(1, UP))))) == [
        TouchFrame((Contact(1, END, 10, 20),))
    ]
    assert list(channel.receive(touch(frame(contact(3, DOWN))))) == [TouchFrame((Contact(3, BEGIN, 10, 20),))]


def test_ten_fingers_fit() -> None:
    (event,) = TouchChannel().receive(touch(frame(*(contact(number, DOWN) for number in range(11)))))
    assert isinstance(event, TouchFrame)
    assert [each.id for each in event.contacts] == list(range(10))


def test_all_contacts_are_cancelled_where_they_were() -> None:
    channel = TouchChannel()
    list(channel.receive(touch(frame(contact(1, DOWN), contact(2, DOWN)), frame(contact(2, MOVE, 5, 6)))))
    assert channel.cancel_all() == TouchFrame((Contact(1, CANCEL, 10, 20), Contact(2, CANCEL, 5, 6)))
    assert channel.cancel_all() is None
    assert kinds(channel, UP) == [None]


def test_what_comes_while_suspended_is_dropped() -> None:
    channel = TouchChannel()
    channel.suspend()
    assert kinds(channel, DOWN, MOVE) == [None, None]
    channel.resume()
    assert kinds(channel, MOVE, UP) == [BEGIN, END]


def test_pens_hovering_contacts_and_unknown_events_are_skipped() -> None:
    message = pdu(8, b"pen") + pdu(6, b"\1") + pdu(0x99) + touch(frame(contact(1, DOWN)))
    assert list(TouchChannel().receive(message)) == [TouchFrame((Contact(1, BEGIN, 10, 20),))]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\3", Reason.TRUNCATED),
        (struct.pack("<HI", 3, 5), Reason.MALFORMED),
        (struct.pack("<HI", 0x99, 7), Reason.TRUNCATED),
        (touch(frame(contact(1, DOWN)))[:-1], Reason.TRUNCATED),
        (pdu(2, bytes(9)), Reason.TRUNCATED),
        (pdu(2, bytes(11)), Reason.TRAILING),
        (pdu(3), Reason.TRUNCATED),
        (pdu(3, b"\0\1"), Reason.TRUNCATED),
        (pdu(3, b"\0\xff\xff"), Reason.TRUNCATED),
        (pdu(3, b"\0\0x"), Reason.TRAILING),
        (pdu(3, b"\0\1" + frame(contact(1, DOWN, fields=b"\4"))), Reason.TRUNCATED),
    ],
)
def test_broken_pdus_are_refused(message: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        list(TouchChannel().receive(message))
    assert caught.value.reason is reason


CONTACTS = st.builds(contact, st.integers(0, 5), st.integers(0, 0x3F), st.integers(-99, 99))


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.builds(pdu, st.integers(0, 9), st.binary(max_size=30)),
            st.builds(touch, st.lists(CONTACTS, max_size=6).map(lambda contacts: frame(*contacts))),
        ),
        max_size=8,
    )
)
def test_contacts_begin_before_they_end_whatever_comes(messages: list[bytes]) -> None:
    channel = TouchChannel(max_contacts=3)
    under_way: set[int] = set()

    def follow(event: TouchFrame) -> None:
        assert len({each.id for each in event.contacts}) == len(event.contacts) > 0
        for each in event.contacts:
            assert (each.id in under_way) is (each.kind is not BEGIN)
            if each.kind is BEGIN:
                under_way.add(each.id)
            elif each.kind in (END, CANCEL):
                under_way.discard(each.id)
        assert len(under_way) <= 3

    with suppress(RemoteError):
        for message in messages:
            for event in channel.receive(message):
                if isinstance(event, TouchFrame):
                    follow(event)
    last = channel.cancel_all()
    if last is not None:
        follow(last)
    assert not under_way
