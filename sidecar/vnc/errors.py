"""What can go wrong on an RFB connection, and whose fault it is."""

from enum import Enum


class Reason(Enum):
    """Why a connection ends; the value is what logs and counters show."""

    UNKNOWN_VERSION = "unknown version"
    """the first twelve bytes name no RFB version that is served"""
    UNKNOWN_SECURITY = "unknown security"
    """a security type, VeNCrypt version or subtype was chosen that had not been offered"""
    UNEXPECTED_DATA = "unexpected data"
    """bytes came where the peer had to wait"""
    UNKNOWN_MESSAGE = "unknown message"
    NOT_NEGOTIATED = "not negotiated"
    """a message of an extension that the client has not announced or that is not offered"""
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    REFUSED = "refused"
    """nothing that this server accepts can be offered to such a client"""
    OUT_OF_TURN = "out of turn"
    """this side called a method of the connection at the wrong time"""


class RfbError(Exception):
    """Base of the errors of an RFB connection.

    `text` is one plain sentence without secrets. It may be sent to the peer where the protocol has a place
    for it, and no place else.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason
        self.text = text


class RemoteError(RfbError):
    """The peer broke the protocol, or cannot be served. Its connection ends."""


class LocalError(RfbError):
    """The driver called the connection out of turn: a fault on this side."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.OUT_OF_TURN, text)
