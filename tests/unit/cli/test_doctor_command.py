"""`vdi-sidecar doctor -- COMMAND OPTIONS`: what the options name is looked at, and nothing is started."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.authority import Authority

from sidecar.access import scrypt
from sidecar.access.users_file import User, section
from sidecar.cli import main
from sidecar.cli.doctor_command import examine_command, examine_options
from sidecar.cli.finding import Verdict
from sidecar.config.address import TcpAddress
from sidecar.config.options import DaemonOptions, ServeOptions

ROLES = '[[certificate]]\nrole = "viewer"\ncn = "ann"\n'
HASH = scrypt.make("secret", os.urandom)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("doctor") / "authority")


@pytest.fixture(scope="module")
def tls_dir(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority.server(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "users.toml").write_text(section(User("ann", HASH)))
    (tmp_path / "users.toml").chmod(0o600)
    (tmp_path / "roles.toml").write_text(ROLES)
    return tmp_path


def judged(options: DaemonOptions, now: datetime | None = None) -> dict[str, Verdict]:
    findings = examine_options(options, now)
    assert all(each.advice for each in findings if each.verdict is not Verdict.OK)
    return {each.name: each.verdict for each in findings}


def test_what_is_as_it_should_be_is_said(files: Path, tls_dir: Path, authority: Authority) -> None:
    words = ["serve", "--qmp", "q", "--api", ":8697", "--vnc", ":5900", "--tls-dir", str(tls_dir)]
    words += ["--password-file", str(files / "password"), "--users-file", str(files / "users.toml")]
    words += ["--api-client-ca", str(authority.path), "--api-roles", str(files / "roles.toml")]
    findings = examine_command(words)
    assert {each.verdict for each in findings} == {Verdict.OK}
    assert [each.name for each in findings] == [
        "options of serve",
        "password file",
        "users file",
        "TLS certificate",
        "client authorities",
        "roles file",
        "management API",
    ]


def test_nothing_is_said_of_what_is_not_asked_for() -> None:
    assert judged(DaemonOptions(run_dir=Path("/run"))) == {}


@pytest.mark.parametrize(
    ("option", "finding"),
    [
        ("password_file", "password file"),
        ("users_file", "users file"),
        ("tls_dir", "TLS certificate"),
        ("api_client_ca", "client authorities"),
        ("api_roles", "roles file"),
    ],
)
def test_a_file_that_is_not_there_does_not_work(
    tmp_path: Path, tls_dir: Path, option: str, finding: str
) -> None:
    given: dict[str, Any] = {"tls_dir": tls_dir, option: tmp_path / "nothing"}
    if option in ("password_file", "users_file"):
        given["auth"] = "password"
    assert judged(DaemonOptions(run_dir=tmp_path, **given))[finding] is Verdict.DEGRADED


@pytest.mark.parametrize(
    ("name", "option", "finding"),
    [("users.toml", "--users-file", "users file"), ("roles.toml", "--api-roles", "roles file")],
)
def test_a_file_with_a_slip_lets_nobody_in(files: Path, name: str, option: str, finding: str) -> None:
    (files / name).write_text("[ann]\nrole = 1\n")
    found = examine_command(["serve", "--qmp", "q", "--auth", "password", "--password-file",
                             str(files / "password"), option, str(files / name)])  # fmt: skip
    (wrong,) = [each for each in found if each.verdict is not Verdict.OK]
    assert (wrong.name, wrong.verdict) == (finding, Verdict.DEGRADED)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (datetime(2019, 12, 31, tzinfo=UTC), Verdict.DEGRADED),
        (datetime(2050, 1, 1, tzinfo=UTC), Verdict.OK),
        (datetime(2099, 12, 20, tzinfo=UTC), Verdict.WARNING),
        (datetime(2100, 1, 1, tzinfo=UTC), Verdict.DEGRADED),
    ],
)
def test_a_certificate_is_looked_at_for_its_time(tls_dir: Path, now: datetime, verdict: Verdict) -> None:
    assert judged(DaemonOptions(run_dir=tls_dir, tls_dir=tls_dir), now) == {"TLS certificate": verdict}


def test_an_authority_whose_time_is_over_is_told(tls_dir: Path, authority: Authority) -> None:
    options = DaemonOptions(run_dir=tls_dir, tls_dir=tls_dir, api_client_ca=authority.path)
    found = judged(options, datetime(2099, 1, 1, tzinfo=UTC))
    assert found["client authorities"] is Verdict.DEGRADED


def test_clients_with_certificates_and_without_roles_are_told(tls_dir: Path, authority: Authority) -> None:
    options = DaemonOptions(run_dir=tls_dir, tls_dir=tls_dir, api_client_ca=authority.path)
    assert judged(options)["roles file"] is Verdict.WARNING


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"api": (TcpAddress("127.0.0.1", 8697),)}, Verdict.OK),
        ({"api": (TcpAddress("", 8697),), "insecure": True}, Verdict.WARNING),
        ({"api": (TcpAddress("", 8697),), "auth": "ticket"}, Verdict.WARNING),
    ],
)
def test_an_api_for_everybody_or_without_tls_is_told(options: dict[str, Any], verdict: Verdict) -> None:
    assert judged(DaemonOptions(run_dir=Path("/run"), **options)) == {"management API": verdict}


def test_users_who_cannot_log_in_are_told(files: Path, tls_dir: Path) -> None:
    users: dict[str, Any] = {"auth": "password", "users_file": files / "users.toml"}
    assert judged(DaemonOptions(run_dir=files, **users)) == {
        "users file": Verdict.OK,
        "users over VNC": Verdict.WARNING,
    }
    rdp: dict[str, Any] = {"rdp": (TcpAddress("", 3389),), "rdp_security": "nla", "tls_dir": tls_dir}
    assert judged(DaemonOptions(run_dir=files, **users, **rdp))["users over RDP"] is Verdict.WARNING


def test_libvirt_is_missing_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    options = ServeOptions(run_dir=Path("/run"), libvirt="qemu:///system", domain="machine")
    assert judged(options) == {"libvirt-python": Verdict.MISSING}
    assert judged(ServeOptions(run_dir=Path("/run"), qmp=Path("q"))) == {}


def test_a_command_that_would_end_at_once_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--", "serve", "--qmp", "q", "--api", ":8697"]) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["options of serve"]["verdict"] == "degraded"
    assert "--api-client-ca" not in found
    assert "add --password-file" in found["options of serve"]["advice"]


def test_settings_come_from_where_the_command_has_them(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = files / "config.toml"
    config.write_text(f'password-file = "{files / "gone"}"\n[hook]\nannotate-vmi = true\n')
    monkeypatch.setenv("VDI_SIDECAR_VNC", ":5900")
    found = examine_command(["hook", "--config", str(config)])
    assert [(each.name, each.verdict) for each in found] == [
        ("options of hook", Verdict.OK),
        ("password file", Verdict.DEGRADED),
    ]


def test_secrets_that_are_found_are_shown(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "vdi-sidecar.password").write_text("secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(files))
    assert main(["doctor", "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["found secrets"]["found"] == f"password in {files / 'vdi-sidecar.password'}"


@pytest.mark.parametrize("words", [["--", "sessions"], ["--vmi", "-", "--", "serve"]])
def test_what_it_cannot_look_at_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
