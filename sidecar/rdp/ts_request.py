"""The messages of CredSSP (MS-CSSP 2.2.1)."""

from dataclasses import dataclass, field

from sidecar.rdp import der
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.wire import Reader

LONGEST = 1 << 16
"""Bytes of a TSRequest that is taken. NTLM needs some hundred; Windows allows tickets of 48 KiB."""

_NAME = "a TSRequest"


def size(data: bytes | bytearray) -> int | None:
    """Bytes of the TSRequest that begins `data`; None while that cannot be told.

    Raises RemoteError: MALFORMED for what is none, OVERSIZED for one that is longer than LONGEST.
    """
    if data and data[0] != der.Tag.SEQUENCE:
        raise RemoteError(Reason.MALFORMED, f"{_NAME} does not begin with {data[0]:#x}")
    # one octet of tag, one of length, and as many as that says
    if len(data) < 2 or (data[1] > 0x80 and len(data) < 2 + data[1] - 0x80 <= 2 + 4):
        return None
    head = Reader(data[1:6], _NAME)
    contents = der.read_length(head)
    total = 1 + len(data[1:6]) - head.remaining + contents
    if total > LONGEST:
        raise RemoteError(Reason.OVERSIZED, f"{_NAME} has {total} bytes")
    return total


@dataclass(frozen=True, slots=True)
class TsRequest:
    """TSRequest (2.2.1). Absent fields are None; of several negoTokens the first one counts."""

    version: int
    nego_token: bytes | None = None
    auth_info: bytes | None = field(default=None, repr=False)
    pub_key_auth: bytes | None = None
    error_code: int | None = None
    """An NTSTATUS, signed as it is on the wire."""
    client_nonce: bytes | None = None

    @classmethod
    def parse(cls, data: bytes) -> "TsRequest":
        """Raises RemoteError."""
        fields = der.read_fields(der.read_only(Reader(data, _NAME), der.Tag.SEQUENCE, _NAME), _NAME)
        if 0 not in fields:
            raise RemoteError(Reason.MALFORMED, f"{_NAME} has no version")

        def octets(number: int, what: str) -> bytes | None:
            return der.read_octets(fields[number], what) if number in fields else None

        return cls(
            version=der.read_integer(fields[0], "version"),
            nego_token=_first_token(fields[1]) if 1 in fields else None,
            auth_info=octets(2, "authInfo"),
            pub_key_auth=octets(3, "pubKeyAuth"),
            error_code=der.read_integer(fields[4], "errorCode") if 4 in fields else None,
            client_nonce=octets(5, "clientNonce"),
        )

    def pack(self) -> bytes:
        """The message's bytes."""
        parts = [der.write_field(0, der.write_integer(self.version))]
        if self.nego_token is not None:
            token = der.write(der.Tag.SEQUENCE, der.write_field(0, der.write_octets(self.nego_token)))
            parts.append(der.write_field(1, der.write(der.Tag.SEQUENCE, token)))
        for number, octets in ((2, self.auth_info), (3, self.pub_key_auth)):
            if octets is not None:
                parts.append(der.write_field(number, der.write_octets(octets)))
        if self.error_code is not None:
            parts.append(der.write_field(4, der.write_integer(self.error_code)))
        if self.client_nonce is not None:
            parts.append(der.write_field(5, der.write_octets(self.client_nonce)))
        return der.write(der.Tag.SEQUENCE, *parts)


@dataclass(frozen=True, slots=True)
class TsPasswordCreds:
    """TSPasswordCreds (2.2.1.2.1)."""

    domain: str
    user: str
    password: str = field(repr=False)


PASSWORD_CREDENTIALS = 1
"""credType of TSPasswordCreds."""


def parse_credentials(data: bytes) -> TsPasswordCreds | None:
    """TSCredentials (2.2.1.2); None for smart cards and the like, which need no looking into.

    Raises RemoteError.
    """
    what = "TSCredentials"
    fields = der.read_fields(der.read_only(Reader(data, what), der.Tag.SEQUENCE, what), what)
    if 0 not in fields or 1 not in fields:
        raise RemoteError(Reason.MALFORMED, f"{what} lacks a field")
    credentials_type = der.read_integer(fields[0], "credType")
    credentials = der.read_octets(fields[1], "credentials")
    if credentials_type != PASSWORD_CREDENTIALS:
        return None
    what = "TSPasswordCreds"
    fields = der.read_fields(der.read_only(Reader(credentials, what), der.Tag.SEQUENCE, what), what)
    if not fields.keys() >= {0, 1, 2}:
        raise RemoteError(Reason.MALFORMED, f"{what} lacks a field")
    domain, user, password = (_text(der.read_octets(fields[number], what), what) for number in range(3))
    return TsPasswordCreds(domain, user, password)


def _first_token(tokens: Reader) -> bytes:
    """Of NegoData (2.2.1.1)."""
    what = "NegoData"
    sequence = der.read_only(tokens, der.Tag.SEQUENCE, what)
    fields = der.read_fields(der.read(sequence, der.Tag.SEQUENCE, what), what)
    if 0 not in fields:
        raise RemoteError(Reason.MALFORMED, f"{what} has no token")
    return der.read_octets(fields[0], "negoToken")


def _text(octets: bytes, what: str) -> str:
    try:
        # some clients send the terminator too
        return octets.decode("utf-16-le").rstrip("\0")
    except UnicodeDecodeError:
        raise RemoteError(Reason.MALFORMED, f"{what} holds text that is not UTF-16") from None
