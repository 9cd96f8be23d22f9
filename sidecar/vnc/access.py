"""Who may come in: what is offered to a client, and what proves that it knows the password."""

import hmac
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.vnc.handshake import Security
from sidecar.vnc.wire import SecurityType, VeNCryptSubtype

log = get_logger(__name__)

CERTIFICATE, KEY = "tls.crt", "tls.key"
"""Names in the TLS directory, those of a Kubernetes secret of type kubernetes.io/tls."""


class CertificateUnusable(SidecarError):
    """The TLS directory does not hold a certificate and its key."""


def server_context(directory: Path) -> ssl.SSLContext:
    """A context that takes certificate and key from `directory` anew for each client.

    Those that cannot be used any more are logged and the last good ones stand in. Raises
    CertificateUnusable where they cannot be used now.
    """
    context = latest = _context(directory)

    def renew(connection: ssl.SSLObject, _name: str | None, _context_of_now: ssl.SSLContext) -> None:
        nonlocal latest
        try:
            latest = _context(directory)
        except CertificateUnusable as error:
            log.warning("the certificate of before is used", cause=str(error))
        connection.context = latest

    # called for every client, also for one that names no server
    context.sni_callback = renew
    return context


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # without a password OpenSSL would ask for that of an encrypted key on the terminal
        context.load_cert_chain(directory / CERTIFICATE, directory / KEY, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise CertificateUnusable(
            f"cannot use {CERTIFICATE} and {KEY} in {directory}: {error.strerror or error}"
        ) from None
    return context


@dataclass(frozen=True, slots=True)
class Access:
    """The security of one server.

    `password`: reads the password anew for every login, so that a mounted secret can change; None where
    nobody is asked. It may raise SidecarError: then nobody gets in. `tls_directory`: where certificate and
    key are, or None; with it, plain connections are offered nothing but VeNCrypt.
    """

    password: Callable[[], str] | None = None
    tls_directory: Path | None = None

    @property
    def asks(self) -> bool:
        """Whether a client must know a password."""
        return self.password is not None

    def security(self, *, secure: bool) -> Security:
        """What a client is offered. `secure`: nobody can listen to its transport as it is."""
        types: tuple[SecurityType, ...]
        subtypes: tuple[VeNCryptSubtype, ...]
        if self.asks:
            types = (SecurityType.VENCRYPT, SecurityType.VNC_AUTHENTICATION)
            subtypes = (VeNCryptSubtype.PLAIN,)
            if self.tls_directory is not None:
                subtypes = (VeNCryptSubtype.X509_PLAIN, VeNCryptSubtype.X509_VNC, VeNCryptSubtype.PLAIN)
        else:
            types = (SecurityType.NONE,)
            subtypes = ()
            if self.tls_directory is not None:
                types = (SecurityType.VENCRYPT, SecurityType.NONE)
                subtypes = (VeNCryptSubtype.X509_NONE,)
        if self.tls_directory is not None and not secure:
            types = (SecurityType.VENCRYPT,)
        return Security(types, os.urandom, subtypes, secure)

    def tls_context(self) -> ssl.SSLContext:
        """The certificate as it is now: read again for each client, since it is renewed under a daemon."""
        if self.tls_directory is None:
            raise CertificateUnusable("there is no TLS directory")
        return _context(self.tls_directory)

    def password_matches(self, matches: Callable[[str], bool]) -> bool:
        """Whether `matches` takes the present password; never when that cannot be read or is empty."""
        if self.password is None:
            return False
        try:
            password = self.password()
        except SidecarError as error:
            log.warning("nobody can log in", cause=str(error))
            return False
        return bool(password) and matches(password)


def same(one: str, other: str) -> bool:
    """Whether two passwords are equal, found out in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
