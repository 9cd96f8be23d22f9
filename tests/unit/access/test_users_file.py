"""The file of users: what is in it, what must not be, and when it is read again."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.access import scrypt
from sidecar.access.grant import Grant
from sidecar.access.users import Users
from sidecar.access.users_file import (
    LONGEST_FILE,
    MOST_USERS,
    ROLES,
    User,
    UsersFileUnusable,
    check_name,
    parse,
    section,
)

CHEAP = scrypt.Cost(ln=10, r=1, p=1)
HASH = scrypt.make("secret", os.urandom, CHEAP)
ANN = User("ann", HASH)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.toml"


def write(path: Path, *users: User, text: str = "", mode: int = 0o600) -> None:
    new = path.with_suffix(".new")
    new.write_text("".join(map(section, users)) + text)
    new.chmod(mode)
    new.replace(path)


plain = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
names = st.text(plain, min_size=1, max_size=64).filter(lambda name: name == name.strip() and ":" not in name)
words = st.text(plain, min_size=1, max_size=20)


@given(
    st.builds(
        User,
        names,
        st.just(HASH),
        st.none() | st.binary(min_size=16, max_size=16),
        st.booleans(),
        st.none() | st.frozensets(words, min_size=1, max_size=16),
        st.none() | st.frozensets(st.sampled_from(["vnc", "rdp", "web", "api"]), min_size=1),
        st.sampled_from(["", *ROLES]),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_for_a_user_is_read_as_that_user(user: User) -> None:
    check_name(user.name)
    assert parse(section(user).encode()) == {user.name: user}


def told(content: bytes) -> str:
    """What is wrong with a file; empty: nothing is."""
    try:
        parse(content)
    except UsersFileUnusable as error:
        return str(error)
    return ""


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_users_or_unusable(content: bytes) -> None:
    assert told(content).isprintable()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(str(HASH)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, int | float):
        return str(value)
    return "'" + str(value).replace("'", "").replace("\n", "") + "'"


@given(
    st.dictionaries(
        st.sampled_from(["password", "nt-hash", "view-only", "consoles", "protocols", "role", "rule"]), values
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_table_of_any_values_is_a_user_or_unusable(table: dict[str, object]) -> None:
    lines = "\n".join(f"{key} = {toml(value)}" for key, value in table.items())
    # nothing that may be half a hash is told
    assert str(HASH)[-20:] not in told(f"[ann]\npassword = '{HASH}'\n{lines}".encode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ann = 'secret'", "'ann' is no user: write"),
        ("[ann]\nview-only = true", "'ann' has no password: `vdi-sidecar user hash` makes one"),
        ("[ann]\npassword = 'secret'", r"the password of 'ann' is not \$scrypt"),
        ("[ann]\npassword = 7", "password of 'ann' is not text"),
        (f"[ann]\npassword = '{HASH}'\nviewonly = true", "'ann' has 'viewonly'; a user has consoles"),
        (f"[ann]\npassword = '{HASH}'\nview-only = 1", "neither true nor false"),
        (f"[ann]\npassword = '{HASH}'\nrole = 'root'", "none of viewer, operator, admin"),
        (f"[ann]\npassword = '{HASH}'\nprotocols = ['spice']", "not all of vnc"),
        (f"[ann]\npassword = '{HASH}'\nprotocols = []", "leave it out for all"),
        (f"[ann]\npassword = '{HASH}'\nconsoles = '0'", "not a list"),
        (f"[ann]\npassword = '{HASH}'\nnt-hash = 'secret'", "not 32 hexadecimal digits"),
        (f"['a:b']\npassword = '{HASH}'", "no colon"),
        (f"[' ann']\npassword = '{HASH}'", "no blanks around it"),
        (f"['']\npassword = '{HASH}'", "1 to 64 characters"),
        (f'["a\\u001b"]\npassword = "{HASH}"', "no control characters"),
        ("[ann\n", r"not TOML \(at line 1, column 5\)"),
        ("a = " + "[" * 10000, "not TOML"),
        ("a = " + "9" * 10000, "not TOML"),
        ("# " * LONGEST_FILE, "longer than"),
        ("".join(f"[u{number}]\n" for number in range(MOST_USERS + 1)), "more than 1024 users"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, why: str) -> None:
    with pytest.raises(UsersFileUnusable, match=why) as refused:
        parse(text.encode())
    assert str(refused.value).isprintable()


def test_what_a_user_may_do_is_granted() -> None:
    text = f"[ann]\npassword='{HASH}'\nview-only=true\nconsoles=['0']\nprotocols=['vnc']\nrole='viewer'"
    ann = parse(text.encode())["ann"]
    assert ann.grant == Grant("user", "ann", True, frozenset({"0"}), role="viewer")
    assert ann.may_use("vnc")
    assert not ann.may_use("rdp")


def test_the_file_is_read_again_when_it_has_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, ANN)
    users = Users(path)
    assert users.find("ann") == ANN
    assert users.find("bob") is None
    parsed = []

    def noted(content: bytes) -> dict[str, User]:
        parsed.append(content)
        return parse(content)

    monkeypatch.setattr("sidecar.access.users.parse", noted)
    assert users.find("ann") == ANN
    assert not parsed
    write(path, User("bob", HASH))
    assert users.find("ann") is None
    assert users.find("bob") is not None
    assert len(parsed) == 1


def broken(path: Path) -> None:
    write(path, ANN, text="[bob]\npassword = 'secret'\n")


def gone(path: Path) -> None:
    path.unlink()


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [broken, gone, open_to_all, a_pipe])
def test_while_the_file_is_not_as_it_must_be_there_are_no_users(
    path: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    write(path, ANN)
    users = Users(path)
    assert users.find("ann") == ANN
    change(path)
    assert [users.find("ann") for _ in range(3)] == [None] * 3
    assert [record.getMessage() for record in caplog.records] == ["users cannot log in"]
    with pytest.raises(UsersFileUnusable, match=r"^cannot use the users file .+: .+$"):
        users.check()
    write(path, ANN)
    assert users.find("ann") == ANN


@pytest.mark.parametrize(
    ("mode", "user", "refused"),
    [
        (0o600, User("ann", HASH, bytes(16)), ""),
        (0o640, User("ann", HASH, bytes(16)), ""),
        (0o644, ANN, ""),
        (0o644, User("ann", HASH, bytes(16)), "everybody can read it .mode 0644. and there is an nt-hash"),
        (0o602, ANN, "everybody can write it"),
    ],
)
def test_who_else_may_read_and_write_it_is_looked_at(path: Path, mode: int, user: User, refused: str) -> None:
    write(path, user, mode=mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    if not refused:
        Users(path).check()
        return
    with pytest.raises(UsersFileUnusable, match=refused):
        Users(path).check()


def test_a_mounted_secret_is_a_link_that_is_turned(tmp_path: Path) -> None:
    for name, user in (("one", "ann"), ("two", "bob")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "users", User(user, HASH))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "users").symlink_to("data/users")
    users = Users(tmp_path / "users")
    assert users.find("ann") is not None
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(tmp_path / "data")
    assert users.find("ann") is None
    assert users.find("bob") is not None
