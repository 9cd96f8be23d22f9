"""Network characteristics detection."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp import auto_detect
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.events import BandwidthMeasured, RoundTripMeasured
from sidecar.rdp.wire import Reader


@pytest.mark.parametrize(
    ("request_pdu", "expected"),
    [
        (auto_detect.round_trip_request(0x102), "06 00 02 01 01 00"),
        (auto_detect.round_trip_request(1, connect_time=True), "06 00 01 00 01 10"),
        (auto_detect.bandwidth_start(2), "06 00 02 00 14 00"),
        (auto_detect.bandwidth_start(2, connect_time=True), "06 00 02 00 14 10"),
        (auto_detect.bandwidth_payload(3, b"abc"), "08 00 03 00 02 00 03 00 61 62 63"),
        (auto_detect.bandwidth_stop(4), "06 00 04 00 29 04"),
        (auto_detect.bandwidth_stop(4, connect_time=True), "08 00 04 00 2b 00 00 00"),
        (auto_detect.bandwidth_stop(4, connect_time=True, payload=b"x"), "08 00 04 00 2b 00 01 00 78"),
        (
            auto_detect.characteristics_result(5, average_rtt=3, base_rtt=1),
            "0e 00 05 00 40 08 01 00 00 00 03 00 00 00",
        ),
        (
            auto_detect.characteristics_result(5, average_rtt=3, bandwidth=2),
            "0e 00 05 00 80 08 02 00 00 00 03 00 00 00",
        ),
        (
            auto_detect.characteristics_result(5, average_rtt=3, base_rtt=1, bandwidth=2),
            "12 00 05 00 c0 08 01 00 00 00 02 00 00 00 03 00 00 00",
        ),
    ],
)
def test_requests(request_pdu: bytes, expected: str) -> None:
    assert request_pdu == bytes.fromhex(expected)


def test_a_result_that_says_nothing_and_a_payload_that_fits_nowhere_are_errors() -> None:
    with pytest.raises(LocalError):
        auto_detect.characteristics_result(1, average_rtt=3)
    with pytest.raises(LocalError):
        auto_detect.bandwidth_payload(1, bytes(auto_detect.MAX_PAYLOAD + 1))


@pytest.mark.parametrize(
    ("response", "event"),
    [
        ("06 01 02 01 00 00", RoundTripMeasured(0x102)),
        ("0e 01 01 00 03 00 e8 03 00 00 40 42 0f 00", BandwidthMeasured(1000000, 1000)),
        ("0e 01 01 00 0b 00 e8 03 00 00 40 42 0f 00", BandwidthMeasured(1000000, 1000)),
        ("0e 01 01 00 18 00 e8 03 00 00 40 42 0f 00", None),
        ("06 01 01 00 77 77", None),
    ],
)
def test_responses(response: str, event: RoundTripMeasured | BandwidthMeasured | None) -> None:
    assert auto_detect.parse_response(Reader(bytes.fromhex(response), "test")) == event


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("06", Reason.TRUNCATED),
        ("06 01 02 01 00", Reason.MALFORMED),
        ("05 01 02 01 00", Reason.TRUNCATED),
        ("06 00 02 01 00 00", Reason.MALFORMED),
        ("07 01 02 01 00 00 00", Reason.TRAILING),
        ("0a 01 01 00 03 00 e8 03 00 00", Reason.TRUNCATED),
        ("0f 01 01 00 0b 00 e8 03 00 00 40 42 0f 00 00", Reason.TRAILING),
    ],
)
def test_responses_that_are_not_what_they_say_are_refused(response: str, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        auto_detect.parse_response(Reader(bytes.fromhex(response), "test"))
    assert caught.value.reason is reason


@given(st.binary(max_size=20))
def test_any_bytes_are_a_response_or_an_error(data: bytes) -> None:
    for each in (data, bytes((len(data) + 2, 1)) + data):
        with contextlib.suppress(RemoteError):
            auto_detect.parse_response(Reader(each, "test"))
