"""What a pod has of its cluster, and what may be wrong with it."""

import os
import ssl
from pathlib import Path

import pytest
from support.kubernetes_api import POD, Authority, service_token

from sidecar.errors import NotReady
from sidecar.report.service_account import LONGEST_FILE, InCluster

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return Authority().pem


@pytest.fixture
def mounted(tmp_path: Path, bundle: bytes) -> Path:
    (tmp_path / "token").write_text(service_token() + "\n")
    (tmp_path / "ca.crt").write_bytes(bundle)
    return tmp_path


def test_the_token_names_the_pod_and_the_account(mounted: Path) -> None:
    account = InCluster(IN_A_POD, mounted).read()
    assert (account.pod, account.name) == (POD, "service account vdi")
    assert account.token == service_token()
    assert account.token not in repr(account)


def test_the_environment_goes_before_the_token(mounted: Path) -> None:
    assert InCluster({**IN_A_POD, "POD_NAME": "other"}, mounted).read().pod == "other"


@pytest.mark.parametrize(
    ("host", "url"), [("10.96.0.1", "https://10.96.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_the_address_is_that_of_the_environment(host: str, url: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}
    assert InCluster(environ).url == url


def test_the_files_are_read_anew_and_the_certificates_parsed_only_when_they_change(
    mounted: Path,
) -> None:
    cluster = InCluster(IN_A_POD, mounted)
    first = cluster.read()
    (mounted / "token").write_text(service_token(serial=2))
    second = cluster.read()
    assert second.token != first.token
    assert second.context is first.context
    (mounted / "ca.crt").write_bytes(Authority().pem)
    assert cluster.read().context is not first.context


def test_servers_are_verified_by_name_and_chain(mounted: Path) -> None:
    context = InCluster(IN_A_POD, mounted).read().context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("token", b"", "holds no token"),
        ("token", b"two\nlines", "holds no token"),
        ("token", b"\xff\xfe", "holds no token"),
        ("token", b"x" * (LONGEST_FILE + 1), "is longer than"),
        ("token", b"opaque", "set POD_NAME"),
        ("token", b"a.!!!.c", "set POD_NAME"),
        ("token", b"a.W10.c", "set POD_NAME"),
        ("token", b"a.eyJrdWJlcm5ldGVzLmlvIjp7InBvZCI6N319.c", "set POD_NAME"),
        ("ca.crt", b"", "holds no certificates"),
        ("ca.crt", b"\xff", "holds no certificates"),
        (
            "ca.crt",
            b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
            "holds no certificates",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(mounted: Path, name: str, content: bytes, said: str) -> None:
    (mounted / name).write_bytes(content)
    with pytest.raises(NotReady, match=said):
        InCluster(IN_A_POD, mounted).read()


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_a_missing_file_is_told(mounted: Path, name: str) -> None:
    (mounted / name).unlink()
    with pytest.raises(NotReady, match=f"no service account is mounted: .*{name}: no such file"):
        InCluster(IN_A_POD, mounted).read()


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_what_is_no_file_is_told_at_once(mounted: Path, name: str) -> None:
    (mounted / name).unlink()
    os.mkfifo(mounted / name)
    with pytest.raises(NotReady, match=f"{name} is no file"):
        InCluster(IN_A_POD, mounted).read()
    (mounted / name).unlink()
    (mounted / name).mkdir()
    with pytest.raises(NotReady, match=f"{name}: is a directory"):
        InCluster(IN_A_POD, mounted).read()


def test_outside_of_a_cluster_it_says_so(mounted: Path) -> None:
    with pytest.raises(NotReady, match="KUBERNETES_SERVICE_HOST is not set"):
        InCluster({}, mounted).read()
