"""Who may come in: what a client is offered, and what proves that it knows the password."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.access.certificate import ServerCertificate, load
from sidecar.access.password import Passwords, same
from sidecar.rdp.authenticator import Authenticator, Identity
from sidecar.rdp.handshake import Nla, Security


@dataclass(frozen=True, slots=True)
class Access:
    """The security of one server: TLS always, and what comes on top of it.

    `tls_directory`: where certificate and key are. `nla`: OFF where nobody is asked for a password, since
    network level authentication cannot do without one.
    """

    tls_directory: Path
    passwords: Passwords = field(default_factory=Passwords)
    nla: Nla = Nla.OFF

    @property
    def security(self) -> Security:
        """What a client is offered."""
        return Security(self.nla)

    def certificate(self) -> ServerCertificate:
        """The certificate as it is now: read again for each client, since it is renewed under a daemon.

        Raises CertificateUnusable.
        """
        return load(self.tls_directory)

    def authenticator(self, certificate: ServerCertificate) -> Authenticator:
        """NLA for a connection that shows `certificate`. Raises CertificateUnusable."""
        # loaded by the first client that uses it
        from sidecar.rdp.credssp import CredSsp

        return CredSsp(certificate, self.passwords.password_of, random=os.urandom, now=time.time())

    def admits(self, user: str, password: str, identity: Identity | None) -> bool:
        """Whether a client gets in with what its Info packet holds, or with what NLA has proven."""
        if not self.passwords.asked or identity is not None:
            return True
        return self.passwords.admits(user, lambda right: same(password, right))
