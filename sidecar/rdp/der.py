"""The Distinguished Encoding Rules as far as CredSSP and SPNEGO use them (X.690)."""

from enum import IntEnum

from sidecar.rdp.wire import Reader

_LONG_FORM = 0x80
_MAX_LENGTH_OCTETS = 4
_MAX_INTEGER_OCTETS = 8
_CONTEXT = 0xA0
_CONTEXT_MASK = 0xE0


class Tag(IntEnum):
    """Identifier octets."""

    INTEGER = 0x02
    OCTET_STRING = 0x04
    OBJECT_IDENTIFIER = 0x06
    ENUMERATED = 0x0A
    SEQUENCE = 0x30
    APPLICATION_0 = 0x60


def read_any(reader: Reader, what: str) -> tuple[int, Reader]:
    """The tag (one octet) and the contents of the next value. A length may be longer than it need be."""
    tag = reader.u8()
    return tag, reader.part(read_length(reader), what)


def read_length(reader: Reader) -> int:
    """A definite length of one to five octets; it may be more than what is there."""
    first = reader.u8()
    if first < _LONG_FORM:
        return first
    octets = first - _LONG_FORM
    if not 1 <= octets <= _MAX_LENGTH_OCTETS:
        raise reader.malformed(f"a length has {octets} octets")
    return int.from_bytes(reader.take(octets), "big")


def read(reader: Reader, tag: int, what: str) -> Reader:
    """The contents of the next value, which must have this tag."""
    found, contents = read_any(reader, what)
    if found != tag:
        raise reader.malformed(f"tag {found:#x} stands where {what} has {tag:#x}")
    return contents


def read_only(reader: Reader, tag: int, what: str) -> Reader:
    """The contents of the one value that is there, which must have this tag."""
    contents = read(reader, tag, what)
    reader.end()
    return contents


def read_integer(reader: Reader, what: str, tag: int = Tag.INTEGER) -> int:
    """The one value that is there, a signed INTEGER (or ENUMERATED) of up to eight octets."""
    contents = read_only(reader, tag, what).rest()
    if not 1 <= len(contents) <= _MAX_INTEGER_OCTETS:
        raise reader.malformed(f"{what} has {len(contents)} octets")
    return int.from_bytes(contents, "big", signed=True)


def read_octets(reader: Reader, what: str) -> bytes:
    """The one value that is there, an OCTET STRING."""
    return read_only(reader, Tag.OCTET_STRING, what).rest()


def read_fields(sequence: Reader, what: str) -> dict[int, Reader]:
    """The fields of a SEQUENCE of which each has an explicit tag, by that tag's number (0..31).

    Unknown ones are among them: later versions may have more.
    """
    fields: dict[int, Reader] = {}
    while sequence.remaining:
        tag, contents = read_any(sequence, what)
        if tag & _CONTEXT_MASK != _CONTEXT:
            raise sequence.malformed(f"tag {tag:#x} stands where a field of {what} should")
        number = tag - _CONTEXT
        if number in fields:
            raise sequence.malformed(f"field {number} of {what} comes twice")
        fields[number] = contents
    return fields


def write(tag: int, *contents: bytes) -> bytes:
    """A value."""
    joined = b"".join(contents)
    length = len(joined)
    if length < _LONG_FORM:
        return bytes((tag, length)) + joined
    octets = (length.bit_length() + 7) // 8
    return bytes((tag, _LONG_FORM + octets)) + length.to_bytes(octets, "big") + joined


def write_field(number: int, value: bytes) -> bytes:
    """`value` as a field with an explicit tag."""
    return write(_CONTEXT + number, value)


def write_integer(value: int, tag: int = Tag.INTEGER) -> bytes:
    """An INTEGER (or ENUMERATED), signed, in as few octets as it takes."""
    magnitude = value if value >= 0 else ~value
    return write(tag, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def write_octets(value: bytes) -> bytes:
    """An OCTET STRING."""
    return write(Tag.OCTET_STRING, value)
