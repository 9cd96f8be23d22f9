"""What people type comes out as what they typed, whatever the layout, and keys as a terminal sends them."""

from string import ascii_letters, digits

import pytest
from support.synthetic_guest import SyntheticConsole

from sidecar.guest import Led
from sidecar.input.layout import Layout, layout_names
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput
from sidecar.terminal.keyboard import TerminalKeyboard

SHIFT, SHIFT_R, CTRL, CTRL_R, ALT, ALT_R, META = 0x2A, 0x36, 0x1D, 0x9D, 0x38, 0xB8, 0xDB
CAPS, NUM, PAUSE = 0x3A, 0x45, 0xC6
PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
OTHER_SCRIPTS = {"ara", "bg", "by", "gr", "il", "kz", "mk", "rs", "ru", "th", "ua"}
"""Layouts that write no Latin, and have some signs on the key of a Latin letter or digit."""
LATIN = sorted(
    set(layout_names()) - {"ara", "bg", "by", "gr", "il", "mk", "ru", "th", "ua", "rs", "ge", "am"}
)


class Typist:
    """A keyboard, and what it has sent."""

    def __init__(self, layout: str = "us") -> None:
        self.sent = ""
        self.breaks = 0
        self.application_cursor = False
        self.lights = 0
        self.keyboard = TerminalKeyboard(
            Layout(layout),
            send=self._send,
            send_break=self._send_break,
            application_cursor=lambda: self.application_cursor,
            lights_changed=self._lights_changed,
        )

    def _send(self, text: str) -> None:
        self.sent += text

    def _send_break(self) -> None:
        self.breaks += 1

    def _lights_changed(self) -> None:
        self.lights += 1

    def stroke(self, *qnums: int) -> str:
        """What is sent when these keys are pressed together, the last one last."""
        self.sent = ""
        for qnum in qnums:
            self.keyboard.press(qnum)
        for qnum in reversed(qnums):
            self.keyboard.release(qnum)
        return self.sent

    def session(self, layout: str) -> SessionInput:
        """Somebody who types on it by way of a frontend."""
        console = SyntheticConsole()
        console.keyboard = self.keyboard  # type: ignore[assignment]
        return SessionInput(Seat(console), Layout(layout), lambda: False)


@pytest.mark.parametrize("layout", layout_names())
def test_ascii_that_is_typed_in_any_layout_comes_out(layout: str) -> None:
    typist = Typist(layout)
    session = typist.session(layout)
    for character in PRINTABLE if layout not in OTHER_SCRIPTS else [*ascii_letters, *digits, " "]:
        typist.sent = ""
        session.key_event(True, ord(character))
        session.key_event(False, ord(character))
        assert typist.sent == character


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("de", "äöüÄÖÜß€@{[]}\\~|²³µ"),
        ("fr", "éèçàù§µ€@#{[|\\^]}"),
        ("es", "ñÑçÇ¡¿ºª€@#áéíóúü"),
        ("se", "åäöÅÄÖ€@£${[]}\\"),
        ("pl", "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ€"),
        ("cz", "ěščřžýáíéúů"),
        ("gb", '£€¬|@"#~'),
        ("br", "çÇáéíóúãõâêô"),
    ],
)
def test_letters_of_a_layout_come_out(layout: str, text: str) -> None:
    typist = Typist(layout)
    session = typist.session(layout)
    session.character(text)
    assert typist.sent == text


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ((0x01,), "\x1b"),
        ((0x0E,), "\x7f"),
        ((0x0F,), "\t"),
        ((0x1C,), "\r"),
        ((0x9C,), "\r"),
        ((0xC8,), "\x1b[A"),
        ((0xD0,), "\x1b[B"),
        ((0xCD,), "\x1b[C"),
        ((0xCB,), "\x1b[D"),
        ((0xC7,), "\x1b[1~"),
        ((0xD2,), "\x1b[2~"),
        ((0xD3,), "\x1b[3~"),
        ((0xCF,), "\x1b[4~"),
        ((0xC9,), "\x1b[5~"),
        ((0xD1,), "\x1b[6~"),
        ((0x3B,), "\x1bOP"),
        ((0x3E,), "\x1bOS"),
        ((0x3F,), "\x1b[15~"),
        ((0x44,), "\x1b[21~"),
        ((0x57,), "\x1b[23~"),
        ((0x58,), "\x1b[24~"),
        ((SHIFT, 0x0F), "\x1b[Z"),
        ((CTRL, 0x0E), "\b"),
        ((CTRL, 0xCD), "\x1b[1;5C"),
        ((SHIFT, 0xC9), "\x1b[5;2~"),
        ((ALT, 0x3B), "\x1b[1;3P"),
        ((CTRL, 0x2E), "\x03"),
        ((CTRL_R, 0x20), "\x04"),
        ((CTRL, SHIFT, 0x1E), "\x01"),
        ((CTRL, 0x39), "\x00"),
        ((CTRL, 0x1A), "\x1b"),
        ((CTRL, 0x1B), "\x1d"),
        ((CTRL, 0x35), "\x1f"),
        ((CTRL, SHIFT, 0x0C), "\x1f"),
        ((CTRL, 0x03), "\x00"),
        ((CTRL, 0x09), "\x7f"),
        ((CTRL, 0x02), "1"),
        ((ALT, 0x30), "\x1bb"),
        ((ALT_R, 0x30), "\x1bb"),
        ((ALT, 0x1C), "\x1b\r"),
        ((CTRL, ALT, 0x2E), "\x1b\x03"),
        ((META, 0x1E), ""),
        ((SHIFT,), ""),
        ((0xDD,), ""),
        ((0x47,), "7"),
        ((0x53,), "."),
        ((0x37,), "*"),
        ((SHIFT, 0x47), "\x1b[1~"),
        ((0xFF,), ""),
    ],
)
def test_keys_send_what_a_terminal_sends(keys: tuple[int, ...], sent: str) -> None:
    assert Typist().stroke(*keys) == sent


