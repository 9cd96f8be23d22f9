"""Network characteristics detection: requests as bytes, responses taken apart (MS-RDPBCGR 2.2.14).

The security header with SEC_AUTODETECT_REQ or SEC_AUTODETECT_RSP is around these, on the message channel.
"""

import struct
from enum import IntEnum

from sidecar.rdp.errors import LocalError
from sidecar.rdp.events import BandwidthMeasured, RoundTripMeasured
from sidecar.rdp.wire import Reader

MAX_PAYLOAD = 0x3F00
"""Bytes of a bandwidth measure payload, at most: it must fit into one MCS PDU."""

_HEADER = struct.Struct("<BBHH")
_WITH_PAYLOAD = struct.Struct("<BBHHH")
_TYPE_ID_REQUEST = 0x00
_TYPE_ID_RESPONSE = 0x01
_VALUE_SIZE = 4


class RequestType(IntEnum):
    """requestType of what is sent; those with CONNECT_TIME are for the time before the licence."""

    RTT = 0x0001
    BANDWIDTH_PAYLOAD = 0x0002
    BANDWIDTH_START = 0x0014
    BANDWIDTH_STOP_CONNECT_TIME = 0x002B
    BANDWIDTH_STOP = 0x0429
    RTT_CONNECT_TIME = 0x1001
    BANDWIDTH_START_CONNECT_TIME = 0x1014
    RESULT_RTTS = 0x0840
    RESULT_BANDWIDTH_AND_RTT = 0x0880
    RESULT_ALL = 0x08C0


class ResponseType(IntEnum):
    """responseType of what the client sends."""

    RTT = 0x0000
    BANDWIDTH_CONNECT_TIME = 0x0003
    BANDWIDTH = 0x000B
    NETWORK_CHARACTERISTICS_SYNC = 0x0018


def round_trip_request(sequence: int, *, connect_time: bool = False) -> bytes:
    """RDP_RTT_REQUEST, 2.2.14.1.1. `sequence`: U16."""
    return _request(sequence, RequestType.RTT_CONNECT_TIME if connect_time else RequestType.RTT)


def bandwidth_start(sequence: int, *, connect_time: bool = False) -> bytes:
    """RDP_BW_START, 2.2.14.1.2: the client counts from now on."""
    if connect_time:
        return _request(sequence, RequestType.BANDWIDTH_START_CONNECT_TIME)
    return _request(sequence, RequestType.BANDWIDTH_START)


def bandwidth_payload(sequence: int, payload: bytes) -> bytes:
    """RDP_BW_PAYLOAD, 2.2.14.1.3: bytes to count, before there is anything else to send.

    `payload`: at most MAX_PAYLOAD bytes.
    """
    return _with_payload(sequence, RequestType.BANDWIDTH_PAYLOAD, payload)


def bandwidth_stop(sequence: int, *, connect_time: bool = False, payload: bytes = b"") -> bytes:
    """RDP_BW_STOP, 2.2.14.1.4: the client answers with what it has counted.

    `payload`: at connect time only, more bytes to count.
    """
    if connect_time:
        return _with_payload(sequence, RequestType.BANDWIDTH_STOP_CONNECT_TIME, payload)
    return _request(sequence, RequestType.BANDWIDTH_STOP)


def characteristics_result(
    sequence: int, *, average_rtt: int, base_rtt: int | None = None, bandwidth: int | None = None
) -> bytes:
    """RDP_NETCHAR_RESULT, 2.2.14.1.5: what has been found. Milliseconds, and kilobits per second; U32.

    Raises LocalError where neither `base_rtt` nor `bandwidth` is given.
    """
    if base_rtt is not None and bandwidth is not None:
        return _request(sequence, RequestType.RESULT_ALL, base_rtt, bandwidth, average_rtt)
    if base_rtt is not None:
        return _request(sequence, RequestType.RESULT_RTTS, base_rtt, average_rtt)
    if bandwidth is not None:
        return _request(sequence, RequestType.RESULT_BANDWIDTH_AND_RTT, bandwidth, average_rtt)
    raise LocalError("A result of network detection says more than the average round trip.")


def parse_response(reader: Reader) -> RoundTripMeasured | BandwidthMeasured | None:
    """What the client says; None: nothing of interest. `reader`: at what follows the security header."""
    length, type_id = reader.u8(), reader.u8()
    if length != reader.remaining + 2 or type_id != _TYPE_ID_RESPONSE:
        raise reader.malformed(f"type {type_id}, and {length} bytes as it says")
    sequence, response_type = reader.u16(), reader.u16()
    match response_type:
        case ResponseType.RTT:
            reader.end()
            return RoundTripMeasured(sequence)
        case ResponseType.BANDWIDTH | ResponseType.BANDWIDTH_CONNECT_TIME:
            milliseconds, byte_count = reader.u32(), reader.u32()
            reader.end()
            return BandwidthMeasured(byte_count, milliseconds)
        case _:
            return None


def _request(sequence: int, request_type: RequestType, *values: int) -> bytes:
    length = _HEADER.size + len(values) * _VALUE_SIZE
    return _HEADER.pack(length, _TYPE_ID_REQUEST, sequence, request_type) + struct.pack(
        f"<{len(values)}I", *values
    )


def _with_payload(sequence: int, request_type: RequestType, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise LocalError(f"A payload of {len(payload)} bytes does not fit one PDU.")
    header = _WITH_PAYLOAD.pack(_WITH_PAYLOAD.size, _TYPE_ID_REQUEST, sequence, request_type, len(payload))
    return header + payload
