"""X.224 connection request, confirm and negotiation."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client
from support.rdp_examples import CONNECTION_CONFIRM, CONNECTION_REQUEST

from sidecar.rdp import x224
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.x224 import ConnectionRequest, FailureCode, Protocol, RequestFlags, ResponseFlags

CORRELATION_ID = b"\x0d\x0a\x01\x0d\x0a" + bytes(range(11))
CORRELATION = b"\x06\x00\x24\x00" + CORRELATION_ID + bytes(16)


@pytest.mark.parametrize(
    ("pdu", "request_"),
    [
        (CONNECTION_REQUEST, ConnectionRequest(cookie="eltons", protocols=Protocol.RDP)),
        (client.connection_request(None), ConnectionRequest()),
        (client.connection_request(None, line=b"Cookie: mstshash=\r\n"), ConnectionRequest()),
        (client.connection_request(1), ConnectionRequest(protocols=Protocol.SSL)),
        (
            client.connection_request(0x0B, line=b"Cookie: msts=3640205228.15629.0000\r\n"),
            ConnectionRequest(
                routing_token=b"Cookie: msts=3640205228.15629.0000",
                protocols=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX,
            ),
        ),
        (
            client.connection_request(3, line=b"tsv://MS Terminal Services Plugin.1.Wortell\r\n", flags=1),
            ConnectionRequest(
                routing_token=b"tsv://MS Terminal Services Plugin.1.Wortell",
                protocols=Protocol.SSL | Protocol.HYBRID,
                flags=RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED,
            ),
        ),
        # a line end inside of the correlation id is none
        (
            client.connection_request(1, flags=8, more=CORRELATION),
            ConnectionRequest(
                protocols=Protocol.SSL,
                flags=RequestFlags.CORRELATION_INFO_PRESENT,
                correlation_id=CORRELATION_ID,
            ),
        ),
        # protocols that are not known yet
        (client.connection_request(0x8001), ConnectionRequest(protocols=Protocol(0x8001))),
    ],
)
def test_connection_requests(pdu: bytes, request_: ConnectionRequest) -> None:
    assert x224.parse_connection_request(pdu[4:]) == request_


@pytest.mark.parametrize(
    ("tpdu", "reason"),
    [
        (b"\x06\xe0\x00\x00\x00\x00", Reason.MALFORMED),
        (b"\x05\xe0\x00\x00\x00\x00", Reason.TRUNCATED),
        (b"\x02\xf0\x80", Reason.UNEXPECTED),
        (b"\x06\x80\x00\x00\x00\x00\x00", Reason.UNEXPECTED),
        (client.connection_request(1, line=b"Cookie: mstshash=x")[4:], Reason.MALFORMED),
        (client.connection_request(1, more=b"\0")[4:], Reason.TRAILING),
        (client.connection_request(1, more=CORRELATION)[4:], Reason.TRAILING),
        (client.connection_request(1, flags=8)[4:], Reason.TRUNCATED),
        (client.connection_request(1, flags=8, more=CORRELATION[:-1])[4:], Reason.TRUNCATED),
        (client.connection_request(1, flags=8, more=b"\x07" + CORRELATION[1:])[4:], Reason.MALFORMED),
        (client.connection_request(None, more=b"\x02\x00\x08\x00\x00\x00\x00\x00")[4:], Reason.MALFORMED),
        (client.connection_request(None, more=b"\x01\x00\x09\x00\x00\x00\x00\x00\x00")[4:], Reason.MALFORMED),
        (client.connection_request(None, more=b"\x01\x00\x08\x00\x00\x00")[4:], Reason.TRUNCATED),
    ],
)
def test_broken_connection_requests(tpdu: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        x224.parse_connection_request(tpdu)
    assert caught.value.reason is reason


@given(st.binary(max_size=80))
def test_any_tpdu_is_a_connection_request_or_an_error(data: bytes) -> None:
    for tpdu in (data, bytes((len(data) + 6, 0xE0)) + bytes(5) + data):
        with contextlib.suppress(RemoteError):
            x224.parse_connection_request(tpdu)


def test_the_confirm_is_that_of_the_specification() -> None:
    assert x224.connection_confirm(ResponseFlags(0), Protocol.RDP) == CONNECTION_CONFIRM


@pytest.mark.parametrize("code", list(FailureCode))
def test_a_failure_says_its_code(code: FailureCode) -> None:
    expected = bytes.fromhex("03 00 00 13 0e d0 00 00 12 34 00 03 00 08 00") + bytes((code, 0, 0, 0))
    assert x224.negotiation_failure(code) == expected


def test_data_is_taken_out_of_its_tpdu() -> None:
    assert x224.parse_data(b"\x02\xf0\x80\x28", "MCS PDU").rest() == b"\x28"
    assert x224.data_pdu(b"\x28") == bytes.fromhex("03 00 00 08 02 f0 80 28")


@pytest.mark.parametrize("tpdu", [b"", b"\x02\xf0", b"\x02\xf0\x00\x28", b"\x06\xe0\x00\x00\x00\x00\x00"])
def test_what_is_no_data_tpdu_is_unexpected(tpdu: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        x224.parse_data(tpdu, "MCS PDU")
    assert caught.value.reason is Reason.UNEXPECTED


def test_a_disconnect_request_is_known() -> None:
    assert x224.is_disconnect_request(client.disconnect_request()[4:])
    assert not x224.is_disconnect_request(b"\x02\xf0\x80")
    assert not x224.is_disconnect_request(b"\x06")
