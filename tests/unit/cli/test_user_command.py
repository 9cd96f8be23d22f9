"""`vdi-sidecar user` as a person meets it."""

import io
from pathlib import Path

import pytest

from sidecar.access import scrypt
from sidecar.access.users import Users
from sidecar.cli import main
from sidecar.cli.program import program
from sidecar.cli.user import user
from sidecar.rdp.ntlm import nt_hash

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(program.commands, "user", user)


def made(capsys: Capture, *arguments: str) -> str:
    assert main(["user", "hash", *arguments]) == 0
    return capsys.readouterr().out


def written(path: Path, text: str) -> Users:
    path.write_text(text)
    path.chmod(0o600)
    return Users(path)


def test_what_it_prints_is_a_user_of_the_file(tmp_path: Path, capsys: Capture) -> None:
    password = tmp_path / "password"
    password.write_text("ann's own\n")
    given = ["--password-file", str(password)]
    text = made(capsys, "ann", *given)
    text += made(
        capsys,
        *('bob "the" bold', "--nla", "--view-only", "--role", "operator"),
        *("--protocol", "rdp", "--console", "0", "--console", "\\x", *given),
    )
    users = written(tmp_path / "users.toml", text)
    users.check()
    ann, bob = users.find("ann"), users.find('bob "the" bold')
    assert ann is not None
    assert bob is not None
    assert ann.password.matches("ann's own")
    assert ann.nt_hash is None
    assert (ann.view_only, ann.consoles, ann.protocols, ann.role) == (False, None, None, "")
    assert bob.nt_hash == nt_hash("ann's own")
    assert (bob.view_only, bob.consoles, bob.protocols, bob.role) == (
        True,
        frozenset({"0", "\\x"}),
        frozenset({"rdp"}),
        "operator",
    )
    assert "ann's own" not in text


def test_the_password_can_come_from_standard_input(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed in\n")))
    users = written(tmp_path / "users.toml", made(capsys, "ann", "--password-stdin"))
    ann = users.find("ann")
    assert ann is not None
    assert ann.password.matches("typed in")


def test_without_a_terminal_it_is_said_where_a_password_can_come_from(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed in\n")))
    assert main(["user", "hash", "ann"]) == 2
    assert "give --password-file PATH or --password-stdin" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "a:b", " ann", "x" * 65, "a\nb"])
def test_a_name_that_nobody_can_have_is_refused_before_a_password_is_asked_for(
    name: str, capsys: Capture
) -> None:
    assert main(["user", "hash", name]) == 2
    assert "a user's name" in capsys.readouterr().err


def test_a_file_is_checked_and_its_users_listed(tmp_path: Path, capsys: Capture) -> None:
    kept = scrypt.nobodys(scrypt.Cost(10, 1, 1))
    path = tmp_path / "users.toml"
    written(path, f"[ann]\npassword='{kept}'\n[bob]\npassword='{kept}'\nview-only=true\nrole='viewer'\n")
    assert main(["user", "check", "--users-file", str(path)]) == 0
    assert capsys.readouterr().out == "ann: all protocols\nbob: all protocols, view-only, viewer\n2 users\n"
    path.chmod(0o644)
    assert main(["user", "check", "--users-file", str(path)]) == 0
    assert "everybody can read" in capsys.readouterr().err
    path.write_text("[ann]\n")
    assert main(["user", "check", "--users-file", str(path)]) == 1
    assert f"cannot use the users file {path}: 'ann' has no password" in capsys.readouterr().err
