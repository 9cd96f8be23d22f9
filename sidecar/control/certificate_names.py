"""What a client's certificate says about whose it is, from what Python's `ssl` tells of a verified one."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ssl import cert_time_to_seconds
from types import MappingProxyType
from typing import Any, Final

_KEYWORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "commonName": "CN",
        "localityName": "L",
        "stateOrProvinceName": "ST",
        "organizationName": "O",
        "organizationalUnitName": "OU",
        "countryName": "C",
        "streetAddress": "STREET",
        "domainComponent": "DC",
        "userId": "UID",
    }
)
"""RFC 4514 section 3; other types keep OpenSSL's name."""

_ESCAPED: Final = frozenset('"+,;<>\\')
"""RFC 4514 section 2.4."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """One that was verified. `subject`: as RFC 4514 writes it; `fingerprint`: SHA-256 in hexadecimal.

    `not_after`: when its validity ends, in seconds since 1970: it was looked at when the connection began,
    and connections can last.
    """

    subject: str
    common_names: frozenset[str]
    uris: frozenset[str]
    dns: frozenset[str]
    emails: frozenset[str]
    fingerprint: str
    not_after: float = math.inf

    @property
    def name(self) -> str:
        """For people: the subject, or what there is if that is empty."""
        names = sorted(self.uris) + sorted(self.dns) + sorted(self.emails)
        return self.subject or next(iter(names), f"sha256 {self.fingerprint}")


def client_certificate(told: Mapping[str, Any], der: bytes) -> ClientCertificate:
    """`told`: by `ssl.SSLObject.getpeercert()`; `der`: by the same in binary form."""
    subject: Sequence[Sequence[tuple[str, str]]] = told.get("subject", ())
    alternatives: Sequence[tuple[str, Any]] = told.get("subjectAltName", ())

    def named(kind: str) -> frozenset[str]:
        return frozenset(value for its_kind, value in alternatives if its_kind == kind and value)

    return ClientCertificate(
        subject=",".join("+".join(_pair(*pair) for pair in part) for part in reversed(subject)),
        common_names=frozenset(
            value for part in subject for kind, value in part if kind == "commonName" and value
        ),
        uris=named("URI"),
        dns=named("DNS"),
        emails=named("email"),
        fingerprint=hashlib.sha256(der).hexdigest(),
        not_after=cert_time_to_seconds(told["notAfter"]) if "notAfter" in told else math.inf,
    )


def _pair(kind: str, value: str) -> str:
    text = "".join(
        f"\\{character}"
        if character in _ESCAPED
        else character
        if character.isprintable()
        else "".join(f"\\{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in value
    )
    if text[:1] in ("#", " "):
        text = f"\\{text}"
    if text[-1:] == " " and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return f"{_KEYWORDS.get(kind, kind)}={text}"
