"""The server's certificate and its key: read from a directory, anew for every client."""

import ssl
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.regular_file import read_regular

log = get_logger(__name__)

CERTIFICATE, KEY = "tls.crt", "tls.key"
"""Names in the TLS directory, those of a Kubernetes secret of type kubernetes.io/tls."""

LONGEST_FILE = 1 << 20
"""Bytes of a certificate with its chain, and of a key, that are believed."""

TRIES = 3
"""How often both are read if they change meanwhile."""

SELF_SIGNED_TIME = 60.0
"""Seconds to make a certificate on a machine that is very busy; half a second is usual."""


class CertificateUnusable(SidecarError):
    """The TLS directory does not hold a certificate and its key."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate with its key, as both were in one moment.

    Who loads one for each connection knows what that connection shows, whatever becomes of the files.
    """

    context: ssl.SSLContext = field(repr=False)
    der: bytes = field(repr=False)
    """The server's own certificate, without its chain."""

    @property
    def public_key(self) -> bytes:
        """What CredSSP binds to; `public_key` says more."""
        return public_key(self.der)

    @property
    def end_point(self) -> bytes | None:
        """The channel binding `tls-server-end-point`, without its prefix (RFC 5929 section 4.1).

        None where the certificate's signature has no hash of its own: then there is no such binding.
        """
        # imported here: hardly a client asks for it
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes

        certificate = x509.load_der_x509_certificate(self.der)
        try:
            algorithm = certificate.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return None
        if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
            algorithm = hashes.SHA256()
        return None if algorithm is None else certificate.fingerprint(algorithm)


def public_key(certificate: bytes) -> bytes:
    """The bits of subjectPublicKey of a certificate in DER (RFC 5280 section 4.1), to which CredSSP binds.

    Raises CertificateUnusable.
    """
    # imported here: an idle daemon need not hold OpenSSL's bindings
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except ValueError as error:
        raise CertificateUnusable(f"the certificate cannot be read: {error}") from None
    match key:
        case rsa.RSAPublicKey():
            return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        case ec.EllipticCurvePublicKey():
            return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return key.public_bytes_raw()
    raise CertificateUnusable("the certificate's key is of a kind that TLS does not use")


def load(directory: Path) -> ServerCertificate:
    """Certificate and key as they are now in a TLS directory. Raises CertificateUnusable."""
    return _load(directory / CERTIFICATE, directory / KEY, f"{CERTIFICATE} and {KEY} in {directory}")


def load_files(certificate: Path, key: Path) -> ServerCertificate:
    """The same from files of any name."""
    return _load(certificate, key, f"{certificate} and {key}")


def server_context(directory: Path) -> ssl.SSLContext:
    """A context that takes certificate and key from `directory` anew for each client.

    Those that cannot be used any more are logged and the last good ones stand in. Raises
    CertificateUnusable where they cannot be used now.
    """
    context = latest = load(directory).context

    def renew(connection: ssl.SSLObject, _name: str | None, _context_of_now: ssl.SSLContext) -> None:
        nonlocal latest
        try:
            latest = load(directory).context
        except CertificateUnusable as error:
            log.warning("the certificate of before is used", cause=str(error))
        connection.context = latest

    # called for every client, also for one that names no server
    context.sni_callback = renew
    return context


def self_signed(directory: Path, names: Sequence[str] = ()) -> None:
    """Makes sure that `directory` holds a certificate that signs itself, and its key.

    `names`: host names and addresses that it is for; the host's own name if there are none. What is there is
    kept, unless it cannot be used or its time is nearly over. The directory is made where it is missing; this
    user alone can read the files. Blocks for about half a second. Raises CertificateUnusable.

    The key is RSA: rdesktop 1.9 can bind CredSSP to no other, and every client with TLS knows it.

    A process of its own does it: what makes certificates would take 9 MB of this one for good.
    """
    program = [sys.executable, "-m", "sidecar.access.self_signed", str(directory), *names]
    try:
        result = subprocess.run(  # noqa: S603
            program, capture_output=True, text=True, timeout=SELF_SIGNED_TIME, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateUnusable(f"cannot make a certificate in {directory}: {error}") from None
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise CertificateUnusable(f"cannot make a certificate in {directory}: {lines[-1]}")


def _load(certificate: Path, key: Path, what: str) -> ServerCertificate:
    try:
        return _read(certificate, key)
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CertificateUnusable(f"cannot use {what}: {reason}") from None


def _read(certificate: Path, key: Path) -> ServerCertificate:
    for _ in range(TRIES):
        contents = _content(certificate), _content(key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # nobody resumes a session here, and TigerVNC 1.12 waits for ever when what is for it comes
        # together with a ticket
        context.num_tickets = 0
        # without a password OpenSSL would ask for that of an encrypted key on the terminal
        context.load_cert_chain(certificate, key, password=lambda: b"")
        # ssl reads files alone: what it has read is what was there before and after
        if (_content(certificate), _content(key)) == contents:
            return ServerCertificate(context, _first_certificate(contents[0]))
    raise ValueError("they change all the time")


def _content(path: Path) -> bytes:
    content, _ = read_regular(path, LONGEST_FILE + 1)
    if len(content) > LONGEST_FILE:
        raise ValueError(f"{path.name} is longer than {LONGEST_FILE} bytes")
    return content


def _first_certificate(content: bytes) -> bytes:
    """The first certificate of a file in PEM, which is the server's own, in DER."""
    text = content.decode("ascii", "replace")
    start, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    if not 0 <= start < end:
        raise ValueError(f"the certificate has no {ssl.PEM_HEADER}")
    return ssl.PEM_cert_to_DER_cert(text[start : end + len(ssl.PEM_FOOTER)])