def test_the_keypad_moves_without_num_lock() -> None:
    typist = Typist()
    assert typist.stroke(0x48) == "8"
    typist.stroke(NUM)
    assert typist.keyboard.leds == Led(0)
    assert typist.stroke(0x48) == "\x1b[A"
    assert typist.stroke(0x4C) == ""
    assert typist.stroke(SHIFT, 0x48) == "8"


def test_arrow_keys_have_another_form_while_the_guest_wants_it() -> None:
    typist = Typist()
    typist.application_cursor = True
    assert typist.stroke(0xC8) == "\x1bOA"
    assert typist.stroke(CTRL, 0xC8) == "\x1b[1;5A"


def test_caps_lock_turns_letters_and_nothing_else_around() -> None:
    typist = Typist("de")
    typist.stroke(CAPS)
    assert [typist.stroke(*keys) for keys in ((0x1E,), (SHIFT, 0x1E), (0x28,), (0x02,))] == [
        "A",
        "a",
        "Ä",
        "1",
    ]
    assert typist.lights == 1


def test_a_key_that_is_held_repeats_and_a_lock_does_not() -> None:
    typist = Typist()
    for _ in range(3):
        typist.keyboard.press(0x1E)
        typist.keyboard.press(CAPS)
    assert typist.sent == "aAA"
    assert typist.lights == 1


def test_dead_keys_make_accents() -> None:
    typist = Typist("de")
    acute, circumflex, space, e, x = 0x0D, 0x29, 0x39, 0x12, 0x2D
    assert [typist.stroke(key) for key in (acute, e)] == ["", "é"]
    assert [typist.stroke(key) for key in (circumflex, space)] == ["", "^"]
    assert [typist.stroke(key) for key in (circumflex, circumflex, e)] == ["", "^", "e"]
    assert [typist.stroke(key) for key in (acute, x, e)] == ["", "x", "e"]
    typist.stroke(acute)
    typist.keyboard.forget()
    assert typist.stroke(e) == "e"


def test_ctrl_that_comes_along_with_altgr_is_none() -> None:
    typist = Typist("de")
    assert typist.stroke(ALT_R, 0x10) == "@"
    assert typist.stroke(CTRL, ALT_R, 0x10) == "@"
    assert typist.stroke(CTRL_R, ALT_R, 0x0A) == "\x1d"


def test_a_break_is_ctrl_and_pause() -> None:
    typist = Typist()
    assert typist.stroke(PAUSE) == typist.stroke(CTRL, PAUSE) == ""
    assert typist.breaks == 1
