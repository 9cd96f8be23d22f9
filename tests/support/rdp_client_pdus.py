"""The PDUs of an RDP client as bytes, built with struct alone.

Knows nothing of the product: it is what the product is tested against (MS-RDPBCGR, T.125, T.124).
"""

import struct
from collections.abc import Sequence

SSL, HYBRID, HYBRID_EX = 1, 2, 8
"""Protocols of the negotiation."""

ERRINFO, WANT_32BPP, AUTO_DETECT, DYNVC_GFX, SKIP_CHANNEL_JOIN = 0x1, 0x2, 0x80, 0x100, 0x800
"""earlyCapabilityFlags of the client core data."""

INFO_PACKET, AUTO_DETECT_RESPONSE = 0x40, 0x2000
"""Flags of TS_SECURITY_HEADER."""

FIRST_CHUNK, LAST_CHUNK, COMPRESSED_CHUNK = 0x1, 0x2, 0x200000
"""Flags of CHANNEL_PDU_HEADER."""

CONFIRM_ACTIVE, DATA = 3, 7
"""Types of share control PDUs."""

CONTROL, INPUT, SYNCHRONIZE, REFRESH_RECT, SUPPRESS_OUTPUT = 20, 28, 31, 33, 35
SHUTDOWN_REQUEST, FONT_LIST, PERSISTENT_KEY_LIST, FRAME_ACKNOWLEDGE = 36, 39, 43, 56
"""Types of share data PDUs."""

REQUEST_CONTROL, COOPERATE = 1, 4
"""Actions of the control PDU."""


def tpkt(payload: bytes) -> bytes:
    return struct.pack(">BBH", 3, 0, 4 + len(payload)) + payload


def x224_data(payload: bytes) -> bytes:
    return tpkt(b"\x02\xf0\x80" + payload)


def connection_request(
    protocols: int | None, *, line: bytes = b"", flags: int = 0, more: bytes = b""
) -> bytes:
    """`protocols` None: no negotiation request. `line`: cookie or token with its end; `more`: behind all."""
    request = b"" if protocols is None else struct.pack("<BBHI", 1, flags, 8, protocols)
    body = b"\xe0" + bytes(5) + line + request + more
    return tpkt(bytes((len(body),)) + body)


def ber(tag: bytes, contents: bytes) -> bytes:
    length = len(contents)
    if length < 0x80:
        return tag + bytes((length,)) + contents
    return tag + b"\x82" + length.to_bytes(2, "big") + contents


