"""TS_SECURITY_HEADER, as far as it is in use under Enhanced RDP Security (MS-RDPBCGR 2.2.8.1.1.2.1)."""

import struct
from enum import IntFlag

from sidecar.rdp.wire import Reader

_HEADER = struct.Struct("<HH")


class SecurityFlags(IntFlag):
    """flags; their names have SEC_ in front in the specification."""

    EXCHANGE_PKT = 0x0001
    TRANSPORT_REQ = 0x0002
    TRANSPORT_RSP = 0x0004
    ENCRYPT = 0x0008
    INFO_PKT = 0x0040
    LICENSE_PKT = 0x0080
    REDIRECTION_PKT = 0x0400
    AUTODETECT_REQ = 0x1000
    AUTODETECT_RSP = 0x2000
    HEARTBEAT = 0x4000


def security_header(flags: SecurityFlags) -> bytes:
    """The basic header: four bytes."""
    return _HEADER.pack(flags, 0)


def parse_security_header(reader: Reader) -> SecurityFlags:
    """The flags of the basic header. Raises RemoteError where what follows is encrypted."""
    flags = SecurityFlags(reader.u16())
    reader.skip(2)
    if flags & SecurityFlags.ENCRYPT:
        raise reader.malformed("it is encrypted below TLS")
    return flags
