"""A certificate and its key in files of any name, read when a manager says so: as QEMU's programs do."""

import ssl
from pathlib import Path
from typing import Final

from sidecar.access.certificate import LONGEST_FILE, CertificateUnusable, ServerCertificate

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
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            # TigerVNC 1.12 waits for ever when what is for it comes together with a ticket
            context.num_tickets = 0
            # without a password OpenSSL would ask for that of an encrypted key on the terminal
            context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
            with self._certificate.open(encoding="ascii", errors="replace") as file:
                text = file.read(LONGEST_FILE)
            start, end = text.index(ssl.PEM_HEADER), text.index(ssl.PEM_FOOTER)
            return ServerCertificate(
                context, ssl.PEM_cert_to_DER_cert(text[start : end + len(ssl.PEM_FOOTER)])
            )
        except (OSError, ValueError) as error:
            # ssl.SSLError is an OSError
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise CertificateUnusable(f"cannot use {self._certificate} and {self._key}: {reason}") from None
