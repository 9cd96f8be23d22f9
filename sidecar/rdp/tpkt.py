"""Cuts a byte stream into PDUs: TPKT (T.123 section 8) and fast-path input (MS-RDPBCGR 2.2.8.1.2)."""

from typing import NamedTuple

from sidecar.rdp.errors import Reason, RemoteError

MAX_PDU = 0xFFFF
"""Bytes of a PDU with its header, as the TPKT header can say them. A fast-path PDU has at most 32767."""

HEADER = 4
"""Bytes of a TPKT header."""

_VERSION = 3
_ACTION_MASK = 0x03
_ACTION_FAST_PATH = 0
_TWO_BYTES = 0x80


class Frame(NamedTuple):
    """One PDU."""

    is_fast_path: bool
    data: bytes
    """What the TPKT header stands in front of; a fast-path PDU whole, with its header."""


class Framer:
    """Collects bytes and gives PDUs. Never holds more than one PDU of `limit` bytes and what was fed last."""

    __slots__ = ("_at", "_buffer", "limit")

    def __init__(self, limit: int = MAX_PDU) -> None:
        self._buffer = bytearray()
        self._at = 0
        self.limit = limit
        """Bytes of a PDU with its header, at most."""

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not given."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Takes bytes of any number."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def take(self) -> bytes:
        """All that was fed and not given, whatever it is: no PDUs of these kinds."""
        data = bytes(memoryview(self._buffer)[self._at :])
        self.clear()
        return data

    def clear(self) -> None:
        """Forgets what was fed."""
        self._buffer.clear()
        self._at = 0

    def next(self) -> Frame | None:
        """The next PDU, None where it is not there yet.

        Raises RemoteError: MALFORMED where no PDU begins like this, OVERSIZED as soon as the header says so.
        """
        buffer, start = self._buffer, self._at
        available = len(buffer) - start
        if available < 2:
            return None
        is_fast_path = buffer[start] != _VERSION
        if not is_fast_path:
            if available < HEADER:
                return None
            header = HEADER
            length = buffer[start + 2] << 8 | buffer[start + 3]
        elif buffer[start] & _ACTION_MASK == _ACTION_FAST_PATH:
            length = buffer[start + 1]
            header = 2
            if length & _TWO_BYTES:
                if available < 3:
                    return None
                header = 3
                length = (length & ~_TWO_BYTES) << 8 | buffer[start + 2]
        else:
            raise RemoteError(Reason.MALFORMED, f"No PDU begins with {buffer[start]:#04x}.")
        if length <= header:
            raise RemoteError(Reason.MALFORMED, f"A PDU says that it has {length} bytes.")
        if length > self.limit:
            raise RemoteError(Reason.OVERSIZED, f"A PDU has {length} bytes.")
        if available < length:
            return None
        end = start + length
        self._at = end
        first = start if is_fast_path else start + header
        return Frame(is_fast_path, bytes(memoryview(buffer)[first:end]))
