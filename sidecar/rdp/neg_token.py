"""The tokens of SPNEGO (RFC 4178 section 4.2), which carry those of another mechanism."""

from dataclasses import dataclass
from enum import IntEnum

from sidecar.rdp import der
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.wire import Reader

SPNEGO = bytes.fromhex("2b0601050502")
"""1.3.6.1.5.5.2"""

NTLM = bytes.fromhex("2b06010401823702020a")
"""1.3.6.1.4.1.311.2.2.10"""

MOST_MECHANISMS = 64
"""How many mechanisms a client may list; Windows lists four."""

_RESPONSE = 0xA1


class NegState(IntEnum):
    """negState."""

    ACCEPT_COMPLETED = 0
    ACCEPT_INCOMPLETE = 1
    REJECT = 2
    REQUEST_MIC = 3


@dataclass(frozen=True, slots=True)
class NegToken:
    """What counts of a NegTokenInit or NegTokenResp of the client."""

    mechanism_token: bytes | None
    """mechToken or responseToken."""
    mic: bytes | None
    """mechListMIC."""
    mechanisms: tuple[bytes, ...] = ()
    """mechTypes of a NegTokenInit: object identifiers, encoded, in the client's order; else empty."""
    mechanism_list: bytes = b""
    """mechTypes as they came: what a mechListMIC signs."""

    @classmethod
    def parse(cls, data: bytes) -> "NegToken":
        """Raises RemoteError."""
        what = "a SPNEGO token"
        reader = Reader(data, what)
        tag, contents = der.read_any(reader, what)
        reader.end()
        if tag == der.Tag.APPLICATION_0:
            return cls._init(contents)
        if tag == _RESPONSE:
            return cls._response(contents)
        raise reader.malformed(f"tag {tag:#x} begins none")

    @classmethod
    def _init(cls, contents: Reader) -> "NegToken":
        what = "NegTokenInit"
        if der.read(contents, der.Tag.OBJECT_IDENTIFIER, what).rest() != SPNEGO:
            raise RemoteError(Reason.REFUSED, "the client wants another mechanism than SPNEGO and NTLM")
        choice = der.read_fields(contents, what)
        if 0 not in choice:
            raise contents.malformed(f"there is no {what}")
        fields = der.read_fields(der.read_only(choice[0], der.Tag.SEQUENCE, what), what)
        if 0 not in fields:
            raise contents.malformed(f"{what} has no mechTypes")
        mechanism_list = fields[0].rest()
        types = der.read_only(Reader(mechanism_list, "mechTypes"), der.Tag.SEQUENCE, "mechTypes")
        mechanisms: list[bytes] = []
        while types.remaining:
            if len(mechanisms) == MOST_MECHANISMS:
                raise RemoteError(Reason.OVERSIZED, f"{what} has more than {MOST_MECHANISMS} mechTypes")
            mechanisms.append(der.read(types, der.Tag.OBJECT_IDENTIFIER, "mechTypes").rest())
        return cls(
            _octets(fields, 2, "mechToken"),
            _octets(fields, 3, "mechListMIC"),
            tuple(mechanisms),
            mechanism_list,
        )

    @classmethod
    def _response(cls, contents: Reader) -> "NegToken":
        what = "NegTokenResp"
        fields = der.read_fields(der.read_only(contents, der.Tag.SEQUENCE, what), what)
        if 0 in fields and der.read_integer(fields[0], "negState", der.Tag.ENUMERATED) == NegState.REJECT:
            raise RemoteError(Reason.REFUSED, "the client rejects the negotiated mechanism")
        return cls(_octets(fields, 2, "responseToken"), _octets(fields, 3, "mechListMIC"))


def pack_response(
    state: NegState,
    *,
    mechanism: bytes | None = None,
    token: bytes | None = None,
    mic: bytes | None = None,
) -> bytes:
    """A NegTokenResp. `mechanism`: supportedMech, which belongs to the first one alone."""
    parts = [der.write_field(0, der.write_integer(state, der.Tag.ENUMERATED))]
    if mechanism is not None:
        parts.append(der.write_field(1, der.write(der.Tag.OBJECT_IDENTIFIER, mechanism)))
    if token is not None:
        parts.append(der.write_field(2, der.write_octets(token)))
    if mic is not None:
        parts.append(der.write_field(3, der.write_octets(mic)))
    return der.write(_RESPONSE, der.write(der.Tag.SEQUENCE, *parts))


def _octets(fields: dict[int, Reader], number: int, what: str) -> bytes | None:
    return der.read_octets(fields[number], what) if number in fields else None
