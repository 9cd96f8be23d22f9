"""Capability sets: the client's read, the server's as clients read them."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_examples import CONFIRM_ACTIVE_HEADER

from sidecar.rdp.capabilities import (
    MAX_SETS,
    CapabilitySetType,
    ClientCapabilities,
    InputFlags,
    parse_capability_sets,
    server_capability_sets,
)
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.share_control import (
    ShareControlPduType,
    demand_active,
    parse_confirm_active,
    parse_share_control,
)
from sidecar.rdp.wire import Reader

RDP_5_1 = [
    bytes.fromhex("01 00 18 00 01 00 03 00 00 02 00 00 00 00 1d 04 00 00 00 00 00 00 00 00"),
    bytes.fromhex("02 00 1c 00 18 00 01 00 01 00 01 00 00 05 00 04 00 00 01 00 01 00 00 00 01 00 00 00"),
    bytes.fromhex("03 00 58 00") + bytes(84),
    bytes.fromhex("13 00 28 00 03 00 00 03 78 00 00 00 78 00 00 00 fb 09 00 80") + bytes(20),
    bytes.fromhex("0a 00 08 00 06 00 00 00"),
    bytes.fromhex("07 00 0c 00 00 00 00 00 00 00 00 00"),
    bytes.fromhex("05 00 0c 00 00 00 00 00 02 00 02 00"),
    bytes.fromhex("08 00 0a 00 01 00 14 00 15 00"),
    bytes.fromhex("09 00 08 00 00 00 00 00"),
    bytes.fromhex("0d 00 58 00 15 00 00 00 09 04 00 00 04 00 00 00 00 00 00 00 0c 00 00 00") + bytes(64),
    bytes.fromhex("0c 00 08 00 01 00 00 00"),
    bytes.fromhex("0e 00 08 00 01 00 00 00"),
    bytes.fromhex("10 00 34 00") + bytes(48),
    bytes.fromhex("0f 00 08 00 01 00 00 00"),
    bytes.fromhex("11 00 0c 00 01 00 00 00 00 1e 64 00"),
    bytes.fromhex("14 00 08 00 01 00 00 00"),
    bytes.fromhex("15 00 0c 00 02 00 00 00 00 0a 00 01"),
    bytes.fromhex("16 00 28 00") + bytes(36),
]
"""What the client of the specification's example has, 4.1.13; of sets that are of no interest the lengths."""


def counted(*sets: bytes) -> bytes:
    return struct.pack("<HH", len(sets), 0) + b"".join(sets)


def parse(*sets: bytes) -> ClientCapabilities:
    return parse_capability_sets(Reader(counted(*sets), "test"))


def confirmed(pdu: bytes) -> ClientCapabilities:
    (parsed,) = parse_share_control(Reader(pdu, "test"))
    assert parsed.pdu_type == ShareControlPduType.CONFIRM_ACTIVE
    return parse_capability_sets(parse_confirm_active(parsed.body).sets)


def test_the_confirm_active_of_the_specification() -> None:
    pdu = CONFIRM_ACTIVE_HEADER + b"".join(RDP_5_1)
    assert confirmed(pdu) == ClientCapabilities(
        colour_depth=24,
        width=1280,
        height=1024,
        resizable=True,
        fast_path_output=True,
        compression_header=False,
        pointer_cache_size=21,
        colour_pointer_cache_size=20,
        unicode_input=True,
    )


def test_a_client_of_today() -> None:
    pdu = client.confirm_active(1036, 7, client.capability_sets(1024, 768))
    assert confirmed(pdu) == ClientCapabilities(
        colour_depth=32,
        width=1024,
        height=768,
        resizable=True,
        fast_path_output=True,
        compression_header=False,
        pointer_cache_size=25,
        colour_pointer_cache_size=25,
        large_pointers=384,
        max_request_size=0x3F0000,
        surface_bits=True,
        frame_markers=True,
        frame_acknowledge=2,
        planar=True,
        suppress_output=True,
        refresh_rect=True,
        unicode_input=True,
    )


def test_a_client_that_says_nothing_has_the_defaults() -> None:
    assert parse() == ClientCapabilities()
    assert not ClientCapabilities().planar
    assert ClientCapabilities().compression_header


def test_of_a_set_that_comes_twice_the_last_one_counts() -> None:
    first, second = (client.capability_set(26, struct.pack("<I", size)) for size in (1000, 2000))
    assert parse(first, second).max_request_size == 2000


def test_what_a_set_has_more_than_is_known_is_skipped() -> None:
    pointer = client.capability_set(8, struct.pack("<HHH", 1, 10, 20) + b"more")
    assert parse(pointer).pointer_cache_size == 20


def test_a_pointer_set_may_leave_new_pointers_out() -> None:
    capabilities = parse(client.capability_set(8, struct.pack("<HH", 1, 10)))
    assert (capabilities.colour_pointer_cache_size, capabilities.pointer_cache_size) == (10, 0)


@pytest.mark.parametrize(("flags", "edge"), [(0, 0), (1, 96), (3, 384), (2, 0)])
def test_large_pointers_are_for_clients_that_take_all_smaller_ones_too(flags: int, edge: int) -> None:
    assert parse(client.capability_set(27, struct.pack("<H", flags))).large_pointers == edge


