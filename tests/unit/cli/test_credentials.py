"""Secrets that are where systemd or a mounted Secret puts them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config.credentials import FoundSecrets, found_secrets


@pytest.fixture
def find(tmp_path: Path) -> Callable[[], FoundSecrets]:
    for name in ("credentials", "mounted"):
        (tmp_path / name).mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    return lambda: found_secrets(environment, tmp_path / "mounted")


def put(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text("secret\n")


def test_nothing_is_found_where_nothing_is(find: Callable[[], FoundSecrets], tmp_path: Path) -> None:
    assert find() == FoundSecrets()
    assert found_secrets({}, tmp_path / "absent") == FoundSecrets()
    # a directory that is named in no absolute way is none of systemd's
    put(tmp_path, "vdi-sidecar.password")
    assert found_secrets({"CREDENTIALS_DIRECTORY": "."}, tmp_path / "absent") == FoundSecrets()


def test_credentials_of_systemd_are_found(find: Callable[[], FoundSecrets], tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    put(directory, "vnc-password")
    assert find() == FoundSecrets(directory / "vnc-password")
    put(directory, "vdi-sidecar.password", "vdi-sidecar.users", "tls.crt", "tls.key", "password", "users")
    assert find() == FoundSecrets(
        directory / "vdi-sidecar.password", directory / "vdi-sidecar.users", directory
    )


def test_a_mounted_secret_is_found_by_its_keys(find: Callable[[], FoundSecrets], tmp_path: Path) -> None:
    directory = tmp_path / "mounted"
    put(directory, "password", "users", "tls.crt")
    assert find() == FoundSecrets(directory / "password", directory / "users")
    put(directory, "tls.key")
    assert find().tls_dir == directory


def test_each_is_taken_from_where_it_is_found_first(find: Callable[[], FoundSecrets], tmp_path: Path) -> None:
    put(tmp_path / "mounted", "password", "users")
    put(tmp_path / "credentials", "vnc-password")
    assert find() == FoundSecrets(tmp_path / "credentials" / "vnc-password", tmp_path / "mounted" / "users")


def test_one_that_cannot_be_used_is_found_too(find: Callable[[], FoundSecrets], tmp_path: Path) -> None:
    link = tmp_path / "mounted" / "password"
    link.symlink_to("gone")
    assert find() == FoundSecrets(link)
