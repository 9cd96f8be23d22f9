"""What `vdi-qemu-vnc` shows to its clients, and what it wants of them."""

from dataclasses import dataclass

from sidecar.drop_in.certificates import SERVER_CERTIFICATE, SERVER_KEY, Certificates
from sidecar.drop_in.vnc_options import VncOptions
from sidecar.drop_in.vnc_password import VncPassword


@dataclass(frozen=True, slots=True)
class VncSecrets:
    """Those of one program; a manager changes what is in them."""

    password: VncPassword
    certificates: Certificates | None
    """None: no TLS."""


def secrets_of(options: VncOptions) -> VncSecrets:
    """What the options name. Raises CertificateUnusable."""
    directory = options.tls_directory
    return VncSecrets(
        VncPassword(options.credential),
        None if directory is None else Certificates(directory / SERVER_CERTIFICATE, directory / SERVER_KEY),
    )
