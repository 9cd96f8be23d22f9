"""What can go wrong on an RDP connection, and whose fault it is."""

from enum import Enum


class Reason(Enum):
    """Why a connection ends; the value is what logs and counters show."""

    MALFORMED = "malformed"
    """a field holds what it cannot hold"""
    TRUNCATED = "truncated"
    """a PDU ends before its fields do"""
    TRAILING = "trailing bytes"
    """a PDU goes on after its last field"""
    OVERSIZED = "oversized"
    """more than this server takes in one piece"""
    UNEXPECTED = "unexpected"
    """a PDU came where the sequence has another"""
    UNKNOWN_CHANNEL = "unknown channel"
    """data for a channel that was not joined"""
    REFUSED = "refused"
    """nothing that this server accepts is offered by the client"""
    LOGIN_FAILED = "login failed"
    LOGIN_THROTTLED = "login throttled"
    """too many logins of the same address have failed"""
    OUT_OF_TURN = "out of turn"
    """this side called a method of the connection at the wrong time"""


class RdpError(Exception):
    """Base of the errors of an RDP connection.

    `text` is one plain sentence without secrets.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason
        self.text = text


class RemoteError(RdpError):
    """The peer broke the protocol, or cannot be served. Its connection ends."""


class LocalError(RdpError):
    """The driver called the connection out of turn: a fault on this side."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.OUT_OF_TURN, text)
