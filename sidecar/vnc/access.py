"""Who may come in: what is offered to a client, and who judges what it answers."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.access.certificate import CertificateUnusable, load
from sidecar.access.logins import Logins
from sidecar.vnc.handshake import Security
from sidecar.vnc.wire import SecurityType, VeNCryptSubtype


@dataclass(frozen=True, slots=True)
class Access:
    """The security of one server.

    `logins`: judges who comes; nobody is asked where it does not ask. `tls_directory`: where certificate and
    key are, or None; with it, plain connections are offered nothing but VeNCrypt.
    """

    logins: Logins = field(default_factory=Logins)
    tls_directory: Path | None = None

    def security(self, *, secure: bool) -> Security:
        """What a client is offered now. `secure`: nobody can listen to its transport as it is.

        VNC's own authentication can prove nothing but secrets that are known in the clear: users whose
        passwords are hashed come in by Plain alone.
        """
        types: tuple[SecurityType, ...]
        subtypes: tuple[VeNCryptSubtype, ...]
        if self.logins.asked:
            in_the_clear = self.logins.has_candidates
            types = (SecurityType.VENCRYPT, *((SecurityType.VNC_AUTHENTICATION,) if in_the_clear else ()))
            subtypes = (VeNCryptSubtype.PLAIN,)
            if self.tls_directory is not None:
                by_challenge = (VeNCryptSubtype.X509_VNC,) if in_the_clear else ()
                subtypes = (VeNCryptSubtype.X509_PLAIN, *by_challenge, VeNCryptSubtype.PLAIN)
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
