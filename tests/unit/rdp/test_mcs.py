"""MCS PDUs, and the GCC conference inside of the first two."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_examples import (
    ATTACH_USER_CONFIRM,
    ATTACH_USER_REQUEST,
    CONNECT_INITIAL,
    ERECT_DOMAIN,
    JOIN_CONFIRM,
    JOIN_REQUEST,
)

from sidecar.rdp import ber, gcc, mcs, per
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.wire import Reader

HEADERS = 7
"""TPKT and X.224."""


def reader(data: bytes) -> Reader:
    return Reader(data, "test")


def blocks_of(pdu: bytes) -> bytes:
    user_data = mcs.parse_connect_initial(reader(pdu[HEADERS:]))
    return gcc.parse_conference_create_request(user_data).rest()


def test_the_client_data_of_the_specification_s_connect_initial() -> None:
    blocks = blocks_of(CONNECT_INITIAL)
    assert blocks == CONNECT_INITIAL[-0x11C:]
    assert blocks.startswith(b"\x01\xc0\xd8\x00")


@pytest.mark.parametrize("size", [0, 1, 50, 300, 4000])
def test_client_data_of_any_size(size: int) -> None:
    blocks = bytes(at % 251 for at in range(size))
    assert blocks_of(client.connect_initial(blocks)) == blocks


@pytest.mark.parametrize("at", range(HEADERS, len(CONNECT_INITIAL)))
def test_a_connect_initial_that_ends_too_early_is_refused(at: int) -> None:
    with pytest.raises(RemoteError) as caught:
        blocks_of(CONNECT_INITIAL[:at])
    assert caught.value.reason is Reason.TRUNCATED


def test_a_connect_initial_with_more_behind_it_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        blocks_of(CONNECT_INITIAL + b"\0")
    assert caught.value.reason is Reason.TRAILING


@given(st.integers(HEADERS, len(CONNECT_INITIAL) - 1), st.integers(0, 255))
def test_a_connect_initial_with_any_byte_changed_is_read_or_refused(at: int, value: int) -> None:
    changed = bytearray(CONNECT_INITIAL)
    changed[at] = value
    with contextlib.suppress(RemoteError):
        blocks_of(bytes(changed))


@given(st.binary(max_size=64))
def test_any_bytes_are_a_connect_initial_or_an_error(data: bytes) -> None:
    for body in (data, client.ber(b"\x7f\x65", data)):
        with contextlib.suppress(RemoteError):
            mcs.parse_connect_initial(reader(body))


@pytest.mark.parametrize(
    ("pdu", "parsed"),
    [
        (ERECT_DOMAIN, mcs.ErectDomainRequest()),
        # as rdesktop has it
        (bytes.fromhex("0300 000c 02f0 80 04 0001 0001"), mcs.ErectDomainRequest()),
        (ATTACH_USER_REQUEST, mcs.AttachUserRequest()),
        (JOIN_REQUEST, mcs.ChannelJoinRequest(1007, 1007)),
        (
            client.disconnect_ultimatum(3),
            mcs.DisconnectProviderUltimatum(mcs.DisconnectReason.USER_REQUESTED),
        ),
        (bytes.fromhex("0300 0009 02f0 80 2180"), mcs.DisconnectProviderUltimatum(3)),
    ],
)
def test_what_a_client_says_to_the_domain(pdu: bytes, parsed: mcs.ClientPdu) -> None:
    assert mcs.parse_domain_pdu(reader(pdu[HEADERS:])) == parsed


@pytest.mark.parametrize("size", [0, 1, 127, 128, 0x3FFF])
def test_data_of_any_size(size: int) -> None:
    data = bytes(at % 253 for at in range(size))
    pdu = mcs.parse_domain_pdu(reader(client.send_data(1007, 1003, data)[HEADERS:]))
    assert isinstance(pdu, mcs.SendDataRequest)
    assert (pdu.initiator, pdu.channel, pdu.data.rest()) == (1007, 1003, data)


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (ATTACH_USER_REQUEST[HEADERS:] + b"\0", Reason.TRAILING),
        (JOIN_REQUEST[HEADERS:-1], Reason.TRUNCATED),
        (b"", Reason.TRUNCATED),
        (b"\x20", Reason.TRUNCATED),
        # what a server says
        (ATTACH_USER_CONFIRM[HEADERS:], Reason.UNEXPECTED),
        (JOIN_CONFIRM[HEADERS:], Reason.UNEXPECTED),
        (b"\x68\x00\x06\x03\xeb\x70\x00", Reason.UNEXPECTED),
        (b"\xfc", Reason.UNEXPECTED),
        (client.send_data(1007, 1003, b"12345")[HEADERS:-1], Reason.TRUNCATED),
        (client.send_data(1007, 1003, b"12345")[HEADERS:] + b"6", Reason.TRAILING),
        (b"\x64\x00\x06\x03\xeb\x70\xc1", Reason.MALFORMED),
    ],
)
def test_broken_domain_pdus(pdu: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        mcs.parse_domain_pdu(reader(pdu))
    assert caught.value.reason is reason


@given(st.binary(max_size=24))
def test_any_bytes_are_a_domain_pdu_or_an_error(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        mcs.parse_domain_pdu(reader(data))


def test_the_confirms_are_those_of_the_specification_but_for_the_user() -> None:
    user = struct.pack(">H", mcs.USER_CHANNEL - 1001)
    assert mcs.attach_user_confirm() == ATTACH_USER_CONFIRM[:-2] + user
    assert mcs.channel_join_confirm(1007) == JOIN_CONFIRM[:9] + user + JOIN_CONFIRM[11:]


def test_no_two_channels_have_one_id() -> None:
    static = range(mcs.FIRST_STATIC_CHANNEL, mcs.FIRST_STATIC_CHANNEL + mcs.MAX_STATIC_CHANNELS)
    others = {mcs.SERVER_CHANNEL, mcs.IO_CHANNEL, mcs.MESSAGE_CHANNEL, mcs.USER_CHANNEL}
    assert len(others) == 4
    assert not others & set(static)


@pytest.mark.parametrize("size", [0, 28, 127, 128, 0x173, mcs.MAX_DATA])
def test_data_to_the_client_has_the_headers_of_the_specification(size: int) -> None:
    """4.1.11 has a length of 28, 4.1.12 one of 0x173."""
    length = bytes((size,)) if size < 128 else struct.pack(">H", size | 0x8000)
    payload = bytes.fromhex("68 00 01 03 eb 70") + length + bytes(size)
    expected = b"\x03\x00" + struct.pack(">H", HEADERS + len(payload)) + b"\x02\xf0\x80" + payload
    assert mcs.send_data_indication(1003, bytes(size)) == expected


def test_data_that_do_not_fit_into_one_pdu_are_a_fault_on_this_side() -> None:
    with pytest.raises(LocalError):
        mcs.send_data_indication(1003, bytes(mcs.MAX_DATA + 1))


@pytest.mark.parametrize(
    ("reason", "octets"),
    [(mcs.DisconnectReason.PROVIDER_INITIATED, "2080"), (mcs.DisconnectReason.USER_REQUESTED, "2180")],
)
def test_the_ultimatum(reason: mcs.DisconnectReason, octets: str) -> None:
    assert mcs.disconnect_provider_ultimatum(reason) == bytes.fromhex("0300 0009 02f0 80" + octets)


@pytest.mark.parametrize("channels", [(), (1004,), (1004, 1005), (1004, 1005, 1006)])
@pytest.mark.parametrize("message_channel", [False, True])
def test_the_server_s_blocks_come_in_the_order_that_all_clients_take(
    channels: tuple[int, ...], message_channel: bool
) -> None:
    blocks = gcc.server_data(0x0B, channels, message_channel=message_channel, early_flags=8)
    pdu = mcs.connect_response(gcc.conference_create_response(blocks))
    response = server.parse_connect_response(pdu[HEADERS:])
    assert response.order == (0x0C01, 0x0C03, 0x0C02, 0x0C04)[: 4 if message_channel else 3]
    assert response.blocks[0x0C01] == struct.pack("<III", 0x80004, 0x0B, 8)
    assert response.blocks[0x0C02] == bytes(16)
    count = len(channels)
    network = struct.pack(f"<HH{count}H", 1003, count, *channels)
    assert response.blocks[0x0C03] == network + bytes(len(network) % 4)
    if message_channel:
        assert response.blocks[0x0C04] == struct.pack("<H", mcs.MESSAGE_CHANNEL)


def test_rdesktop_finds_the_blocks_behind_21_bytes() -> None:
    for size in (20, 200):
        response = gcc.conference_create_response(bytes(size))
        assert len(response) == 21 + len(per.write_length(size)) + size


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "020100"), (1, "020101"), (127, "02017f"), (128, "02020080"), (65528, "020300fff8")],
)
def test_ber_integers(value: int, encoded: str) -> None:
    assert ber.write_integer(value) == bytes.fromhex(encoded)
    assert ber.read_integer(reader(bytes.fromhex(encoded)), "test") == value


@pytest.mark.parametrize(
    "encoded", ["0200", "02050000000001", "0280", "028400000001ff", "0282000", "0401ff", "02"]
)
def test_broken_ber_integers(encoded: str) -> None:
    with pytest.raises(RemoteError):
        ber.read_integer(reader(bytes.fromhex(encoded.ljust(len(encoded) + len(encoded) % 2, "0"))), "test")


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65535])
def test_ber_values_of_any_length(length: int) -> None:
    value = reader(ber.write(ber.Tag.OCTET_STRING, bytes(length)))
    assert len(ber.read(value, ber.Tag.OCTET_STRING, "test").rest()) == length
    value.end()


@pytest.mark.parametrize("length", [0, 127, 128, per.MAX_LENGTH])
def test_per_lengths(length: int) -> None:
    value = reader(per.write_length(length))
    assert per.read_length(value) == length
    value.end()
