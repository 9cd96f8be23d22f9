"""The PDUs of an RDP server taken apart with struct alone; what must not be so is `Broken`.

Knows nothing of the product: it is what the product is tested against (MS-RDPBCGR, T.125, T.124).
"""

import struct
from dataclasses import dataclass

IO_CHANNEL = 1003

DEMAND_ACTIVE, DEACTIVATE_ALL, DATA = 1, 6, 7
"""Types of share control PDUs."""

CONTROL, SYNCHRONIZE, SHUTDOWN_DENIED, FONT_MAP, SET_ERROR_INFO = 20, 31, 37, 40, 47
"""Types of share data PDUs."""

GRANTED_CONTROL, COOPERATE = 2, 4
"""Actions of the control PDU."""

LICENCE_PACKET, AUTO_DETECT_REQUEST = 0x80, 0x1000
"""Flags of TS_SECURITY_HEADER."""

FIRST_CHUNK, LAST_CHUNK = 0x1, 0x2
"""Flags of CHANNEL_PDU_HEADER."""


class Broken(Exception):
    """The server has sent what it must not send."""


def require(condition: object, text: str) -> None:
    """Raises Broken where the condition does not hold."""
    if not condition:
        raise Broken(text)


@dataclass(frozen=True)
class ConnectionConfirm:
    kind: int
    """2: response, 3: failure"""
    flags: int
    value: int
    """the protocol or the failure code"""


@dataclass(frozen=True)
class ConnectResponse:
    blocks: dict[int, bytes]
    order: tuple[int, ...]


@dataclass(frozen=True)
class AttachUserConfirm:
    user: int


@dataclass(frozen=True)
class JoinConfirm:
    user: int
    channel: int


@dataclass(frozen=True)
class Ultimatum:
    reason: int


@dataclass(frozen=True)
class Licence:
    error_code: int
    state_transition: int


@dataclass(frozen=True)
class DemandActive:
    share_id: int
    sets: dict[int, bytes]


@dataclass(frozen=True)
class DeactivateAll:
    share_id: int


@dataclass(frozen=True)
class ShareData:
    kind: int
    body: bytes


@dataclass(frozen=True)
class FastPathUpdate:
    code: int
    data: bytes


@dataclass(frozen=True)
class ChannelData:
    """A whole message of a static virtual channel."""

    channel: str
    data: bytes
    chunks: int


@dataclass(frozen=True)
class AutoDetect:
    """An auto-detect request, without its header: sequence number, type and what follows."""

    sequence: int
    kind: int
    body: bytes


@dataclass(frozen=True)
class AuthorizationResult:
    value: int


ServerPdu = (
    ConnectionConfirm
    | ConnectResponse
    | AttachUserConfirm
    | JoinConfirm
    | Ultimatum
    | Licence
    | DemandActive
    | DeactivateAll
    | ShareData
    | FastPathUpdate
    | ChannelData
    | AutoDetect
    | AuthorizationResult
)


def parse_connection_confirm(tpdu: bytes) -> ConnectionConfirm:
    require(len(tpdu) == 15 and tpdu[0] == 14 and tpdu[1] == 0xD0, f"no connection confirm: {tpdu.hex()}")
    kind, flags, length, value = struct.unpack_from("<BBHI", tpdu, 7)
    require(kind in (2, 3) and length == 8, f"no negotiation response: {tpdu.hex()}")
    return ConnectionConfirm(kind, flags, value)


def read_ber(data: bytes, at: int, tag: bytes) -> tuple[bytes, int]:
    """A value's contents and where it ends."""
    require(data.startswith(tag, at), f"BER tag {tag.hex()} expected")
    at += len(tag)
    length, at = data[at], at + 1
    if length & 0x80:
        octets = length & 0x7F
        length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
    require(at + length <= len(data), "a BER value is cut off")
    return data[at : at + length], at + length


def read_per_length(data: bytes, at: int) -> tuple[int, int]:
    if data[at] < 0x80:
        return data[at], at + 1
    require(data[at] < 0xC0, "a PER length is fragmented")
    return (data[at] & 0x3F) << 8 | data[at + 1], at + 2


def parse_connect_response(pdu: bytes) -> ConnectResponse:
    body, end = read_ber(pdu, 0, b"\x7f\x66")
    require(end == len(pdu), "bytes behind the connect response")
    result, at = read_ber(body, 0, b"\x0a")
    require(result == b"\0", "the connection is refused")
    _, at = read_ber(body, at, b"\x02")
    _, at = read_ber(body, at, b"\x30")
    gcc, at = read_ber(body, at, b"\x04")
    require(at == len(body), "bytes behind the user data")
    # rdesktop goes past 21 bytes without a look
    require(gcc[:7] == bytes.fromhex("0005 0014 7c00 01") and gcc[17:21] == b"McDn", "no conference response")
    length, at = read_per_length(gcc, 21)
    require(at + length == len(gcc), "the conference response has the wrong length")
    blocks, order = {}, []
    while at < len(gcc):
        kind, length = struct.unpack_from("<HH", gcc, at)
        require(length >= 4 and at + length <= len(gcc), "a block is cut off")
        blocks[kind] = gcc[at + 4 : at + length]
        order.append(kind)
        at += length
    return ConnectResponse(blocks, tuple(order))


def parse_licence(data: bytes) -> Licence:
    flags, _, kind, _, size = struct.unpack_from("<HHBBH", data)
    require(flags & LICENCE_PACKET and kind == 0xFF and size == len(data) - 4 == 16, "no licence error alert")
    error_code, transition = struct.unpack_from("<II", data, 8)
    return Licence(error_code, transition)


def parse_capability_sets(data: bytes) -> dict[int, bytes]:
    count = struct.unpack_from("<H", data)[0]
    sets, at = {}, 4
    for _ in range(count):
        kind, length = struct.unpack_from("<HH", data, at)
        require(length >= 4 and at + length <= len(data), "a capability set is cut off")
        sets[kind] = data[at + 4 : at + length]
        at += length
    require(at == len(data), "bytes behind the capability sets")
    return sets


def parse_share_pdus(data: bytes) -> list[DemandActive | DeactivateAll | ShareData]:
    """The share control PDUs of one MCS send data indication."""
    pdus: list[DemandActive | DeactivateAll | ShareData] = []
    while data:
        length, kind, _ = struct.unpack_from("<HHH", data)
        require(6 <= length <= len(data), "a share control PDU has the wrong length")
        body, data = data[6:length], data[length:]
        kind &= 0x0F
        if kind == DEMAND_ACTIVE:
            share_id, source, combined = struct.unpack_from("<IHH", body)
            require(len(body) == 8 + source + combined + 4, "Demand Active has the wrong length")
            pdus.append(DemandActive(share_id, parse_capability_sets(body[8 + source : -4])))
        elif kind == DEACTIVATE_ALL:
            pdus.append(DeactivateAll(struct.unpack_from("<I", body)[0]))
        elif kind == DATA:
            _, _, _, uncompressed, kind2, compression, _ = struct.unpack_from("<IBBHBBH", body)
            require(not compression, "a share data PDU is compressed")
            # how much of the header the length counts is a matter of opinion
            require(uncompressed >= len(body) - 12, "a share data PDU has the wrong length")
            pdus.append(ShareData(kind2, body[12:]))
        else:
            raise Broken(f"share control PDU {kind}")
    return pdus
