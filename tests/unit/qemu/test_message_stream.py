"""D-Bus messages out of octets, checked against dbus-fast's own marshalling."""

import os
from typing import Any

import numpy as np
import pytest
from dbus_fast import Message, MessageFlag, MessageType
from hypothesis import given, settings
from hypothesis import strategies as st
from qemu_side import message

from sidecar.qemu.errors import ListenerError
from sidecar.qemu.listener import LISTENER, UNIX_MAP
from sidecar.qemu.message_stream import FIRST_ROOM, MAX_MESSAGE, Call, MessageStream


def octets(sent: Message) -> bytes:
    return bytes(sent._marshall(True))


def feed(stream: MessageStream, data: bytes, piece: int = 1 << 30) -> list[Any]:
    """What comes out when `data` arrives in pieces; arrays are copied."""
    found: list[Any] = []
    view = memoryview(data)
    while view:
        room = stream.room()
        count = min(len(room), len(view), piece)
        room[:count] = view[:count]
        view = view[count:]
        stream.received(count, [])
        for each in stream.messages():
            if isinstance(each, Call):
                arguments = [bytes(a) if isinstance(a, memoryview) else a for a in each.arguments]
                found.append((each.interface, each.member, each.signature, arguments))
            else:
                found.append(each)
    return found


PICTURE = bytes(range(256)) * 700
CALLS: list[tuple[str, str, list[Any]]] = [
    ("Scanout", "uuuuay", [280, 160, 1120, 0x20020888, PICTURE]),
    ("Update", "iiiiuuay", [-1, 2, 3, 4, 16, 0x20020888, b"x" * 48]),
    ("MouseSet", "iii", [-5, 6, 1]),
    ("CursorDefine", "iiiiay", [8, 8, 0, 0, b""]),
    ("Disable", "", []),
]


@pytest.mark.parametrize("piece", [1, 7, 4096, 1 << 30])
def test_calls_of_numbers_and_octets_are_decoded_however_they_arrive(piece: int) -> None:
    data = b"".join(octets(message(member, signature, *body)) for member, signature, body in CALLS)
    expected = [(LISTENER, member, signature, body) for member, signature, body in CALLS]
    assert feed(MessageStream(), data, piece) == expected


def test_the_array_is_a_view_of_the_stream_and_aligned_for_pixels() -> None:
    stream = MessageStream()
    # a message of odd length comes first
    odd = octets(message("Ask", "s", "x" * 6))
    data = odd + octets(message("Scanout", "uuuuay", 1, 1, 4, 0x20020888, b"abcd" * 5000))
    room = stream.room()
    room[: len(data)] = data
    stream.received(len(data), [])
    for each in stream.messages():
        if isinstance(each, Call):
            pixels = np.frombuffer(each.arguments[-1], np.uint32)
            assert pixels.flags.aligned
            assert not pixels.flags.owndata
            break
    else:
        raise AssertionError("no picture came")


def test_memory_grows_to_the_largest_message_and_no_further() -> None:
    stream = MessageStream()
    data = octets(message("Scanout", "uuuuay", 1, 1, 4, 0x20020888, bytes(1_000_000)))
    for _ in range(5):
        assert len(feed(stream, data)) == 1
    assert len(stream.room()) <= len(data) + FIRST_ROOM


@pytest.mark.parametrize(
    "sent",
    [
        message("GetAll", "s", LISTENER, interface="org.freedesktop.DBus.Properties", flags=MessageFlag.NONE),
        message("MouseSet", "iii", 1, 2, 1, flags=MessageFlag.NONE),
        message("Text", "sas", "a", ["b", "c"]),
        Message(message_type=MessageType.SIGNAL, path="/a", interface="a.b", member="C", serial=1),
        Message(message_type=MessageType.METHOD_RETURN, reply_serial=7, serial=1),
        Message(message_type=MessageType.ERROR, error_name="a.b", reply_serial=7, serial=1),
    ],
)
def test_other_messages_are_whole(sent: Message) -> None:
    (received,) = feed(MessageStream(), octets(sent))
    for name in ("message_type", "path", "interface", "member", "signature", "body", "flags", "reply_serial"):
        assert getattr(received, name) == getattr(sent, name)


def test_descriptors_go_to_the_messages_that_they_came_for() -> None:
    stream = MessageStream()
    reading, writing = os.pipe()
    sent = message("ScanoutMap", "huuuuu", 0, 0, 8, 8, 32, 0x20020888, interface=UNIX_MAP, fds=[reading])
    data = octets(sent) + octets(message("Disable", "")) + octets(sent)
    room = stream.room()
    room[: len(data)] = data
    stream.received(len(data), [reading, writing, reading])
    first, second, third = list(stream.messages())
    assert isinstance(first, Message)
    assert isinstance(second, Call)
    assert isinstance(third, Message)
    assert (first.unix_fds, third.unix_fds) == ([reading], [writing])
    assert stream.close() == [reading]
    assert stream.close() == []
    os.close(reading)
    os.close(writing)


def test_a_message_without_its_descriptors_is_refused() -> None:
    sent = message("ScanoutMap", "huuuuu", 0, 0, 8, 8, 32, 0x20020888, interface=UNIX_MAP, fds=[1])
    with pytest.raises(ListenerError, match="descriptors"):
        feed(MessageStream(), octets(sent))


VALID = octets(message("Update", "iiiiuuay", 1, 2, 3, 4, 16, 0x20020888, b"x" * 48))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"x"),
        (1, b"\0"),
        (1, b"\5"),
        (3, b"\2"),
        (4, (MAX_MESSAGE + 1).to_bytes(4, "little")),
        (12, (1 << 20).to_bytes(4, "little")),
        (17, b"\2"),
        (18, b"v"),
    ],
)
def test_what_is_no_message_is_refused_before_memory_is_taken_for_it(at: int, value: bytes) -> None:
    stream = MessageStream()
    with pytest.raises(ListenerError):
        feed(stream, VALID[:at] + value + VALID[at + len(value) :])
    assert len(stream.room()) <= FIRST_ROOM


@pytest.mark.parametrize("change", [-1, 1, 1 << 20, 0xFFFFFFFF - 48])
def test_an_array_that_is_not_as_long_as_it_says_is_refused(change: int) -> None:
    at = len(VALID) - 52
    with pytest.raises(ListenerError, match="length"):
        feed(MessageStream(), VALID[:at] + (48 + change).to_bytes(4, "little") + VALID[at + 4 :])


@settings(max_examples=200)
@given(st.data())
def test_any_octets_give_messages_or_the_error(data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([b"", VALID, VALID[:16], octets(message("Text", "sas", "a", ["b"]))]))
    mutable = bytearray(start + data.draw(st.binary(max_size=300)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)):
        if at < len(mutable):
            mutable[at] = value
    stream = MessageStream()
    try:
        feed(stream, bytes(mutable), data.draw(st.sampled_from([1, 13, 1 << 30])))
    except ListenerError:
        return
    assert len(stream.room()) > 0
