"""The password of vdi-qemu-vnc and the user of vdi-qemu-rdp, and how long they are taken."""

from pathlib import Path

import pytest

from sidecar.drop_in.rdp_credentials import OneUser, RdpCredentials
from sidecar.drop_in.vnc_password import CannotSet, NoPassword, VncPassword
from sidecar.errors import SidecarError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_nobody_gets_in_before_a_password_is_set() -> None:
    password = VncPassword()
    with pytest.raises(NoPassword, match="SetPassword"):
        password.read()
    password.set("secret")
    assert password.read() == "secret"


def test_an_empty_password_lets_nobody_in() -> None:
    password = VncPassword()
    password.set("secret")
    password.set("")
    with pytest.raises(NoPassword):
        password.read()


def test_a_credential_is_read_for_each_login_until_a_password_is_set(tmp_path: Path) -> None:
    credential = tmp_path / "vnc-password"
    password = VncPassword(credential)
    with pytest.raises(SidecarError):
        password.read()
    credential.write_text("one\n")
    assert password.read() == "one"
    credential.write_text("two\n")
    assert password.read() == "two"
    password.set("three")
    assert password.read() == "three"


def test_a_password_expires_at_a_moment_and_another_one_does_not_change_that() -> None:
    clock = Clock()
    password = VncPassword(clock=clock)
    password.set("secret")
    password.expire("+60")
    clock.now = 1059.9
    assert password.read() == "secret"
    clock.now = 1060
    with pytest.raises(NoPassword, match="expired"):
        password.read()
    password.set("other")
    with pytest.raises(NoPassword, match="expired"):
        password.read()
    password.expire("never")
    assert password.read() == "other"
    password.expire("2000")
    assert password.read() == "other"
    password.expire("now")
    with pytest.raises(NoPassword, match="expired"):
        password.read()


@pytest.mark.parametrize("moment", ["", "soon", "+", "-1", "+-1", "1.5", "1_0", "\u0661", "9" * 20, " 1"])
def test_what_is_no_moment_is_refused_and_changes_nothing(moment: str) -> None:
    password = VncPassword()
    password.set("secret")
    with pytest.raises(CannotSet):
        password.expire(moment)
    assert password.read() == "secret"


def test_a_password_that_is_too_long_is_refused() -> None:
    with pytest.raises(CannotSet):
        VncPassword().set("x" * 1025)


def test_one_user_gets_in_by_rdp_once_it_is_named() -> None:
    now: list[RdpCredentials | None] = [None]
    user = OneUser(credentials=lambda: now[0])
    assert user.asked
    assert user.password_of("alice") is None
    now[0] = RdpCredentials("Alice", "secret")
    assert user.password_of("alice") == "secret"
    assert user.password_of("bob") is None
    assert user.password_of("") is None
    now[0] = RdpCredentials("alice", "")
    assert user.password_of("alice") is None
    assert "secret" not in repr(RdpCredentials("alice", "secret"))
