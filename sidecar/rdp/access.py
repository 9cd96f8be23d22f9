"""Who may come in: what a client is offered, and who judges its password."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.access.certificate import ServerCertificate, load
from sidecar.access.grant import Attempt
from sidecar.access.logins import Logins
from sidecar.rdp.authenticator import Authenticator
from sidecar.rdp.handshake import Nla, Security


@dataclass(frozen=True, slots=True)
class Access:
    """The security of one server: TLS always, and what comes on top of it.

    `tls_directory`: where certificate and key are. `logins`: judges who comes; nobody is asked where it does
    not ask. `nla`: OFF there, since network level authentication cannot do without a password.
    """

    tls_directory: Path
    logins: Logins = field(default_factory=Logins)
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

    def authenticator(self, certificate: ServerCertificate, attempt: Attempt) -> Authenticator:
        """NLA for a connection that shows `certificate`. Raises CertificateUnusable."""
        # loaded by the first client that uses it
        from sidecar.rdp.credssp import CredSsp

        return CredSsp(
            certificate,
            lambda user: self.logins.candidates(attempt, user),
            random=os.urandom,
            now=time.time(),
        )