@pytest.mark.parametrize(
    ("said", "taken"),
    [(0, 8), (1, 8), (8, 8), (15, 15), (16, 16), (17, 16), (24, 24), (31, 24), (0xFFFF, 32)],
)
def test_a_colour_depth_that_does_not_exist_counts_as_the_next_lower_one(said: int, taken: int) -> None:
    body = struct.pack("<9H2B2H", said, 1, 1, 1, 10, 10, 0, 1, 1, 0, 0, 1, 0)
    assert parse(client.capability_set(2, body)).colour_depth == taken


@pytest.mark.parametrize("said", [0, 1600, 16256, 0xFFFFFFFF])
def test_what_a_client_says_of_chunks_means_nothing(said: int) -> None:
    assert parse(client.capability_set(20, struct.pack("<II", 0, said))).chunk_size == 1600


def test_a_client_that_acknowledges_nothing_at_all_is_not_one_that_takes_no_frames() -> None:
    assert parse().frame_acknowledge is None
    assert parse(client.capability_set(30, struct.pack("<I", 0))).frame_acknowledge == 0


@pytest.mark.parametrize(
    "capability_set", client.capability_sets(800, 600)[:-1], ids=lambda each: str(each[0])
)
def test_a_set_that_is_cut_off_is_refused(capability_set: bytes) -> None:
    kind = capability_set[0]
    if kind in (3, 15):
        # of no interest, so nobody misses anything
        parse(client.capability_set(kind, b""))
        return
    with pytest.raises(RemoteError) as caught:
        parse(client.capability_set(kind, b"\x01"))
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        (struct.pack("<HHHH", 1, 0, 1, 3), Reason.MALFORMED),
        (struct.pack("<HHHH", 1, 0, 1, 24), Reason.TRUNCATED),
        (struct.pack("<HH", 1, 0), Reason.TRUNCATED),
        (struct.pack("<HH", MAX_SETS + 1, 0) + bytes.fromhex("77000400") * (MAX_SETS + 1), Reason.OVERSIZED),
        (struct.pack("<HH", 0, 0) + b"\0", Reason.TRAILING),
    ],
)
def test_sets_that_are_not_what_they_say_are_refused(sets: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_capability_sets(Reader(sets, "test"))
    assert caught.value.reason is reason


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=90)), max_size=8), st.integers(0, 9))
def test_any_sets_are_read_or_refused(sets: list[tuple[int, bytes]], count: int) -> None:
    data = struct.pack("<HH", count, 0) + b"".join(client.capability_set(*each) for each in sets)
    with contextlib.suppress(RemoteError):
        parse_capability_sets(Reader(data, "test"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_confirm_active_or_an_error(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_capability_sets(parse_confirm_active(Reader(data, "test")).sets)


@pytest.mark.parametrize("at", range(6, 26))
def test_a_confirm_active_that_ends_in_its_header_is_refused(at: int) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_confirm_active(Reader(CONFIRM_ACTIVE_HEADER[6:at], "test"))
    assert caught.value.reason is Reason.TRUNCATED


def server_sets(**features: bool) -> dict[int, bytes]:
    (demand,) = server.parse_share_pdus(demand_active(7, server_capability_sets(1280, 1024, 24, **features)))
    assert isinstance(demand, server.DemandActive)
    return demand.sets


def test_the_server_s_sets_have_the_lengths_of_the_specification() -> None:
    lengths = {kind: 4 + len(body) for kind, body in server_sets().items()}
    assert lengths == {
        1: 24,
        2: 28,
        3: 88,
        8: 10,
        9: 8,
        10: 8,
        13: 88,
        14: 8,
        20: 12,
        26: 8,
        27: 6,
        28: 12,
        30: 8,
    }


def test_the_server_s_general_and_bitmap_sets_read_as_a_client_s() -> None:
    sets = server_sets()
    capabilities = parse(*(client.capability_set(kind, sets[kind]) for kind in (1, 2, 8, 27, 28)))
    assert (capabilities.width, capabilities.height, capabilities.colour_depth) == (1280, 1024, 24)
    assert capabilities.fast_path_output
    assert not capabilities.compression_header
    assert capabilities.resizable
    assert capabilities.refresh_rect
    assert capabilities.suppress_output
    assert capabilities.pointer_cache_size == 25
    assert capabilities.large_pointers == 384
    assert capabilities.surface_bits


def test_the_server_offers_no_orders_but_the_flags_that_clients_insist_on() -> None:
    order = server_sets()[CapabilitySetType.ORDER]
    assert struct.unpack_from("<H", order, 30)[0] == 0x2A
    assert not any(order[32:64])


@pytest.mark.parametrize("unicode_input", [False, True])
@pytest.mark.parametrize("relative_mouse", [False, True])
def test_the_server_says_what_input_it_takes(unicode_input: bool, relative_mouse: bool) -> None:
    body = server_sets(unicode_input=unicode_input, relative_mouse=relative_mouse)[CapabilitySetType.INPUT]
    flags = InputFlags(struct.unpack_from("<H", body)[0])
    assert InputFlags.SCANCODES | InputFlags.MOUSEX | InputFlags.FASTPATH_INPUT2 in flags
    assert bool(flags & InputFlags.UNICODE) is unicode_input
    assert bool(flags & InputFlags.MOUSE_RELATIVE) is relative_mouse
    assert flags & InputFlags.MOUSE_HWHEEL
