"""Share control PDUs: what all slow-path PDUs begin with, and those that begin and end a share.

Source: MS-RDPBCGR 2.2.8.1.1.1.1 (header), 2.2.1.13 (Demand and Confirm Active), 2.2.3.1 (Deactivate All).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sidecar.rdp.mcs import SERVER_CHANNEL
from sidecar.rdp.wire import Reader

SOURCE_DESCRIPTOR = b"RDP\0"
"""What every server calls itself."""

_HEADER = struct.Struct("<HHH")
_FLOW_PDU = 0x8000
_FLOW_PDU_LENGTH = 8
_TYPE_MASK = 0x000F
_VERSION = 0x0010
_DEMAND_ACTIVE = struct.Struct("<IHH")
_SETS = struct.Struct("<HH")
_SESSION_ID = bytes(4)
_DEACTIVATE_ALL = struct.Struct("<IHB")


class ShareControlPduType(IntEnum):
    """The low four bits of pduType; the specification has PDUTYPE_ in front of the names."""

    DEMAND_ACTIVE = 0x1
    CONFIRM_ACTIVE = 0x3
    DEACTIVATE_ALL = 0x6
    DATA = 0x7
    SERVER_REDIR = 0xA


@dataclass(frozen=True, slots=True)
class ShareControlPdu:
    """One PDU that is no flow PDU."""

    pdu_type: int
    """A ShareControlPduType, or a number that no client sends."""
    source: int
    """The MCS channel of its sender."""
    body: Reader
    """All that follows the share control header."""


@dataclass(frozen=True, slots=True)
class ConfirmActive:
    """TS_CONFIRM_ACTIVE_PDU, 2.2.1.13.2.1: the client joins a share."""

    share_id: int
    sets: Reader
    """numberCapabilities, padding and the client's capability sets."""


def parse_share_control(reader: Reader) -> Iterator[ShareControlPdu]:
    """The PDUs in what came on the I/O channel, one after the other; flow PDUs are left out.

    The last one may say that it is longer than it is. Raises RemoteError while iterating, for a PDU that is
    shorter than its header.
    """
    while reader.remaining:
        length = reader.u16()
        if length == _FLOW_PDU:
            reader.skip(_FLOW_PDU_LENGTH - 2)
            continue
        if length < _HEADER.size:
            raise reader.malformed(f"a share control PDU of {length} bytes")
        # aardwolf says six bytes more than there are; who leaves some out is found out by what they are for
        rest = reader.part(min(length - 2, reader.remaining), "Share Control Header")
        pdu_type, source = rest.u16() & _TYPE_MASK, rest.u16()
        yield ShareControlPdu(pdu_type, source, rest)


def parse_confirm_active(body: Reader) -> ConfirmActive:
    """Takes the body of a Confirm Active PDU apart, up to its capability sets."""
    share_id = body.u32()
    body.skip(2)
    descriptor_length, sets_length = body.u16(), body.u16()
    body.skip(descriptor_length)
    sets = body.part(sets_length, "Confirm Active")
    body.end()
    return ConfirmActive(share_id, sets)


def share_control(pdu_type: ShareControlPduType, body: bytes) -> bytes:
    """A share control PDU of the server."""
    return _HEADER.pack(_HEADER.size + len(body), _VERSION | pdu_type, SERVER_CHANNEL) + body


def demand_active(share_id: int, sets: Sequence[bytes]) -> bytes:
    """The PDU by which a share begins. `sets`: the server's capability sets, whole."""
    combined = b"".join(sets)
    return share_control(
        ShareControlPduType.DEMAND_ACTIVE,
        _DEMAND_ACTIVE.pack(share_id, len(SOURCE_DESCRIPTOR), _SETS.size + len(combined))
        + SOURCE_DESCRIPTOR
        + _SETS.pack(len(sets), 0)
        + combined
        + _SESSION_ID,
    )


def deactivate_all(share_id: int) -> bytes:
    """The PDU by which a share ends; Demand Active follows."""
    return share_control(ShareControlPduType.DEACTIVATE_ALL, _DEACTIVATE_ALL.pack(share_id, 1, 0))
