"""MCS PDUs, T.125 section 7: those of the connection in BER, those of the domain in aligned PER."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from sidecar.rdp import ber, per, x224
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.wire import Reader

SERVER_CHANNEL = 1002
"""The server's own user channel; the pduSource and initiator of all that it sends."""

IO_CHANNEL = 1003
"""Where the share's PDUs go."""

FIRST_STATIC_CHANNEL = 1004
"""The first of the client's static virtual channels; the others follow in the order of its list."""

MAX_STATIC_CHANNELS = 31
"""MS-RDPBCGR 2.2.1.3.4."""

MESSAGE_CHANNEL = FIRST_STATIC_CHANNEL + MAX_STATIC_CHANNELS
"""Where auto-detect PDUs go, for clients that want one."""

USER_CHANNEL = MESSAGE_CHANNEL + 1
"""The client's user channel, the same for every client, so that they can be sent the same bytes."""

MAX_DATA = per.MAX_LENGTH
"""Bytes of user data in one PDU."""

_BASE = 1001
_PRIORITY_AND_SEGMENTATION = 0x70

_CONNECT_INITIAL = 101
_CONNECT_RESPONSE = 102

_MAX_CHANNELS = MAX_STATIC_CHANNELS + 3
_MAX_PDU = 65528

_ATTACH_USER_CONFIRM = struct.Struct(">BBH")
_JOIN_CONFIRM = struct.Struct(">BBHHH")
_INDICATION = struct.Struct(">BxH3sBHHB")


class DomainPdu(IntEnum):
    """The DomainMCSPDUs that are in use, by their choice index."""

    ERECT_DOMAIN_REQUEST = 1
    DISCONNECT_PROVIDER_ULTIMATUM = 8
    ATTACH_USER_REQUEST = 10
    ATTACH_USER_CONFIRM = 11
    CHANNEL_JOIN_REQUEST = 14
    CHANNEL_JOIN_CONFIRM = 15
    SEND_DATA_REQUEST = 25
    SEND_DATA_INDICATION = 26


class DisconnectReason(IntEnum):
    """Reason of T.125."""

    DOMAIN_DISCONNECTED = 0
    PROVIDER_INITIATED = 1
    TOKEN_PURGED = 2
    USER_REQUESTED = 3
    CHANNEL_PURGED = 4


@dataclass(frozen=True, slots=True)
class ErectDomainRequest:
    """The client's place in the domain: of no interest."""


@dataclass(frozen=True, slots=True)
class AttachUserRequest:
    """The client wants its user channel."""


@dataclass(frozen=True, slots=True)
class ChannelJoinRequest:
    """The client wants to use a channel."""

    initiator: int
    channel: int


@dataclass(frozen=True, slots=True)
class SendDataRequest:
    """Data on a channel."""

    initiator: int
    channel: int
    data: Reader


@dataclass(frozen=True, slots=True)
class DisconnectProviderUltimatum:
    """The client is about to go. `reason`: as on the wire, 0..7."""

    reason: int


ClientPdu: TypeAlias = (
    ErectDomainRequest
    | AttachUserRequest
    | ChannelJoinRequest
    | SendDataRequest
    | DisconnectProviderUltimatum
)


def parse_connect_initial(reader: Reader) -> bytes:
    """The user data of an MCS Connect Initial PDU: a GCC conference create request.

    The domain parameters are what every client says, and of no interest.
    """
    body = ber.read_application(reader, _CONNECT_INITIAL, "MCS Connect Initial")
    reader.end()
    ber.read(body, ber.Tag.OCTET_STRING, "callingDomainSelector")
    ber.read(body, ber.Tag.OCTET_STRING, "calledDomainSelector")
    ber.read(body, ber.Tag.BOOLEAN, "upwardFlag")
    for name in ("targetParameters", "minimumParameters", "maximumParameters"):
        parameters = ber.read(body, ber.Tag.SEQUENCE, name)
        for _ in range(8):
            ber.read_integer(parameters, name)
        parameters.end()
    user_data = ber.read(body, ber.Tag.OCTET_STRING, "userData").rest()
    body.end()
    return user_data


