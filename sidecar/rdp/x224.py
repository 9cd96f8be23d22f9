"""X.224 TPDUs: connection request and confirm with RDP's negotiation (MS-RDPBCGR 2.2.1.1, 2.2.1.2), data."""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.tpkt import HEADER
from sidecar.rdp.wire import Reader

DATA = b"\x02\xf0\x80"
"""The header of a class 0 data TPDU (X.224 section 13.7), between the TPKT header and an MCS PDU."""

_COOKIE = b"Cookie: mstshash="
_LINE_END = b"\r\n"
_FIRST_PRINTABLE = 0x20
_NEGOTIATION_LENGTH = 8
_CORRELATION_LENGTH = 36
_SOURCE_REFERENCE = 0x1234

_CONFIRM = struct.Struct(">BxHBBHHB")
_NEGOTIATION = struct.Struct("<BBHI")


class TpduCode(IntEnum):
    """The TPDUs of class 0 that are in use."""

    DISCONNECT_REQUEST = 0x80
    CONNECTION_CONFIRM = 0xD0
    CONNECTION_REQUEST = 0xE0
    DATA = 0xF0


class NegotiationType(IntEnum):
    """Types of the structures behind a connection request or confirm."""

    RDP_NEG_REQ = 1
    RDP_NEG_RSP = 2
    RDP_NEG_FAILURE = 3
    RDP_NEG_CORRELATION_INFO = 6


class RequestFlags(IntFlag):
    """flags of RDP_NEG_REQ (MS-RDPBCGR 2.2.1.1.1)."""

    RESTRICTED_ADMIN_MODE_REQUIRED = 0x01
    REDIRECTED_AUTHENTICATION_MODE_REQUIRED = 0x02
    CORRELATION_INFO_PRESENT = 0x08


NO_REQUEST_FLAGS = RequestFlags(0)


class ResponseFlags(IntFlag):
    """flags of RDP_NEG_RSP (MS-RDPBCGR 2.2.1.2.1)."""

    EXTENDED_CLIENT_DATA_SUPPORTED = 0x01
    DYNVC_GFX_PROTOCOL_SUPPORTED = 0x02


class Protocol(IntFlag):
    """requestedProtocols and selectedProtocol. RDP, which is no bit, is Standard RDP Security."""

    RDP = 0x00
    SSL = 0x01
    HYBRID = 0x02
    RDSTLS = 0x04
    HYBRID_EX = 0x08
    RDSAAD = 0x10


class FailureCode(IntEnum):
    """failureCode of RDP_NEG_FAILURE (MS-RDPBCGR 2.2.1.2.2)."""

    SSL_REQUIRED_BY_SERVER = 1
    SSL_NOT_ALLOWED_BY_SERVER = 2
    SSL_CERT_NOT_ON_SERVER = 3
    INCONSISTENT_FLAGS = 4
    HYBRID_REQUIRED_BY_SERVER = 5
    SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER = 6


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """The first PDU of a client."""

    routing_token: bytes = b""
    """A line for a load balancer, without its end; empty where there is none or a cookie."""
    cookie: str = ""
    """The beginning of a user name (mstshash), as somebody claims."""
    protocols: Protocol | None = None
    """None: the client is too old to negotiate."""
    flags: RequestFlags = NO_REQUEST_FLAGS
    correlation_id: bytes = b""
    """16 bytes that the client calls this connection by, or none."""


def parse_connection_request(data: bytes) -> ConnectionRequest:
    """Takes what stands behind the first TPKT header apart.

    Raises RemoteError: UNEXPECTED where it is another TPDU.
    """
    reader = Reader(data, "X.224 Connection Request")
    if reader.u8() != len(data) - 1:
        raise reader.malformed("its length indicator is wrong")
    if reader.u8() & 0xF0 != TpduCode.CONNECTION_REQUEST:
        raise RemoteError(Reason.UNEXPECTED, "The first PDU is no X.224 Connection Request.")
    reader.skip(5)
    variable = reader.rest()
    line = b""
    # a negotiation request begins with 1; what comes behind it may hold any bytes, a line end too
    if variable and variable[0] >= _FIRST_PRINTABLE:
        line, end, variable = variable.partition(_LINE_END)
        if not end:
            raise reader.malformed("its cookie or routing token has no end")
    cookie = line[len(_COOKIE) :].decode("ascii", "replace") if line.startswith(_COOKIE) else ""
    token = line if not line.startswith(_COOKIE) else b""
    protocols, flags, correlation_id = _parse_negotiation(variable)
    return ConnectionRequest(token, cookie, protocols, flags, correlation_id)


def connection_confirm(flags: ResponseFlags, selected: Protocol) -> bytes:
    """The whole PDU that goes on with `selected`."""
    return _confirm(NegotiationType.RDP_NEG_RSP, flags, selected)


def negotiation_failure(code: FailureCode) -> bytes:
    """The whole PDU after which the connection is closed."""
    return _confirm(NegotiationType.RDP_NEG_FAILURE, 0, code)


def is_disconnect_request(data: bytes) -> bool:
    """Whether this is how rdesktop says goodbye (X.224 section 13.5)."""
    return len(data) >= 2 and data[1] & 0xF0 == TpduCode.DISCONNECT_REQUEST


def parse_data(data: bytes, what: str) -> Reader:
    """What a data TPDU carries. `what`: for the errors' text. Raises RemoteError (UNEXPECTED)."""
    if data[: len(DATA)] != DATA:
        raise RemoteError(Reason.UNEXPECTED, f"An X.224 Data TPDU with {what} was expected.")
    return Reader(memoryview(data)[len(DATA) :], what)


def data_pdu(payload: bytes) -> bytes:
    """The whole PDU for an MCS PDU of up to 65528 bytes."""
    length = HEADER + len(DATA) + len(payload)
    return struct.pack(">BxH", 3, length) + DATA + payload


def _parse_negotiation(data: bytes) -> tuple[Protocol | None, RequestFlags, bytes]:
    if not data:
        return None, NO_REQUEST_FLAGS, b""
    reader = Reader(data, "RDP Negotiation Request")
    kind, flags, length = reader.u8(), RequestFlags(reader.u8()), reader.u16()
    if kind != NegotiationType.RDP_NEG_REQ or length != _NEGOTIATION_LENGTH:
        raise reader.malformed(f"its type is {kind} and its length {length}")
    protocols = Protocol(reader.u32())
    correlation_id = b""
    if flags & RequestFlags.CORRELATION_INFO_PRESENT:
        kind, _, length = reader.u8(), reader.u8(), reader.u16()
        if kind != NegotiationType.RDP_NEG_CORRELATION_INFO or length != _CORRELATION_LENGTH:
            raise reader.malformed(f"correlation info has the type {kind} and the length {length}")
        correlation_id = reader.take(16)
        reader.skip(16)
    reader.end()
    return protocols, flags, correlation_id


def _confirm(kind: NegotiationType, flags: int, value: int) -> bytes:
    length = _CONFIRM.size + _NEGOTIATION_LENGTH
    return _CONFIRM.pack(
        3, length, length - HEADER - 1, TpduCode.CONNECTION_CONFIRM, 0, _SOURCE_REFERENCE, 0
    ) + _NEGOTIATION.pack(kind, flags, _NEGOTIATION_LENGTH, value)
