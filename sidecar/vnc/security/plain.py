"""User name and password in the clear, VeNCrypt's Plain. Only ever used where the transport is secret."""

import struct

from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import PlainCredentials
from sidecar.vnc.security import Channel, Conversation

MAX_CREDENTIAL = 4096
"""Bytes of a user name, and of a password; tokens are long."""

_LENGTHS = struct.Struct(">II")


def converse(_channel: Channel) -> Conversation:
    """Reads a name and a password and has them judged. Raises RemoteError (OVERSIZED, MALFORMED)."""
    user_size, password_size = _LENGTHS.unpack((yield _LENGTHS.size))
    if user_size > MAX_CREDENTIAL or password_size > MAX_CREDENTIAL:
        raise RemoteError(Reason.OVERSIZED, f"User name and password may have {MAX_CREDENTIAL} bytes each.")
    credentials = yield user_size + password_size
    try:
        user, password = credentials[:user_size].decode(), credentials[user_size:].decode()
    except UnicodeDecodeError:
        raise RemoteError(Reason.MALFORMED, "User name and password must be UTF-8.") from None
    yield PlainCredentials(user, password)
