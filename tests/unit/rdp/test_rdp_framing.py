"""PDUs are cut out of a byte stream, however it comes, and no more is kept than one of them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rdp_script import cut

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.tpkt import MAX_PDU, Frame, Framer

SLOW = bytes.fromhex("03 00 00 08 02 f0 80 28")
FAST = bytes.fromhex("04 04 00 1e")
LONG_FAST = b"\x04\x81\x00" + bytes(253)


def frames(framer: Framer) -> list[Frame]:
    found = []
    while (frame := framer.next()) is not None:
        found.append(frame)
    return found


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_pdus_are_the_same_however_the_bytes_are_cut(sizes: list[int]) -> None:
    framer, found = Framer(), []
    for piece in cut(SLOW + FAST + LONG_FAST + SLOW, sizes):
        framer.feed(piece)
        found += frames(framer)
    assert found == [
        Frame(False, SLOW[4:]),
        Frame(True, FAST),
        Frame(True, LONG_FAST),
        Frame(False, SLOW[4:]),
    ]
    assert framer.buffered == 0


def test_a_pdu_that_is_not_whole_waits() -> None:
    framer = Framer()
    for count in range(len(SLOW)):
        framer.feed(SLOW[count : count + 1])
        assert (framer.next() is not None) == (count == len(SLOW) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x00",
        b"\x02\xff\xff",
        b"GET / HTTP/1.1",  # 'G' has the fast-path action 3
        b"\x07\x00\x00\x08",
        b"\x03\x00\x00\x04",
        b"\x03\x00\x00\x00",
        b"\x00\x00",
        b"\x00\x02",
        b"\x00\x80\x03",
    ],
)
def test_what_no_pdu_begins_with_is_refused(data: bytes) -> None:
    framer = Framer()
    framer.feed(data)
    with pytest.raises(RemoteError) as caught:
        framer.next()
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("header", [b"\x03\x00\x01\x01", b"\x00\x81\x01"])
def test_a_pdu_above_the_limit_is_refused_by_its_header(header: bytes) -> None:
    framer = Framer(limit=256)
    framer.feed(header)
    with pytest.raises(RemoteError) as caught:
        framer.next()
    assert caught.value.reason is Reason.OVERSIZED


def test_the_largest_pdu_is_taken() -> None:
    framer = Framer()
    framer.feed(b"\x03\x00\xff\xff" + bytes(MAX_PDU - 4))
    assert framer.next() == Frame(False, bytes(MAX_PDU - 4))


def test_what_was_given_is_not_kept() -> None:
    framer = Framer()
    for _ in range(10_000):
        framer.feed(SLOW)
        assert framer.next() is not None
        assert framer.buffered == 0
    framer.feed(SLOW[:3])
    assert framer.buffered == 3
    framer.clear()
    assert framer.buffered == 0


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_any_bytes_are_pdus_or_an_error(pieces: list[bytes]) -> None:
    framer, given_out, fed = Framer(), 0, 0
    with contextlib.suppress(RemoteError):
        for piece in pieces:
            framer.feed(piece)
            fed += len(piece)
            for frame in frames(framer):
                given_out += len(frame.data) + (0 if frame.is_fast_path else 4)
            assert given_out + framer.buffered == fed