def ber_integer(value: int) -> bytes:
    return ber(b"\x02", value.to_bytes(value.bit_length() // 8 + 1, "big"))


def domain_parameters(*values: int) -> bytes:
    return ber(b"\x30", b"".join(map(ber_integer, values)))


def per_length(length: int) -> bytes:
    return bytes((length,)) if length < 0x80 else struct.pack(">H", length | 0x8000)


def connect_initial(blocks: bytes) -> bytes:
    """The MCS Connect Initial PDU with a GCC conference create request around the client's data blocks."""
    user_data = b"\x00\x08\x00\x10\x00\x01\xc0\x00Duca" + per_length(len(blocks)) + blocks
    gcc = b"\x00\x05\x00\x14\x7c\x00\x01" + per_length(len(user_data)) + user_data
    return x224_data(
        ber(
            b"\x7f\x65",
            ber(b"\x04", b"\x01")
            + ber(b"\x04", b"\x01")
            + ber(b"\x01", b"\xff")
            + domain_parameters(34, 2, 0, 1, 0, 1, 65535, 2)
            + domain_parameters(1, 1, 1, 1, 0, 1, 1056, 2)
            + domain_parameters(65535, 64535, 65535, 1, 0, 1, 65535, 2)
            + ber(b"\x04", gcc),
        )
    )


def block(kind: int, body: bytes) -> bytes:
    """One data block with its header."""
    return struct.pack("<HH", kind, 4 + len(body)) + body


def core_data(
    width: int,
    height: int,
    *,
    early: int = ERRINFO | WANT_32BPP,
    name: str = "PEER",
    colour_depth: int = 24,
    layout: int = 0x409,
    selected: int = SSL,
) -> bytes:
    mandatory = struct.pack("<IHHHHII", 0x80004, width, height, 0xCA01, 0xAA03, layout, 2600)
    mandatory += name.encode("utf-16-le").ljust(32, b"\0") + struct.pack("<III", 4, 0, 12) + bytes(64)
    optional = struct.pack("<HHIHHH", 0xCA01, 1, 0, colour_depth, 15, early)
    return block(0xC001, mandatory + optional + bytes(64) + struct.pack("<BBI", 0, 0, selected))


def security_data() -> bytes:
    return block(0xC002, bytes(8))


def network_data(channels: Sequence[str]) -> bytes:
    definitions = b"".join(struct.pack("<8sI", name.encode(), 0x80000000) for name in channels)
    return block(0xC003, struct.pack("<I", len(channels)) + definitions)


def cluster_data() -> bytes:
    return block(0xC004, struct.pack("<II", 0x0D, 0))


def monitor_data(monitors: Sequence[tuple[int, int, int, int, int]]) -> bytes:
    """Monitors as left, top, right, bottom (inclusive), flags."""
    body = b"".join(struct.pack("<iiiiI", *monitor) for monitor in monitors)
    return block(0xC005, struct.pack("<II", 0, len(monitors)) + body)


def monitor_attributes(attributes: Sequence[tuple[int, int, int, int, int]]) -> bytes:
    """Width and height in mm, orientation, desktop and device scale factor."""
    body = b"".join(struct.pack("<5I", *values) for values in attributes)
    return block(0xC008, struct.pack("<III", 0, 20, len(attributes)) + body)


def message_channel_data() -> bytes:
    return block(0xC006, bytes(4))


def multitransport_data() -> bytes:
    return block(0xC00A, struct.pack("<I", 0x305))


def erect_domain() -> bytes:
    return x224_data(b"\x04\x01\x00\x01\x00")


def attach_user() -> bytes:
    return x224_data(b"\x28")


def join(user: int, channel: int) -> bytes:
    return x224_data(struct.pack(">BHH", 0x38, user - 1001, channel))


def send_data(user: int, channel: int, data: bytes) -> bytes:
    header = struct.pack(">BHHB", 0x64, user - 1001, channel, 0x70)
    return x224_data(header + per_length(len(data)) + data)


def disconnect_ultimatum(reason: int = 3) -> bytes:
    return x224_data(struct.pack(">H", 8 << 10 | reason << 7))


def disconnect_request() -> bytes:
    """The X.224 TPDU by which rdesktop goes."""
    return tpkt(b"\x06\x80" + bytes(5))


def client_info(
    user: str, password: str, domain: str = "", *, flags: int = 0x33, extended: bool = True
) -> bytes:
    """The Info packet with its security header; Unicode where `flags` have 0x10."""
    encoding, end = ("utf-16-le", b"\0\0") if flags & 0x10 else ("cp1252", b"\0")
    strings = [text.encode(encoding) for text in (domain, user, password, "", "")]
    body = struct.pack("<II5H", 0, flags, *map(len, strings)) + b"".join(text + end for text in strings)
    if extended:
        address = "192.0.2.7".encode(encoding) + end
        body += struct.pack("<HH", 2, len(address)) + address + struct.pack("<H", len(end)) + end
        body += bytes(172) + struct.pack("<IIH", 0, 0x07, 0)
    return struct.pack("<HH", INFO_PACKET, 0) + body


def capability_set(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(body)) + body


def capability_sets(
    width: int, height: int, *, colour_depth: int = 32, chunk_size: int = 1600, fast_path: bool = True
) -> tuple[bytes, ...]:
    """What a plain client of today says of itself."""
    extra_flags = 0x0405 if fast_path else 0x0404
    return (
        capability_set(1, struct.pack("<9H2B", 1, 3, 0x200, 0, 0, extra_flags, 0, 0, 0, 1, 1)),
        capability_set(2, struct.pack("<9H2B2H", colour_depth, 1, 1, 1, width, height, 0, 1, 1, 0, 8, 1, 0)),
        capability_set(3, bytes(16) + struct.pack("<I6H", 0, 1, 20, 0, 1, 0, 0x22) + bytes(52)),
        capability_set(8, struct.pack("<3H", 1, 25, 25)),
        capability_set(13, struct.pack("<HHIIII", 0x15, 0, 0x409, 4, 0, 12) + bytes(64)),
        capability_set(15, struct.pack("<I", 1)),
        capability_set(20, struct.pack("<II", 0, chunk_size)),
        capability_set(26, struct.pack("<I", 0x3F0000)),
        capability_set(27, struct.pack("<H", 3)),
        capability_set(28, struct.pack("<II", 0x52, 0)),
        capability_set(30, struct.pack("<I", 2)),
        # a kind that nobody knows
        capability_set(0x77, b"\x01\x02\x03\x04"),
    )


def share_control(kind: int, source: int, body: bytes) -> bytes:
    return struct.pack("<HHH", 6 + len(body), 0x10 | kind, source) + body


def confirm_active(user: int, share_id: int, sets: Sequence[bytes]) -> bytes:
    combined = b"".join(sets)
    body = struct.pack("<IHHH", share_id, 1002, 6, 4 + len(combined)) + b"MSTSC\0"
    return share_control(CONFIRM_ACTIVE, user, body + struct.pack("<HH", len(sets), 0) + combined)


def share_data(user: int, share_id: int, kind: int, body: bytes) -> bytes:
    header = struct.pack("<IBBHBBH", share_id, 0, 1, 4 + len(body) + 4, kind, 0, 0)
    return share_control(DATA, user, header + body)


def fast_path_input(events: Sequence[bytes]) -> bytes:
    """A fast-path input PDU of up to 15 events, each as it is on the wire."""
    body = b"".join(events)
    length = 2 + len(body)
    if length < 0x80:
        return bytes((len(events) << 2, length)) + body
    return bytes((len(events) << 2,)) + struct.pack(">H", 0x8000 | 3 + len(body)) + body


def fast_path_scancode(code: int, flags: int = 0) -> bytes:
    """Flags: 1 released, 2 extended."""
    return bytes((flags, code))


def fast_path_mouse(flags: int, x: int, y: int) -> bytes:
    return struct.pack("<BHHH", 1 << 5, flags, x, y)


def slow_path_input(events: Sequence[tuple[int, bytes]]) -> bytes:
    """The body of an input PDU; events as their message type and six bytes."""
    body = b"".join(struct.pack("<IH", 0, kind) + event for kind, event in events)
    return struct.pack("<HH", len(events), 0) + body


def channel_chunks(data: bytes, chunk_size: int = 1600) -> list[bytes]:
    """A message for a static virtual channel, cut up."""
    chunks = []
    for start in range(0, max(len(data), 1), chunk_size):
        end = start + chunk_size
        flags = (FIRST_CHUNK if start == 0 else 0) | (LAST_CHUNK if end >= len(data) else 0)
        chunks.append(struct.pack("<II", len(data), flags) + data[start:end])
    return chunks
