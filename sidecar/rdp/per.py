"""The few types of the Packed Encoding Rules, aligned, that MCS and GCC PDUs are made of (X.691)."""

from sidecar.rdp.errors import LocalError
from sidecar.rdp.wire import Reader

MAX_LENGTH = 0x3FFF
"""The longest octet string that is not cut into fragments."""

_TWO_OCTETS = 0x80
_FRAGMENTED = 0xC0


def read_length(reader: Reader) -> int:
    """A length determinant: 0..16383. Fragments are refused."""
    first = reader.u8()
    if first < _TWO_OCTETS:
        return first
    if first >= _FRAGMENTED:
        raise reader.malformed("a PER length is fragmented")
    return (first - _TWO_OCTETS) << 8 | reader.u8()


def write_length(length: int) -> bytes:
    """A length determinant. Raises LocalError where `length` is above MAX_LENGTH."""
    if length < _TWO_OCTETS:
        return bytes((length,))
    if length > MAX_LENGTH:
        raise LocalError(f"{length} bytes do not fit into one PDU.")
    return bytes((_TWO_OCTETS | length >> 8, length & 0xFF))
