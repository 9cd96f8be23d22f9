"""Certificates in files of any name, read when a manager says so."""

from pathlib import Path

import pytest
from support.certificate import write_certificate

from sidecar.access.certificate import CertificateUnusable
from sidecar.drop_in.certificates import Certificates


def test_another_certificate_is_shown_when_it_is_loaded_and_not_before(tmp_path: Path) -> None:
    first = write_certificate(tmp_path)
    certificates = Certificates(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert certificates.current.der == first
    second = write_certificate(tmp_path)
    assert certificates.current.der == first
    certificates.reload()
    assert certificates.current.der == second


def test_one_that_cannot_be_used_is_refused_and_the_last_good_one_stays(tmp_path: Path) -> None:
    good = write_certificate(tmp_path)
    certificates = Certificates(tmp_path / "tls.crt", tmp_path / "tls.key")
    for content in (b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n"):
        (tmp_path / "tls.crt").write_bytes(content)
        with pytest.raises(CertificateUnusable, match=r"cannot use .*tls\.crt and .*tls\.key"):
            certificates.reload()
    (tmp_path / "tls.crt").unlink()
    with pytest.raises(CertificateUnusable, match="No such file"):
        certificates.reload()
    assert certificates.current.der == good


def test_there_must_be_one_at_the_beginning(tmp_path: Path) -> None:
    with pytest.raises(CertificateUnusable):
        Certificates(tmp_path / "server-cert.pem", tmp_path / "server-key.pem")
