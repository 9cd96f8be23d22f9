"""Why a connection ends, as the client tells its user: the Set Error Info PDU (MS-RDPBCGR 2.2.5.1)."""

import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from sidecar.session.state import EndReason


class ErrorInfo(IntEnum):
    """errorInfo of TS_SET_ERROR_INFO_PDU (2.2.5.1.1); the specification has ERRINFO_ in front."""

    NONE = 0x00000000
    RPC_INITIATED_DISCONNECT = 0x00000001
    """an administrative tool has ended the session"""
    RPC_INITIATED_LOGOFF = 0x00000002
    IDLE_TIMEOUT = 0x00000003
    LOGON_TIMEOUT = 0x00000004
    DISCONNECTED_BY_OTHER_CONNECTION = 0x00000005
    OUT_OF_MEMORY = 0x00000006
    SERVER_DENIED_CONNECTION = 0x00000007
    SERVER_INSUFFICIENT_PRIVILEGES = 0x00000009
    SERVER_FRESH_CREDENTIALS_REQUIRED = 0x0000000A
    RPC_INITIATED_DISCONNECT_BY_USER = 0x0000000B
    LOGOFF_BY_USER = 0x0000000C
    CLOSE_STACK_ON_DRIVER_IFACE_FAILURE = 0x00000012
    """the server's display was there, and has failed"""
    SERVER_SHUTDOWN = 0x00000019
    SERVER_REBOOT = 0x0000001A
    UNKNOWNPDUTYPE2 = 0x000010C9
    UNKNOWNPDUTYPE = 0x000010CA
    """the nearest to: the client has sent what nobody can read"""


_OF_REASON: Mapping[EndReason, ErrorInfo | None] = MappingProxyType(
    {
        EndReason.CLOSED: None,
        EndReason.DISCONNECTED: ErrorInfo.RPC_INITIATED_DISCONNECT,
        EndReason.TICKET_OVER: ErrorInfo.RPC_INITIATED_DISCONNECT,
        EndReason.REPLACED: ErrorInfo.DISCONNECTED_BY_OTHER_CONNECTION,
        EndReason.OCCUPIED: ErrorInfo.SERVER_DENIED_CONNECTION,
        EndReason.FULL: ErrorInfo.SERVER_DENIED_CONNECTION,
        EndReason.CROWDED_OUT: ErrorInfo.SERVER_DENIED_CONNECTION,
        EndReason.LOGIN_TIMEOUT: ErrorInfo.LOGON_TIMEOUT,
        EndReason.LOGIN_FAILED: ErrorInfo.SERVER_INSUFFICIENT_PRIVILEGES,
        EndReason.PROTOCOL_ERROR: ErrorInfo.UNKNOWNPDUTYPE,
        EndReason.TOO_SLOW: None,
        EndReason.SERVER_ERROR: ErrorInfo.CLOSE_STACK_ON_DRIVER_IFACE_FAILURE,
        EndReason.SHUTDOWN: ErrorInfo.SERVER_SHUTDOWN,
        # clients come again by themselves only where nothing is said, not even goodbye
        EndReason.GONE: None,
    }
)

_SET_ERROR_INFO = struct.Struct("<I")


def error_info_of(reason: EndReason) -> ErrorInfo | None:
    """What a client is told of `reason`; None: nothing, since it knows already or does not read."""
    return _OF_REASON[reason]


def set_error_info(error: ErrorInfo) -> bytes:
    """The body of a Set Error Info PDU (PDUTYPE2_SET_ERROR_INFO_PDU)."""
    return _SET_ERROR_INFO.pack(error)
