"""Makes a certificate that signs itself. A program of its own, which `certificate.self_signed` runs."""

import os
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sidecar.access.certificate import CERTIFICATE, KEY, CertificateUnusable, load

LIFETIME = timedelta(days=825)
"""Apple's clients take no longer one, even where a person has decided to trust it."""

RENEWED_BEFORE = timedelta(days=90)
"""What must be left of a certificate's time at a start: the daemon may run for long."""

CLOCK_SKEW = timedelta(days=1)
"""By how much a client's clock may be late."""

KEY_SIZE = 2048

LONGEST_COMMON_NAME = 64
"""Characters (RFC 5280 appendix A.1, ub-common-name)."""

FALLBACK_NAME = "localhost"

MODE = 0o600
DIRECTORY_MODE = 0o700


def ensure(directory: Path, names: Sequence[str], now: datetime) -> bool:
    """Makes a certificate and its key unless good ones are there. Whether they had to be made.

    `names`: host names and addresses that it is for; the host's own name if there are none. `now`: aware.
    Raises OSError.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    if _is_good(directory, now):
        return False
    certificate, key = _make(names or [socket.gethostname()], now)
    # a crash between the two leaves a pair that does not fit, which the next start replaces
    _write(directory / KEY, key)
    _write(directory / CERTIFICATE, certificate)
    return True


def _is_good(directory: Path, now: datetime) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(load(directory).der)
    except (CertificateUnusable, ValueError):
        return False
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEWED_BEFORE


def _make(names: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
    """A certificate and its key, as PEM."""
    alternatives = [found for name in names if (found := _general_name(name)) is not None]
    if not alternatives:
        alternatives = [x509.DNSName(FALLBACK_NAME)]
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_SIZE)
    public = key.public_key()
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, str(alternatives[0].value)[:LONGEST_COMMON_NAME])]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now - CLOCK_SKEW + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            # old clients have the session's key enciphered, the others have it signed
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=True,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _general_name(name: str) -> x509.DNSName | x509.IPAddress | None:
    """`name` as a certificate holds it; None where it cannot: a host may have any name."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        encoded = name.encode("idna").decode()
    except UnicodeError:
        return None
    return x509.DNSName(encoded) if encoded else None


def _write(path: Path, content: bytes) -> None:
    """Puts `content` there, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def main() -> None:
    """Takes a directory and names as arguments."""
    directory, *names = sys.argv[1:]
    try:
        ensure(Path(directory), names, datetime.now(UTC))
    except OSError as error:
        sys.exit((error.strerror or str(error)).lower())


if __name__ == "__main__":
    main()
