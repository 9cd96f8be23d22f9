"""RDP_SEGMENTED_DATA, MS-RDPEGFX 2.2.5."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rdp_graphics import unwrap

from sidecar.rdp.graphics_pipeline.zgfx import wrap


def test_a_short_message_is_one_segment() -> None:
    assert wrap([b"ab", b"", b"c"]) == b"\xe0\x04abc"


def test_nothing_is_one_empty_segment() -> None:
    assert wrap([]) == b"\xe0\x04"


def test_65535_bytes_are_still_one_segment() -> None:
    assert wrap([bytes(65535)]) == b"\xe0\x04" + bytes(65535)


def test_one_byte_more_makes_two() -> None:
    expected = (
        struct.pack("<BHI", 0xE1, 2, 65536)
        + struct.pack("<IB", 65536, 4)
        + b"a" * 65535
        + struct.pack("<IB", 2, 4)
        + b"a"
    )
    assert wrap([b"a" * 65536]) == expected


def test_whole_segments_leave_no_empty_one_behind() -> None:
    message = wrap([b"a" * 65535, b"b" * 65535])
    assert struct.unpack_from("<BHI", message) == (0xE1, 2, 131070)
    assert len(message) == 7 + 2 * (5 + 65535)


@pytest.mark.parametrize("length", [65534, 65535, 65536, 131069, 131070, 131071, 700_000, 3_000_000])
def test_a_client_unwraps_messages_of_any_length(length: int) -> None:
    data = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert unwrap(wrap([data])) == data


@given(st.lists(st.one_of(st.integers(0, 100), st.integers(65_000, 66_000), st.just(65535)), max_size=8))
def test_it_does_not_matter_where_the_parts_end(lengths: list[int]) -> None:
    parts = [bytes((number + 1,)) * length for number, length in enumerate(lengths)]
    assert unwrap(wrap(parts)) == b"".join(parts)
    assert wrap(parts) == wrap([b"".join(parts)])
