"""The few types of the Basic Encoding Rules that the MCS connect PDUs are made of (X.690, T.125)."""

from enum import IntEnum

from sidecar.rdp.wire import Reader

_APPLICATION = 0x7F
_LONG_FORM = 0x80
_MAX_LENGTH_OCTETS = 2
_MAX_INTEGER_OCTETS = 4


class Tag(IntEnum):
    """Identifier octets."""

    BOOLEAN = 0x01
    INTEGER = 0x02
    OCTET_STRING = 0x04
    ENUMERATED = 0x0A
    SEQUENCE = 0x30


def read(reader: Reader, tag: Tag, what: str) -> Reader:
    """The contents of the next value, which must have this tag. Lengths up to 65535, definite only."""
    if (found := reader.u8()) != tag:
        raise reader.malformed(f"BER tag {found:#x} stands where {what} has {tag:#x}")
    return reader.part(_read_length(reader), what)


def read_application(reader: Reader, number: int, what: str) -> Reader:
    """The contents of the next value, which must have this application tag (31..127, constructed)."""
    if reader.u8() != _APPLICATION or reader.u8() != number:
        raise reader.malformed(f"it is not {what}")
    return reader.part(_read_length(reader), what)


def read_integer(reader: Reader, what: str) -> int:
    """A signed INTEGER of one to four octets."""
    contents = read(reader, Tag.INTEGER, what).rest()
    if not 1 <= len(contents) <= _MAX_INTEGER_OCTETS:
        raise reader.malformed(f"{what} has {len(contents)} octets")
    return int.from_bytes(contents, "big", signed=True)


def write(tag: Tag, contents: bytes) -> bytes:
    """A value of up to 65535 bytes."""
    return bytes((tag,)) + _length(len(contents)) + contents


def write_application(number: int, contents: bytes) -> bytes:
    """A constructed value with an application tag (31..127)."""
    return bytes((_APPLICATION, number)) + _length(len(contents)) + contents


def write_integer(value: int) -> bytes:
    """An INTEGER: 0 or more, in as few octets as it takes."""
    return write(Tag.INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _read_length(reader: Reader) -> int:
    first = reader.u8()
    if first < _LONG_FORM:
        return first
    octets = first - _LONG_FORM
    if not 1 <= octets <= _MAX_LENGTH_OCTETS:
        raise reader.malformed(f"a BER length has {octets} octets")
    return int.from_bytes(reader.take(octets), "big")


def _length(length: int) -> bytes:
    if length < _LONG_FORM:
        return bytes((length,))
    octets = (length.bit_length() + 7) // 8
    return bytes((_LONG_FORM + octets,)) + length.to_bytes(octets, "big")
