"""The Job of `manifests/secrets` that copies a Secret onto a volume: its script, run by this machine's sh."""

from pathlib import Path

import pytest
from manifest_machines import copy

FILES = ("password", "tls.crt", "tls.key")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """As kubelet mounts one: what has a name is a link to what is behind it."""
    behind = tmp_path / "secret" / "..data"
    behind.mkdir(parents=True)
    for name in FILES:
        (behind / name).write_text(f"{name} of now\n")
        (tmp_path / "secret" / name).symlink_to(behind / name)
    return tmp_path / "secret"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def test_the_files_are_the_sidecars_own_and_nobody_elses(secret: Path, volume: Path) -> None:
    answer = copy(secret, volume)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in volume.iterdir()}
    assert found == {name: (f"{name} of now\n", 0o600) for name in FILES}


def test_a_second_run_brings_what_is_new(secret: Path, volume: Path) -> None:
    copy(secret, volume)
    (secret / "..data" / "password").write_text("another\n")
    assert copy(secret, volume).returncode == 0
    assert (volume / "password").read_text() == "another\n"
    assert sorted(path.name for path in volume.iterdir()) == sorted(FILES)


def test_a_secret_that_lacks_a_file_changes_nothing(secret: Path, volume: Path) -> None:
    copy(secret, volume)
    (secret / "..data" / "password").write_text("another\n")
    (secret / "tls.key").unlink()
    answer = copy(secret, volume)
    assert answer.returncode != 0
    assert b"tls.key" in answer.stderr
    assert {name: (volume / name).read_text() for name in FILES} == {
        name: f"{name} of now\n" for name in FILES
    }


def test_users_and_roles_are_copied_where_there_are_any(secret: Path, volume: Path) -> None:
    for name in ("users", "client-ca.crt", "roles.toml"):
        (secret / name).write_text(f"{name} of now\n")
    assert copy(secret, volume).returncode == 0
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in volume.iterdir()}
    names = (*FILES, "users", "client-ca.crt", "roles.toml")
    assert found == {name: (f"{name} of now\n", 0o600) for name in names}


def test_what_has_been_taken_away_is_on_the_volume_no_more(secret: Path, volume: Path) -> None:
    (secret / "users").write_text("ann\n")
    copy(secret, volume)
    # a run that fails leaves what it has begun with
    (volume / ".roles.toml.new").write_text("never applied\n")
    (secret / "users").unlink()
    assert copy(secret, volume).returncode == 0
    assert sorted(path.name for path in volume.iterdir()) == sorted(FILES)
