"""What the client says of itself before it logs in."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client
from support.rdp_examples import CLIENT_INFO, CONNECT_INITIAL, VALID_CLIENT

from sidecar.rdp import licensing
from sidecar.rdp.client_data import (
    ChannelDefinition,
    ClientData,
    CoreData,
    EarlyCapability,
    parse_client_data,
)
from sidecar.rdp.client_info import MAX_STRING, ClientInfo, InfoFlags, parse_client_info
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Monitor
from sidecar.rdp.wire import Reader
from sidecar.screen.rectangle import Rectangle

CORE = client.core_data(1024, 768)
MANDATORY = 132
"""Bytes of the core data that every client sends, with their header."""

INFO_HEADER = struct.pack("<HH", 0x40, 0)


def parse(blocks: bytes) -> ClientData:
    return parse_client_data(Reader(blocks, "client data blocks"))


def resized(block: bytes, size: int) -> bytes:
    """A block cut or padded to `size` bytes."""
    return block[:2] + struct.pack("<H", size) + block[4:size].ljust(size - 4, b"\0")


def test_the_blocks_of_the_specification_s_example() -> None:
    assert parse(CONNECT_INITIAL[-0x11C:]) == ClientData(
        CoreData(
            version=0x00080004,
            width=1280,
            height=1024,
            colour_depth=24,
            keyboard_layout=0x409,
            build=3790,
            name="ELTONS-DEV2",
            keyboard_type=4,
            early_capabilities=EarlyCapability.SUPPORT_ERRINFO_PDU,
        ),
        encryption_methods=0x1B,
        channels=(
            ChannelDefinition("rdpdr", 0x80800000),
            ChannelDefinition("cliprdr", 0xC0A00000),
            ChannelDefinition("rdpsnd", 0xC0000000),
        ),
        cluster_flags=0x0D,
    )


@pytest.mark.parametrize("size", range(MANDATORY, len(CORE) + 30))
def test_core_data_may_end_behind_any_field_and_go_on_behind_the_last(size: int) -> None:
    core = parse(resized(CORE, size)).core
    assert (core.width, core.height, core.name) == (1024, 768, "PEER")
    assert bool(core.early_capabilities) == (size >= 4 + 142)


@pytest.mark.parametrize(
    ("beta", "post_beta", "high", "early", "depth"),
    [
        (0xCA01, None, None, None, 8),
        (0xCA00, None, None, None, 4),
        (0xCA00, 0xCA03, None, None, 16),
        (0xCA01, 0xCA01, 15, 0, 15),
        (0xCA01, 0xCA01, 16, 2, 16),
        (0xCA01, 0xCA01, 24, 1, 24),
        (0xCA01, 0xCA01, 24, 2, 32),
        (0xCA01, 0xCA02, 77, 0, 15),
        (0, None, None, None, 8),
    ],
)
def test_the_colour_depth_is_what_its_last_known_field_says(
    beta: int, post_beta: int | None, high: int | None, early: int | None, depth: int
) -> None:
    body = bytearray(CORE[4:])
    struct.pack_into("<H", body, 8, beta)
    end = 128
    if post_beta is not None:
        struct.pack_into("<H", body, 128, post_beta)
        end = 130
    if high is not None and early is not None:
        struct.pack_into("<HHH", body, 136, high, 15, early)
        end = 142
    assert parse(client.block(0xC001, bytes(body[:end]))).core.colour_depth == depth


def test_blocks_of_no_interest_are_skipped_and_the_first_of_a_kind_counts() -> None:
    unknown = client.block(0xC00C, b"anything") + client.block(0x1234, b"")
    data = parse(unknown + client.network_data(("one",)) + CORE + client.network_data(("two",)) + unknown)
    assert data.channels == (ChannelDefinition("one", 0x80000000),)


def test_monitors_with_their_attributes() -> None:
    monitors = ((0, 0, 1919, 1079, 1), (-1280, 0, -1, 1023, 0))
    plain = parse(CORE + client.monitor_data(monitors))
    assert plain.monitors == (
        Monitor(Rectangle(0, 0, 1920, 1080), primary=True),
        Monitor(Rectangle(-1280, 0, 1280, 1024), primary=False),
    )
    attributes = client.monitor_attributes(((600, 340, 0, 150, 140), (376, 301, 90, 100, 100)))
    described = parse(CORE + attributes + client.monitor_data(monitors))
    assert [
        (monitor.physical_size, monitor.orientation, monitor.desktop_scale_factor)
        for monitor in described.monitors
    ] == [((600, 340), 0, 150), ((376, 301), 90, 100)]


def test_attributes_of_other_monitors_than_there_are_say_nothing() -> None:
    monitors = client.monitor_data(((0, 0, 99, 99, 1),))
    assert parse(CORE + monitors + client.monitor_attributes(())).monitors == parse(CORE + monitors).monitors


def test_a_message_channel_and_multitransport_are_heard_of() -> None:
    data = parse(CORE + client.message_channel_data() + client.multitransport_data())
    assert data.wants_message_channel
    assert data.multitransport_flags == 0x305
    assert not parse(CORE).wants_message_channel


def test_channel_names_are_printable() -> None:
    raw = struct.pack("<I8sI8sI", 2, b"a\x1b\xff c\x00zz", 0, b"eightchr", 0)
    names = [channel.name for channel in parse(CORE + client.block(0xC003, raw)).channels]
    assert names == ["a?? c", "eightchr"]


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        (b"", Reason.MALFORMED),
        (client.network_data(()), Reason.MALFORMED),
        (CORE[:-1], Reason.TRUNCATED),
        (CORE + b"\x00", Reason.TRUNCATED),
        (CORE + b"\x00\x00\x03\x00", Reason.MALFORMED),
        (resized(CORE, MANDATORY - 1), Reason.TRUNCATED),
        (CORE + client.network_data(["x"] * 32), Reason.MALFORMED),
        (CORE + client.block(0xC003, struct.pack("<I", 31)), Reason.TRUNCATED),
        (CORE + client.block(0xC003, struct.pack("<I", 0xFFFFFFFF)), Reason.MALFORMED),
        (CORE + client.block(0xC005, struct.pack("<II", 0, 17)), Reason.MALFORMED),
        (CORE + client.block(0xC005, struct.pack("<II", 0, 1)), Reason.TRUNCATED),
        (CORE + client.monitor_data(((5, 0, 4, 9, 0),)), Reason.MALFORMED),
        (CORE + client.block(0xC008, struct.pack("<III", 0, 16, 0)), Reason.MALFORMED),
        (CORE + client.block(0xC002, b"\0"), Reason.TRUNCATED),
    ],
)
def test_broken_blocks(blocks: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        parse(blocks)
    assert caught.value.reason is reason


@given(st.lists(st.tuples(st.integers(0xC001, 0xC00C), st.binary(max_size=64)), max_size=5), st.binary())
def test_any_blocks_are_read_or_refused(blocks: list[tuple[int, bytes]], rest: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse(CORE + b"".join(client.block(kind, body) for kind, body in blocks) + rest)


def info(data: bytes) -> ClientInfo:
    return parse_client_info(Reader(data, "Client Info PDU"))


def test_the_info_packet_of_the_specification_s_example() -> None:
    parsed = info(INFO_HEADER + CLIENT_INFO)
    assert (parsed.domain, parsed.user, parsed.password) == ("NTDEV", "eltons", "")
    assert (parsed.address, parsed.performance_flags) == ("157.59.242.156", 1)
    assert parsed.flags & InfoFlags.UNICODE
    assert not parsed.flags & InfoFlags.AUTOLOGON


@pytest.mark.parametrize("extended", [False, True])
def test_info_packets_in_either_character_set(extended: bool) -> None:
    for flags, name in ((0x33, "Jürgen €"), (0x33, "日本語"), (0x23, "Jürgen €")):
        parsed = info(client.client_info(name, "pa\u00dfword", "dom", flags=flags, extended=extended))
        assert (parsed.user, parsed.password, parsed.domain) == (name, "pa\u00dfword", "dom")
        assert parsed.address == ("192.0.2.7" if extended else "")


def test_the_password_is_in_no_text() -> None:
    assert "secret-word" not in repr(info(client.client_info("user", "secret-word")))


@pytest.mark.parametrize("size", range(4, len(INFO_HEADER) + 0x32))
def test_an_info_packet_without_all_its_strings_is_refused(size: int) -> None:
    with pytest.raises(RemoteError) as caught:
        info((INFO_HEADER + CLIENT_INFO)[:size])
    assert caught.value.reason is Reason.TRUNCATED


def test_an_info_packet_may_end_behind_each_of_its_later_parts() -> None:
    whole = INFO_HEADER + CLIENT_INFO
    ends = (0x32, 0x32 + 4 + 30 + 2 + 132, 0x186, 0x18A, 0x18E, 0x190)
    for end in ends:
        assert info(whole[: len(INFO_HEADER) + end]).user == "eltons"
    # later versions append a time zone's name
    assert info(whole + struct.pack("<HHHHH", 0, 0, 0, 0, 0)).user == "eltons"


def test_a_long_string_is_refused_before_it_is_there() -> None:
    head = struct.pack("<II5H", 0, 0x33, 0, MAX_STRING + 2, 0, 0, 0)
    with pytest.raises(RemoteError) as caught:
        info(INFO_HEADER + head)
    assert caught.value.reason is Reason.OVERSIZED


def test_an_info_packet_is_neither_encrypted_nor_something_else() -> None:
    with pytest.raises(RemoteError) as caught:
        info(struct.pack("<HH", 0x48, 0) + CLIENT_INFO)
    assert caught.value.reason is Reason.MALFORMED
    with pytest.raises(RemoteError) as caught:
        info(struct.pack("<HH", 0x80, 0) + CLIENT_INFO)
    assert caught.value.reason is Reason.UNEXPECTED


@given(st.integers(0, len(CLIENT_INFO) - 1), st.integers(0, 255), st.integers(0, len(CLIENT_INFO)))
def test_any_info_packet_is_read_or_refused(at: int, value: int, size: int) -> None:
    changed = bytearray(INFO_HEADER + CLIENT_INFO)
    changed[at] = value
    with contextlib.suppress(RemoteError):
        info(bytes(changed[:size]))


def test_the_licence_is_that_of_the_specification() -> None:
    assert licensing.valid_client() == b"\x80\x00\x00\x00" + VALID_CLIENT
