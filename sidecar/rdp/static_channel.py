"""Static virtual channels: messages in chunks, both ways (MS-RDPBCGR 2.2.6.1, 3.1.5.2)."""

import struct
from collections.abc import Callable
from enum import IntFlag

import numpy as np

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.mcs import send_data_indication_header
from sidecar.rdp.wire import Reader

CHUNK_LENGTH = 1600
"""Bytes of a message in one chunk, at most, as this server says in its virtual channel capability set."""

_HEADER = struct.Struct("<II")


class ChannelFlags(IntFlag):
    """flags of CHANNEL_PDU_HEADER; the names have CHANNEL_FLAG_ or CHANNEL_ in front in the specification."""

    FIRST = 0x00000001
    LAST = 0x00000002
    SHOW_PROTOCOL = 0x00000010
    SUSPEND = 0x00000020
    RESUME = 0x00000040
    SHADOW_PERSISTENT = 0x00000080
    PACKET_COMPRESSED = 0x00200000
    PACKET_AT_FRONT = 0x00400000
    PACKET_FLUSHED = 0x00800000


_WHOLE = ChannelFlags.FIRST | ChannelFlags.LAST
_CONTROL = ChannelFlags.SUSPEND | ChannelFlags.RESUME


class StaticChannel:
    """One channel of one connection: a ChannelSender, and what has come of the client's message up to now.

    `send`: takes whole PDUs, any number at once. `max_message`: bytes of the longest message of the client.
    `show_protocol`: whether the client's channel definition has CHANNEL_OPTION_SHOW_PROTOCOL.
    """

    __slots__ = ("_flags", "_max_message", "_partial", "_send", "_skips", "_wanted", "id", "oversized")

    def __init__(
        self,
        channel_id: int,
        send: Callable[[bytes | memoryview], None],
        max_message: int,
        *,
        show_protocol: bool = False,
    ) -> None:
        self.id = channel_id
        self._send = send
        self._max_message = max_message
        self._flags = ChannelFlags.SHOW_PROTOCOL if show_protocol else ChannelFlags(0)
        self._partial: bytearray | None = None
        self._wanted = 0
        self._skips = False
        self.oversized: Callable[[], None] | None = None
        """Called for a message that is too long, which is then dropped as it comes; None: it is an error."""

    def send(self, message: bytes) -> None:
        """Sends one message of any length, in chunks of CHUNK_LENGTH bytes where it is longer."""
        self._send(chunked(self.id, message, self._flags))

    def send_slices(self, header: bytes, payload: bytes | memoryview, size: int) -> None:
        """Sends `payload` in messages of `header` and `size` bytes of it; see `packets`."""
        self._send(packets(self.id, header, payload, size, self._flags))

    def receive(self, chunk: Reader) -> bytes | None:
        """Takes what came on the channel: the message that it completes, None where it completes none.

        Raises RemoteError for a message that is too long (OVERSIZED) where `oversized` is not set, of another
        length than it says, or compressed.
        """
        length, flags = chunk.u32(), chunk.u32()
        if flags & ChannelFlags.PACKET_COMPRESSED:
            raise chunk.malformed("virtual channel data is compressed, which was not offered")
        if flags & _CONTROL and not chunk.remaining:
            return None
        if flags & ChannelFlags.FIRST:
            self._skips = length > self._max_message
            if self._skips and self.oversized is None:
                raise RemoteError(Reason.OVERSIZED, f"A message on a virtual channel has {length} bytes.")
            self._wanted = length
            self._partial = bytearray()
        if self._partial is None:
            raise chunk.malformed("a chunk without a first one")
        if self._skips and self.oversized is not None:
            if flags & ChannelFlags.LAST:
                self._partial = None
                self.oversized()
            return None
        if len(self._partial) + chunk.remaining > self._wanted:
            raise chunk.malformed(f"a message of {self._wanted} bytes goes on behind its end")
        self._partial += chunk.rest()
        if not flags & ChannelFlags.LAST:
            return None
        message, self._partial = bytes(self._partial), None
        if len(message) != self._wanted:
            raise chunk.malformed(f"a message of {self._wanted} bytes ends after {len(message)}")
        return message


def chunked(channel_id: int, message: bytes | memoryview, flags: int = 0) -> bytes:
    """All PDUs for one message, in chunks of CHUNK_LENGTH bytes. `flags`: what every chunk has."""
    length = len(message)
    if length <= CHUNK_LENGTH:
        return b"".join((_prefix(channel_id, length, length, flags | _WHOLE), message))
    view = memoryview(message)
    parts: list[bytes | memoryview] = []
    for start in range(0, length, CHUNK_LENGTH):
        part = view[start : start + CHUNK_LENGTH]
        first = 0 if start else ChannelFlags.FIRST
        last = ChannelFlags.LAST if start + CHUNK_LENGTH >= length else 0
        parts += (_prefix(channel_id, len(part), length, flags | first | last), part)
    return b"".join(parts)


def packets(
    channel_id: int, header: bytes, payload: bytes | memoryview, size: int, flags: int = 0
) -> memoryview:
    """All PDUs for `payload` in messages of one chunk: `header`, then `size` bytes of it, the last fewer.

    `size`: 1 or more, so that header and slice are at most CHUNK_LENGTH bytes. Empty where `payload` is.
    `flags`: what every chunk has. Made in one go, at the speed of a copy; nobody else has the memory.
    """
    count, left = divmod(len(payload), size)
    prefix = _prefix(channel_id, len(header) + size, len(header) + size, flags | _WHOLE) + header
    row = len(prefix) + size
    tail = b""
    if left:
        tail = _prefix(channel_id, len(header) + left, len(header) + left, flags | _WHOLE) + header
    made = np.empty(count * row + len(tail) + left, np.uint8)
    rows = made[: count * row].reshape(count, row)
    rows[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    rows[:, len(prefix) :] = np.frombuffer(payload, np.uint8, count * size).reshape(count, size)
    pdus = made.data
    if left:
        pdus[count * row :] = b"".join((tail, memoryview(payload)[count * size :]))
    return pdus


def _prefix(channel_id: int, length: int, message_length: int, flags: int) -> bytes:
    """All headers of a chunk of `length` bytes."""
    return send_data_indication_header(channel_id, _HEADER.size + length) + _HEADER.pack(
        message_length, flags
    )
