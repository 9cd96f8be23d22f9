"""The licence server's only word: the client is valid (MS-RDPBCGR 2.2.1.12)."""

import struct

from sidecar.rdp.security_header import SecurityFlags, security_header

_ERROR_ALERT = 0xFF
_PREAMBLE_VERSION_3_0 = 0x03
_STATUS_VALID_CLIENT = 7
_ST_NO_TRANSITION = 2
_BB_ERROR_BLOB = 4


def valid_client() -> bytes:
    """LICENSE_VALID_CLIENT_DATA with its security header, for the I/O channel."""
    message = struct.pack("<IIHH", _STATUS_VALID_CLIENT, _ST_NO_TRANSITION, _BB_ERROR_BLOB, 0)
    preamble = struct.pack("<BBH", _ERROR_ALERT, _PREAMBLE_VERSION_3_0, 4 + len(message))
    return security_header(SecurityFlags.LICENSE_PKT) + preamble + message
