"""The GCC conference that carries the settings of both sides (T.124; MS-RDPBCGR 2.2.1.3 and 2.2.1.4)."""

import struct
from collections.abc import Sequence

from sidecar.rdp import mcs, per
from sidecar.rdp.wire import Reader

CORE = 0x0C01
SECURITY = 0x0C02
NETWORK = 0x0C03
MESSAGE_CHANNEL = 0x0C04
"""Types of the server's data blocks."""

SKIP_CHANNEL_JOIN_SUPPORTED = 0x00000008
"""RNS_UD_SC_SKIP_CHANNELJOIN_SUPPORTED (MS-RDPBCGR 2.2.1.4.2)."""

VERSION = 0x00080004
"""RDP 5.0 to 8.1."""

_OBJECT = b"\x00\x05\x00\x14\x7c\x00\x01"
"""ConnectData with the key {0 0 20 124 0 1}, which is T.124."""

_RESPONSE = b"\x14\x76\x0a\x01\x01\x00\x01\xc0\x00McDn"
"""conferenceCreateResponse: node 31219, tag 1, success, one set of user data with the key McDn."""

_RESPONSE_LENGTH = b"\x2a"
"""What Windows says instead of the length of the rest. rdesktop skips one byte here, whatever it says."""

_CLIENT_KEY = b"Duca"
_KEY_MINIMUM = 4


def parse_conference_create_request(data: bytes) -> Reader:
    """The user data of a conference create request: the client's data blocks."""
    reader = Reader(data, "GCC Conference Create Request")
    if reader.take(len(_OBJECT)) != _OBJECT:
        raise reader.malformed("it is not of T.124")
    # the length of the rest is wrong in many clients, and in Windows
    per.read_length(reader)
    # conferenceCreateRequest of which only userData is present
    if reader.take(2) != b"\x00\x08":
        raise reader.malformed("it is no conferenceCreateRequest with user data only")
    digits = per.read_length(reader) + 1
    reader.skip((digits + 1) // 2)
    reader.skip(1)
    # one set of user data, with a value, under an h221NonStandard key
    if reader.take(2) != b"\x01\xc0" or per.read_length(reader) + _KEY_MINIMUM != len(_CLIENT_KEY):
        raise reader.malformed("it has other user data than a client's")
    if reader.take(len(_CLIENT_KEY)) != _CLIENT_KEY:
        raise reader.malformed("its user data is not from a client")
    blocks = reader.part(per.read_length(reader), "client data blocks")
    reader.end()
    return blocks


def conference_create_response(blocks: bytes) -> bytes:
    """A conference create response. `blocks`: the server's data blocks."""
    return _OBJECT + _RESPONSE_LENGTH + _RESPONSE + per.write_length(len(blocks)) + blocks


def server_data(
    requested_protocols: int, static_channels: Sequence[int], *, message_channel: bool, early_flags: int
) -> bytes:
    """The server's data blocks, in an order that all clients take: aardwolf wants security behind network.

    `requested_protocols`: what the client has asked for in its X.224 Connection Request, unchanged.
    `static_channels`: their ids, in the order of the client's list.
    `early_flags`: RNS_UD_SC_ flags.
    """
    count = len(static_channels)
    channels = struct.pack(f"<HH{count}H", mcs.IO_CHANNEL, count, *static_channels)
    blocks = [
        _block(CORE, struct.pack("<III", VERSION, requested_protocols, early_flags)),
        _block(NETWORK, channels if count % 2 == 0 else channels + b"\0\0"),
        # no encryption; the lengths of random and certificate may be left out then, but not all clients agree
        _block(SECURITY, struct.pack("<IIII", 0, 0, 0, 0)),
    ]
    if message_channel:
        blocks.append(_block(MESSAGE_CHANNEL, struct.pack("<H", mcs.MESSAGE_CHANNEL)))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(body)) + body
