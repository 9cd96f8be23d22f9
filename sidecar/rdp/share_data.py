"""Share data PDUs: header and types (MS-RDPBCGR 2.2.8.1.1.1.2)."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from sidecar.rdp.mcs import MAX_DATA
from sidecar.rdp.share_control import ShareControlPduType, share_control
from sidecar.rdp.wire import Reader

_HEADER = struct.Struct("<IxBHBBH")
_STREAM_LOW = 1
_UNCOUNTED = 14
"""Bytes in front of pduType2, which uncompressedLength leaves out (as in the examples of section 4)."""

_SHARE_CONTROL_HEADER = 6
_COMPRESSED = 0x20

MAX_PAYLOAD = MAX_DATA - _SHARE_CONTROL_HEADER - _HEADER.size
"""Bytes behind the header of one PDU, at most: clients put nothing together from several MCS PDUs."""


class PduType2(IntEnum):
    """pduType2; the names have PDUTYPE2_ in front in the specification."""

    UPDATE = 2
    CONTROL = 20
    POINTER = 27
    INPUT = 28
    SYNCHRONIZE = 31
    REFRESH_RECT = 33
    PLAY_SOUND = 34
    SUPPRESS_OUTPUT = 35
    SHUTDOWN_REQUEST = 36
    SHUTDOWN_DENIED = 37
    SAVE_SESSION_INFO = 38
    FONTLIST = 39
    FONTMAP = 40
    SET_KEYBOARD_INDICATORS = 41
    BITMAPCACHE_PERSISTENT_LIST = 43
    BITMAPCACHE_ERROR_PDU = 44
    SET_KEYBOARD_IME_STATUS = 45
    OFFSCRCACHE_ERROR_PDU = 46
    SET_ERROR_INFO_PDU = 47
    DRAWNINEGRID_ERROR_PDU = 48
    DRAWGDIPLUS_ERROR_PDU = 49
    ARC_STATUS_PDU = 50
    STATUS_INFO_PDU = 54
    MONITOR_LAYOUT_PDU = 55
    FRAME_ACKNOWLEDGE = 56


@dataclass(frozen=True, slots=True)
class ShareDataPdu:
    """One share data PDU of the client."""

    share_id: int
    pdu_type2: int
    """A PduType2, or a number that is none."""
    body: Reader


def parse_share_data(body: Reader) -> ShareDataPdu:
    """Takes the body of a share control PDU of type DATA apart. Raises RemoteError where it is compressed.

    The length fields are not looked at: clients disagree on what they count.
    """
    share_id = body.u32()
    body.skip(4)
    pdu_type2, compression = body.u8(), body.u8()
    body.skip(2)
    if compression & _COMPRESSED:
        raise body.malformed("a share data PDU is compressed, which was not offered")
    return ShareDataPdu(share_id, pdu_type2, body)


def share_data(share_id: int, pdu_type2: int, payload: bytes) -> bytes:
    """A share data PDU of the server with all its headers, for the I/O channel.

    `payload`: at most MAX_PAYLOAD bytes.
    """
    header = _HEADER.pack(
        share_id,
        _STREAM_LOW,
        _SHARE_CONTROL_HEADER + _HEADER.size + len(payload) - _UNCOUNTED,
        pdu_type2,
        0,
        0,
    )
    return share_control(ShareControlPduType.DATA, header + payload)