def connect_response(user_data: bytes) -> bytes:
    """The whole PDU that accepts the connection. `user_data`: a GCC conference create response."""
    parameters = b"".join(map(ber.write_integer, (_MAX_CHANNELS, 3, 0, 1, 0, 1, _MAX_PDU, 2)))
    body = (
        ber.write(ber.Tag.ENUMERATED, b"\0")
        + ber.write_integer(0)
        + ber.write(ber.Tag.SEQUENCE, parameters)
        + ber.write(ber.Tag.OCTET_STRING, user_data)
    )
    return x224.data_pdu(ber.write_application(_CONNECT_RESPONSE, body))


def parse_domain_pdu(reader: Reader) -> ClientPdu:
    """One of the PDUs that a client sends. Raises RemoteError: UNEXPECTED where it is another one."""
    first = reader.u8()
    pdu: ClientPdu
    match first >> 2:
        case DomainPdu.SEND_DATA_REQUEST:
            initiator, channel = reader.u16_be() + _BASE, reader.u16_be()
            reader.skip(1)
            return SendDataRequest(initiator, channel, _last(reader))
        case DomainPdu.CHANNEL_JOIN_REQUEST:
            pdu = ChannelJoinRequest(reader.u16_be() + _BASE, reader.u16_be())
        case DomainPdu.ATTACH_USER_REQUEST:
            pdu = AttachUserRequest()
        case DomainPdu.ERECT_DOMAIN_REQUEST:
            # rdesktop's integers have no length in front
            reader.skip(reader.remaining)
            pdu = ErectDomainRequest()
        case DomainPdu.DISCONNECT_PROVIDER_ULTIMATUM:
            pdu = DisconnectProviderUltimatum((first & 0x03) << 1 | reader.u8() >> 7)
        case other:
            raise RemoteError(Reason.UNEXPECTED, f"The MCS PDU {other} is none that a client sends.")
    reader.end()
    return pdu


def attach_user_confirm() -> bytes:
    """The whole PDU that gives the client USER_CHANNEL."""
    first = DomainPdu.ATTACH_USER_CONFIRM << 2 | 0x02
    return x224.data_pdu(_ATTACH_USER_CONFIRM.pack(first, 0, USER_CHANNEL - _BASE))


def channel_join_confirm(channel: int) -> bytes:
    """The whole PDU that lets the client use a channel."""
    first = DomainPdu.CHANNEL_JOIN_CONFIRM << 2 | 0x02
    return x224.data_pdu(_JOIN_CONFIRM.pack(first, 0, USER_CHANNEL - _BASE, channel, channel))


def send_data_indication_header(channel: int, length: int) -> bytes:
    """All headers in front of `length` bytes (0..MAX_DATA) that go to the client on this channel."""
    determinant = per.write_length(length)
    return (
        _INDICATION.pack(
            3,
            _INDICATION.size + len(determinant) + length,
            x224.DATA,
            DomainPdu.SEND_DATA_INDICATION << 2,
            SERVER_CHANNEL - _BASE,
            channel,
            _PRIORITY_AND_SEGMENTATION,
        )
        + determinant
    )


def send_data_indication(channel: int, data: bytes) -> bytes:
    """The whole PDU for up to MAX_DATA bytes to the client."""
    return send_data_indication_header(channel, len(data)) + data


def disconnect_provider_ultimatum(reason: DisconnectReason) -> bytes:
    """The whole PDU after which the connection is closed."""
    first = DomainPdu.DISCONNECT_PROVIDER_ULTIMATUM << 2 | reason >> 1
    return x224.data_pdu(bytes((first, (reason & 1) << 7)))


def _last(reader: Reader) -> Reader:
    data = reader.part(per.read_length(reader), "MCS user data")
    reader.end()
    return data
