import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from support.certificate import write_certificate

from sidecar.access import certificate
from sidecar.access.certificate import CERTIFICATE, KEY, CertificateUnusable, load, public_key, self_signed


def shown_by(context: ssl.SSLContext) -> bytes:
    """What a client sees of `context`, in DER."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    seen = client.getpeercert(binary_form=True)
    assert seen is not None
    return seen


def key_information(der: bytes) -> bytes:
    """SubjectPublicKeyInfo of a certificate: its last bytes are those of the key."""
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def rsa_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rsa") / "tls"
    self_signed(directory, ["vm.example.org", "192.0.2.1"])
    return directory


def test_what_was_loaded_is_what_is_shown_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    expected = write_certificate(tmp_path)
    loaded = load(tmp_path)
    later = write_certificate(tmp_path)
    assert shown_by(loaded.context) == loaded.der == expected
    assert shown_by(load(tmp_path).context) == later
    assert key_information(expected).endswith(b"\0" + loaded.public_key)


def changing(monkeypatch: pytest.MonkeyPatch, directory: Path, times: int) -> list[bytes]:
    """Has the files change so many times, each time when they have just been read; what was there."""
    read = certificate._content
    written = [write_certificate(directory)]

    def read_while_others_write(path: Path) -> bytes:
        content = read(path)
        if path.name == KEY and len(written) <= times:
            written.append(write_certificate(directory))
        return content

    monkeypatch.setattr(certificate, "_content", read_while_others_write)
    return written


@pytest.mark.parametrize("times", [1, 2])
def test_files_that_change_while_they_are_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    written = changing(monkeypatch, tmp_path, times)
    loaded = load(tmp_path)
    assert shown_by(loaded.context) == loaded.der == written[times]


def test_files_that_never_come_to_rest_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changing(monkeypatch, tmp_path, 100)
    with pytest.raises(CertificateUnusable, match="change"):
        load(tmp_path)


def test_the_servers_own_certificate_counts_not_its_chain(tmp_path: Path) -> None:
    write_certificate(tmp_path / "issuer", "issuer")
    expected = write_certificate(tmp_path)
    with (tmp_path / CERTIFICATE).open("ab") as chain:
        chain.write((tmp_path / "issuer" / CERTIFICATE).read_bytes())
    loaded = load(tmp_path)
    assert shown_by(loaded.context) == loaded.der == expected


def test_text_in_front_of_a_certificate_does_no_harm(tmp_path: Path) -> None:
    expected = write_certificate(tmp_path)
    path = tmp_path / CERTIFICATE
    path.write_bytes("subject=J\u00fcrgen\n".encode() + path.read_bytes())
    assert load(tmp_path).der == expected


def test_the_key_of_rsa_is_bound_to_as_pkcs1(rsa_directory: Path) -> None:
    loaded = load(rsa_directory)
    key = x509.load_der_x509_certificate(loaded.der).public_key()
    assert loaded.public_key == key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    assert key_information(loaded.der).endswith(b"\0" + loaded.public_key)


def ed25519_certificate() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .sign(key, None)
    )
    return built.public_bytes(serialization.Encoding.DER)


def test_a_key_of_any_kind_can_be_bound_to() -> None:
    der = ed25519_certificate()
    assert key_information(der).endswith(b"\0" + public_key(der))


def test_a_channel_is_bound_to_the_hash_of_the_certificates_signature(
    rsa_directory: Path,
) -> None:
    loaded = load(rsa_directory)
    assert loaded.end_point == x509.load_der_x509_certificate(loaded.der).fingerprint(hashes.SHA256())
    unbound = certificate.ServerCertificate(loaded.context, ed25519_certificate())
    assert unbound.end_point is None


def test_what_is_no_certificate_has_no_key() -> None:
    with pytest.raises(CertificateUnusable):
        public_key(b"\x30\x03\x02\x01\x01")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CERTIFICATE, None),
        (KEY, None),
        (CERTIFICATE, b""),
        (KEY, b"not a key"),
        (CERTIFICATE, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        (KEY, b"\0" * (certificate.LONGEST_FILE + 1)),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    write_certificate(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CertificateUnusable, match=rf"^cannot use tls\.crt and tls\.key in {tmp_path}: .+$"):
        load(tmp_path)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    other = tmp_path / "other"
    write_certificate(other)
    (other / KEY).replace(tmp_path / KEY)
    with pytest.raises(CertificateUnusable):
        load(tmp_path)


def test_a_certificate_that_only_openssl_can_read_is_refused(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    path = tmp_path / CERTIFICATE
    path.write_bytes(path.read_bytes().replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"))
    with pytest.raises(CertificateUnusable, match="has no -----BEGIN CERTIFICATE-----"):
        load(tmp_path)


def test_a_self_signed_certificate_serves_its_names(rsa_directory: Path) -> None:
    found = x509.load_der_x509_certificate(load(rsa_directory).der)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["vm.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]
    assert found.subject == found.issuer
    assert found.subject.rfc4514_string() == "CN=vm.example.org"
    found.verify_directly_issued_by(found)


def test_a_client_that_trusts_a_self_signed_certificate_finds_nothing_wrong(rsa_directory: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(rsa_directory / CERTIFICATE))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = load(rsa_directory).context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname="vm.example.org")
    for side in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    client.do_handshake()
    server.do_handshake()


def test_nothing_comes_between_the_handshake_and_what_is_sent(rsa_directory: Path) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = load(rsa_directory).context.wrap_bio(to_server, to_client, server_side=True)
    trusting = ssl.create_default_context(cafile=str(rsa_directory / CERTIFICATE))
    client = trusting.wrap_bio(to_client, to_server, server_hostname="vm.example.org")
    for side in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    client.do_handshake()
    server.do_handshake()
    # a session ticket would stand here
    assert client.version() == "TLSv1.3"
    assert not to_client.pending


def test_nobody_else_can_read_what_was_made(rsa_directory: Path) -> None:
    assert rsa_directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in rsa_directory.iterdir()} == {
        CERTIFICATE: 0o600,
        KEY: 0o600,
    }


def test_a_self_signed_certificate_is_kept(rsa_directory: Path) -> None:
    before = load(rsa_directory).der
    self_signed(rsa_directory)
    assert load(rsa_directory).der == before


def test_one_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CertificateUnusable, match=r"^cannot make a certificate in \S+: not a directory$"):
        self_signed(tmp_path / "file" / "tls")


def test_a_process_that_loads_one_stays_without_the_library_that_makes_them(rsa_directory: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sidecar.access.certificate import load, self_signed;"
        "self_signed(Path(sys.argv[1])); load(Path(sys.argv[1])); sys.exit('cryptography' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(rsa_directory)]
    assert subprocess.run(command, check=False).returncode == 0
