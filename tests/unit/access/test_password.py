import pytest

from sidecar.access.password import Passwords, same
from sidecar.errors import SidecarError


def test_the_password_is_read_anew_each_time() -> None:
    present = ["one", "two"]
    passwords = Passwords(lambda: present.pop(0))
    assert passwords.asked
    assert [passwords.password_of("me"), passwords.password_of("me")] == ["one", "two"]


def test_all_names_share_it() -> None:
    passwords = Passwords(lambda: "secret")
    assert {passwords.password_of(user) for user in ("", "me", "you")} == {"secret"}


def test_where_nobody_is_asked_there_is_no_password() -> None:
    assert not Passwords().asked
    assert Passwords().password_of("me") is None


def test_an_empty_or_unreadable_password_lets_nobody_in() -> None:
    def unreadable() -> str:
        raise SidecarError("gone")

    for read in (unreadable, str):
        passwords = Passwords(read)
        assert passwords.password_of("me") is None


@pytest.mark.parametrize("text", ["", "a", "p\u00e4ss", "\udcff", "\0"])
def test_any_text_is_the_same_as_itself_alone(text: str) -> None:
    assert same(text, text)
    assert not same(text, text + "x")
