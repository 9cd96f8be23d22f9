"""A certificate and its key in files of any name, read when a manager says so: as QEMU's programs do."""

import ssl
from pathlib import Path
from typing import Final

from sidecar.access.certificate import ServerCertificate, load_files

SERVER_CERTIFICATE: Final = "server-cert.pem"
SERVER_KEY: Final = "server-key.pem"
"""Names in a directory of QEMU's x509 credentials."""


class Certificates:
    """What is shown to clients: what the files held when they were last read."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises CertificateUnusable."""
        self._certificate = certificate
        self._key = key
        self.current = self._read()

    @property
    def directory(self) -> Path:
        """Where the certificate is."""
        return self._certificate.parent

    def reload(self) -> None:
        """Reads both files again; those that cannot be used change nothing. Raises CertificateUnusable."""
        self.current = self._read()

    def following_context(self) -> ssl.SSLContext:
        """A context that shows what is `current` when a client comes."""
        context = self._read().context

        def follow(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.current.context

        context.sni_callback = follow
        return context

    def _read(self) -> ServerCertificate:
        return load_files(self._certificate, self._key)
