"""Authorities and client certificates, made by openssl as an administrator would."""

import subprocess
from pathlib import Path

_CONFIG = """
[ca]
default_ca = here
[here]
database = {directory}/index.txt
serial = {directory}/serial
new_certs_dir = {directory}
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = optional
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {alternatives}
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {alternatives}
"""


def openssl(*arguments: str | Path) -> str:
    """What openssl says."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Authority:
    """One that signs certificates; its own is `path`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir()
        self._directory = directory
        (directory / "index.txt").touch()
        (directory / "serial").write_text("1000\n")
        self.path = self._self_signed(name, "authority")

    def self_signed_client(self, name: str) -> Path:
        """A certificate that nobody has signed but itself, with its key in one file."""
        certificate = self._self_signed(name, "client")
        return self._joined(name, certificate)

    def sign(
        self,
        name: str,
        *,
        subject: str | None = None,
        alternatives: str = "DNS:client.example",
        kind: str = "client",
        until: str = "20991231235959Z",
    ) -> Path:
        """A certificate and its key in one file. `until`: when it ends."""
        request, key = self._path(name, "csr"), self._path(name, "key")
        config = self._config(alternatives)
        openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", request, "-subj", subject or f"/O=Example/CN={name}"),
        )
        certificate = self._path(name, "crt")
        openssl(
            *("ca", "-batch", "-notext", "-config", config, "-extensions", kind, "-in", request),
            *("-out", certificate, "-cert", self.path, "-keyfile", self._path("authority", "key")),
            *("-startdate", "20200101000000Z", "-enddate", until),
        )
        return self._joined(name, certificate)

    def server(self, directory: Path) -> Path:
        """A TLS directory for 127.0.0.1."""
        pair = self.sign("server", alternatives="IP:127.0.0.1,DNS:localhost", kind="server")
        directory.mkdir(exist_ok=True)
        (directory / "tls.crt").write_bytes(pair.with_suffix(".crt").read_bytes())
        (directory / "tls.key").write_bytes(pair.with_suffix(".key").read_bytes())
        return directory

    def _self_signed(self, name: str, kind: str) -> Path:
        certificate = self._path(name, "crt")
        key = self._path("authority" if kind == "authority" else name, "key")
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "30", "-keyout", key, "-out", certificate, "-subj", f"/O=Example/CN={name}"),
            *("-config", self._config("DNS:client.example"), "-extensions", kind),
        )
        return certificate

    def _config(self, alternatives: str) -> Path:
        path = self._path("openssl", "cnf")
        text = _CONFIG.format(directory=self._directory, alternatives=alternatives)
        path.write_text(f"{text}\n[req]\ndistinguished_name = name\n[name]\n")
        return path

    def _joined(self, name: str, certificate: Path) -> Path:
        pair = self._path(name, "pem")
        pair.write_bytes(certificate.read_bytes() + self._path(name, "key").read_bytes())
        return pair

    def _path(self, name: str, kind: str) -> Path:
        return self._directory / f"{name}.{kind}"
