"""Security type VeNCrypt, rfbproto 7.2.7: TLS first, then another method inside it."""

import struct
from collections.abc import Generator

from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import Question, StartTls
from sidecar.vnc.security import Channel, Method, none, plain, vnc_auth
from sidecar.vnc.wire import VeNCryptSubtype

VERSION = b"\x00\x02"
"""VeNCrypt 0.2."""

VERSION_OK, VERSION_REFUSED = b"\x00", b"\x01"
SUBTYPE_OK, SUBTYPE_REFUSED = b"\x01", b"\x00"
"""The two acknowledgements have opposite senses (facts: RFB section 1.3)."""

INNER: dict[VeNCryptSubtype, Method] = {
    VeNCryptSubtype.PLAIN: plain.converse,
    VeNCryptSubtype.X509_NONE: none.converse,
    VeNCryptSubtype.X509_VNC: vnc_auth.converse,
    VeNCryptSubtype.X509_PLAIN: plain.converse,
}
"""What follows on the negotiation of each subtype."""

_U32 = struct.Struct(">I")


def usable_subtypes(subtypes: tuple[VeNCryptSubtype, ...], *, secure: bool) -> tuple[VeNCryptSubtype, ...]:
    """Those that fit the transport: Plain where it is secret already, TLS of our own where it is not."""
    return tuple(subtype for subtype in subtypes if (subtype is VeNCryptSubtype.PLAIN) is secure)


def negotiate(channel: Channel) -> Generator[int | Question, bytes, VeNCryptSubtype]:
    """Agrees on a subtype and has TLS started unless it is Plain. `INNER` tells the method that follows.

    Raises RemoteError (UNKNOWN_SECURITY); the client has been told by then, as far as it can be.
    """
    channel.send(VERSION)
    if (yield len(VERSION)) != VERSION:
        channel.send(VERSION_REFUSED)
        raise RemoteError(Reason.UNKNOWN_SECURITY, "Only VeNCrypt 0.2 is served.")
    channel.send(VERSION_OK)
    offered = channel.subtypes
    channel.send(struct.pack(f">B{len(offered)}I", len(offered), *offered))
    (choice,) = _U32.unpack((yield _U32.size))
    if choice not in offered:
        channel.send(SUBTYPE_REFUSED)
        raise RemoteError(Reason.UNKNOWN_SECURITY, "A VeNCrypt subtype was chosen that was not offered.")
    subtype = VeNCryptSubtype(choice)
    if subtype is not VeNCryptSubtype.PLAIN:
        channel.send(SUBTYPE_OK)
        yield StartTls()
    return subtype
