"""Who may come in: what is offered to a client, and what proves that it knows the password."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.access.certificate import CertificateUnusable, load
from sidecar.access.password import Passwords
from sidecar.vnc.handshake import Security
from sidecar.vnc.wire import SecurityType, VeNCryptSubtype


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
        return load(self.tls_directory).context

    def password_matches(self, matches: Callable[[str], bool]) -> bool:
        """Whether `matches` takes the present password; never when that cannot be read or is empty."""
        return Passwords(self.password).admits("", matches)
