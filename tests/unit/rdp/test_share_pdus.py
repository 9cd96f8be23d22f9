"""What goes over the I/O channel once a share is there: headers, bodies, errors."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_examples import COOPERATE, SYNCHRONIZE

from sidecar.guest import Led
from sidecar.rdp import share_pdus
from sidecar.rdp.error_info import ErrorInfo, error_info_of, set_error_info
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import FrameAcknowledged, RefreshRect, SuppressOutput
from sidecar.rdp.share_control import ShareControlPduType, deactivate_all, parse_share_control
from sidecar.rdp.share_data import MAX_PAYLOAD, PduType2, ShareDataPdu, parse_share_data, share_data
from sidecar.rdp.share_pdus import ControlAction
from sidecar.rdp.wire import Reader
from sidecar.screen.rectangle import Rectangle
from sidecar.session.state import EndReason

FLOW_PDU = bytes.fromhex("00 80 00 41 00 00 ea 03")


def reader(data: bytes) -> Reader:
    return Reader(data, "test")


def read_data(pdu: bytes) -> ShareDataPdu:
    (parsed,) = parse_share_control(reader(pdu))
    assert parsed.pdu_type == ShareControlPduType.DATA
    return parse_share_data(parsed.body)


def refusal(data: bytes, parse: object) -> Reason:
    assert callable(parse)
    with pytest.raises(RemoteError) as caught:
        parse(reader(data))
    return caught.value.reason


# Headers


def test_the_synchronize_of_the_specification_is_read() -> None:
    data = read_data(SYNCHRONIZE)
    assert (data.share_id, data.pdu_type2) == (0x000103EA, PduType2.SYNCHRONIZE)
    assert share_pdus.parse_synchronize(data.body) == 1002


def test_the_cooperate_of_the_specification_is_read() -> None:
    data = read_data(COOPERATE)
    assert data.pdu_type2 == PduType2.CONTROL
    assert share_pdus.parse_control(data.body) == ControlAction.COOPERATE


def test_what_is_sent_is_what_the_specification_has_but_for_the_source() -> None:
    sent = share_data(0x000103EA, PduType2.SYNCHRONIZE, share_pdus.synchronize(1002))
    assert sent == SYNCHRONIZE[:4] + b"\xea\x03" + SYNCHRONIZE[6:]
    sent = share_data(0x000103EA, PduType2.CONTROL, share_pdus.cooperate())
    assert sent == COOPERATE[:4] + b"\xea\x03" + COOPERATE[6:]


def test_several_pdus_in_one_come_apart_and_flow_pdus_are_left_out() -> None:
    data = FLOW_PDU + SYNCHRONIZE + FLOW_PDU + COOPERATE + FLOW_PDU
    parsed = [(pdu.pdu_type, pdu.source, pdu.body.remaining) for pdu in parse_share_control(reader(data))]
    assert parsed == [(7, 1007, 16), (7, 1007, 20)]


@pytest.mark.parametrize("cut", range(1, len(SYNCHRONIZE)))
def test_a_pdu_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(RemoteError) as caught:
        share_pdus.parse_synchronize(read_data(SYNCHRONIZE[:cut]).body)
    assert caught.value.reason is Reason.TRUNCATED


def test_the_last_pdu_may_say_that_it_is_longer_than_it_is_as_aardwolf_does() -> None:
    pdu = struct.pack("<H", len(SYNCHRONIZE) + 6) + SYNCHRONIZE[2:]
    assert share_pdus.parse_synchronize(read_data(pdu).body) == 1002


@pytest.mark.parametrize("length", range(6))
def test_a_pdu_that_is_shorter_than_its_header_is_refused(length: int) -> None:
    data = struct.pack("<H", length) + SYNCHRONIZE[2:]
    assert refusal(data, lambda each: list(parse_share_control(each))) is Reason.MALFORMED


def test_compressed_data_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        read_data(SYNCHRONIZE[:15] + b"\x21" + SYNCHRONIZE[16:])
    assert caught.value.reason is Reason.MALFORMED


def test_the_longest_payload_fits_one_mcs_pdu() -> None:
    assert len(share_data(1, PduType2.UPDATE, bytes(MAX_PAYLOAD))) == 0x3FFF


def test_deactivate_all_is_read_by_a_client() -> None:
    assert server.parse_share_pdus(deactivate_all(0x103EA)) == [server.DeactivateAll(0x103EA)]


@given(st.binary(max_size=80))
def test_any_bytes_are_share_pdus_or_an_error(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        for pdu in parse_share_control(reader(data)):
            parse_share_data(pdu.body)


# Bodies


PARSERS = [
    share_pdus.parse_synchronize,
    share_pdus.parse_control,
    share_pdus.parse_refresh_rect,
    share_pdus.parse_suppress_output,
    share_pdus.parse_frame_acknowledge,
]


@pytest.mark.parametrize(
    ("body", "areas"),
    [
        ("00 00 00 00", ()),
        ("01 00 00 00 0a 00 14 00 1d 00 3b 00", (Rectangle(10, 20, 20, 40),)),
        ("02 00 00 00 00 00 00 00 00 00 00 00 05 00 05 00 06 00 04 00", (Rectangle(0, 0, 1, 1),)),
    ],
)
def test_refresh_rect_with_the_last_pixels_inside_and_without_empty_areas(
    body: str, areas: tuple[Rectangle, ...]
) -> None:
    assert share_pdus.parse_refresh_rect(reader(bytes.fromhex(body))) == RefreshRect(areas)


@pytest.mark.parametrize(
    ("body", "allowed"),
    [("00 00 00 00", False), ("01 00 00 00 00 00 00 00 ff 03 ff 02", True), ("01 00 00 00", True)],
)
def test_suppress_output_with_and_without_an_area(body: str, allowed: bool) -> None:
    assert share_pdus.parse_suppress_output(reader(bytes.fromhex(body))) == SuppressOutput(allowed)


def test_frame_acknowledge() -> None:
    assert share_pdus.parse_frame_acknowledge(reader(b"\x04\x03\x02\x01")) == FrameAcknowledged(0x01020304)


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (share_pdus.parse_synchronize, "01 00 ea 03"),
        (share_pdus.parse_control, "01 00 00 00 00 00 00 00"),
        (share_pdus.parse_refresh_rect, "01 00 00 00 00 00 00 00 05 00 05 00"),
        (share_pdus.parse_suppress_output, "01 00 00 00 00 00 00 00 05 00 05 00"),
        (share_pdus.parse_frame_acknowledge, "01 00 00 00"),
    ],
)
def test_bodies_that_end_too_early_or_too_late_are_refused(parse: object, body: str) -> None:
    whole = bytes.fromhex(body)
    assert refusal(whole + b"\0", parse) is Reason.TRAILING
    for cut in range(len(whole)):
        # Suppress Output may end behind its padding
        if not (parse is share_pdus.parse_suppress_output and cut == 4):
            assert refusal(whole[:cut], parse) is Reason.TRUNCATED


def test_a_synchronize_of_another_type_is_refused() -> None:
    assert refusal(b"\x02\x00\xea\x03", share_pdus.parse_synchronize) is Reason.MALFORMED


@given(st.sampled_from(PARSERS), st.binary(max_size=40))
def test_any_bytes_are_a_body_or_an_error(parse: object, data: bytes) -> None:
    assert callable(parse)
    with contextlib.suppress(RemoteError):
        parse(reader(data))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (share_pdus.granted_control(1007), "02 00 ef 03 ea 03 00 00"),
        (share_pdus.font_map(), "00 00 00 00 03 00 04 00"),
        (share_pdus.shutdown_denied(), ""),
        (share_pdus.keyboard_indicators(Led.NUM | Led.CAPS), "00 00 06 00"),
        (share_pdus.keyboard_indicators(Led.SCROLL, kana=True), "00 00 09 00"),
        (set_error_info(ErrorInfo.SERVER_DENIED_CONNECTION), "07 00 00 00"),
    ],
    ids=lambda each: each[:24] if isinstance(each, str) else "",
)
def test_bodies_that_are_sent(body: bytes, expected: str) -> None:
    assert body == bytes.fromhex(expected)


def test_a_client_s_own_data_pdus_are_read_by_type() -> None:
    assert read_data(client.share_data(1036, 7, 41, b"1234")).pdu_type2 == PduType2.SET_KEYBOARD_INDICATORS


# Errors


@pytest.mark.parametrize("reason", EndReason, ids=lambda reason: reason.code)
def test_every_end_has_an_error_or_none_on_purpose(reason: EndReason) -> None:
    error = error_info_of(reason)
    assert (error is None) == (reason in (EndReason.CLOSED, EndReason.TOO_SLOW, EndReason.GONE))
    assert error is not ErrorInfo.NONE


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (EndReason.DISCONNECTED, 0x1),
        (EndReason.REPLACED, 0x5),
        (EndReason.FULL, 0x7),
        (EndReason.LOGIN_FAILED, 0x9),
        (EndReason.SHUTDOWN, 0x19),
    ],
)
def test_what_users_read_of_an_end(reason: EndReason, error: int) -> None:
    assert error_info_of(reason) == error
