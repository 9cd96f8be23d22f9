"""The wrapper of everything that the server sends on the graphics channel (MS-RDPEGFX 2.2.5).

RDP_SEGMENTED_DATA with segments that are not compressed: the codecs have done that already, and bodies are
shared between sessions, whose histories differ.
"""

import struct
from collections.abc import Iterable

MAX_SEGMENT = 65535
"""Bytes of one segment before compression."""

_BULK_HEADER = 0x04
"""RDP8_BULK_ENCODED_DATA: PACKET_COMPR_TYPE_RDP8 without PACKET_COMPRESSED."""

_SINGLE = bytes((0xE0, _BULK_HEADER))
_MULTIPART = struct.Struct("<BHI")
_SEGMENT = struct.Struct("<IB")
_WHOLE_SEGMENT = _SEGMENT.pack(MAX_SEGMENT + 1, _BULK_HEADER)


def wrap(parts: Iterable[bytes]) -> bytes:
    """One RDP_SEGMENTED_DATA of the parts put together; every byte of theirs is copied once.

    At most 65535 * 65535 bytes, which no frame comes near.
    """
    parts = list(parts)
    total = sum(map(len, parts))
    if total <= MAX_SEGMENT:
        return b"".join((_SINGLE, *parts))
    whole, last = divmod(total, MAX_SEGMENT)
    pieces: list[bytes | memoryview] = [_MULTIPART.pack(0xE1, whole + bool(last), total)]
    headers = iter([_WHOLE_SEGMENT] * whole + [_SEGMENT.pack(last + 1, _BULK_HEADER)] * bool(last))
    room = 0
    for part in parts:
        if len(part) <= room:
            pieces.append(part)
            room -= len(part)
            continue
        view = memoryview(part)
        while view:
            if not room:
                pieces.append(next(headers))
                room = MAX_SEGMENT
            pieces.append(view[:room])
            taken = min(room, len(view))
            view = view[taken:]
            room -= taken
    return b"".join(pieces)
