"""What is typed, told apart from what is meant for this program."""

import pytest

from sidecar.console.escape import Command, EscapeFilter, menu, parse_escape, shown_key
from sidecar.errors import UsageError

MENU, LEAVE, BREAK, SUSPEND = Command.MENU, Command.LEAVE, Command.BREAK, Command.SUSPEND
ESCAPE = 0x1D


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (b"ls\r\x03\x1a", [b"ls\r\x03\x1a"]),
        (b"a\x1dq", [b"a", MENU, LEAVE]),
        (b"\x1d.", [MENU, LEAVE]),
        (b"\x1dQ", [MENU, LEAVE]),
        (b"a\x1dbc", [b"a", MENU, BREAK, b"c"]),
        (b"\x1dz", [MENU, SUSPEND]),
        (b"\x1d\x1d", [MENU, b"\x1d"]),
        (b"\x1d\x1dq", [MENU, b"\x1dq"]),
        (b"\x1dxy", [MENU, b"y"]),
        (b"\x1d?q", [MENU, MENU, LEAVE]),
        (b"\x1d\xe9", [MENU]),
    ],
)
def test_the_keys_behind_the_escape_character(typed: bytes, meant: list[bytes | Command]) -> None:
    assert EscapeFilter(ESCAPE).feed(typed) == meant
    one_by_one = EscapeFilter(ESCAPE)
    apart = [each for byte in typed for each in one_by_one.feed(bytes((byte,)))]
    assert b"".join(each for each in apart if isinstance(each, bytes)) == b"".join(
        each for each in meant if isinstance(each, bytes)
    )
    assert [each for each in apart if isinstance(each, Command)] == [
        each for each in meant if isinstance(each, Command)
    ]


def test_without_an_escape_character_everything_is_for_the_port() -> None:
    every_byte = bytes(range(256))
    assert EscapeFilter(None).feed(every_byte) == [every_byte]


@pytest.mark.parametrize(
    ("text", "character", "key"),
    [("^]", 0x1D, "Ctrl-]"), ("^a", 1, "Ctrl-A"), ("^?", 0x7F, "Ctrl-?"), ("~", 0x7E, "~"), ("^", 0x5E, "^")],
)
def test_escape_characters_as_people_write_them(text: str, character: int, key: str) -> None:
    assert parse_escape(text) == character
    assert shown_key(character) == key
    assert key in menu(character)


def test_none_is_no_escape_character() -> None:
    assert parse_escape("none") is None


@pytest.mark.parametrize("text", ["", "^]]", "^1", "\u00e9", "^\u00e9", "ab"])
def test_what_is_no_escape_character_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_escape(text)
