"""Keysyms and key codes become the presses that the guest needs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_console import Clock, Journal, MakeSession, RecordingConsole

from sidecar.guest import Led
from sidecar.input.layout import Layout
from sidecar.input.qnum import VALID
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput

SHIFT, CONTROL, ALT, ALT_R, LEVEL3 = 0xFFE1, 0xFFE3, 0xFFE9, 0xFFEA, 0xFE03
CAPS_LOCK, LEFT_TAB, TAB = 0xFFE5, 0xFE20, 0xFF09


def press(session: SessionInput, *keysyms: int | str) -> None:
    for keysym in keysyms:
        session.key_event(True, ord(keysym) if isinstance(keysym, str) else keysym)


def release(session: SessionInput, *keysyms: int | str) -> None:
    for keysym in keysyms:
        session.key_event(False, ord(keysym) if isinstance(keysym, str) else keysym)


def tap(session: SessionInput, keysym: int | str) -> None:
    press(session, keysym)
    release(session, keysym)


@pytest.mark.parametrize(
    ("layout", "keysym", "expected"),
    [
        ("us", ord("a"), "+a -a"),
        ("us", ord("A"), "+shift +a -shift -a"),
        ("us", ord("@"), "+shift +2 -shift -2"),
        ("us", ord(" "), "+space -space"),
        ("us", 0xFF0D, "+1c -1c"),
        ("us", 0xFFC9, "+58 -58"),
        ("us", 0xFF61, "+54 -54"),
        ("us", 0xFF13, "+c6 -c6"),
        ("us", LEFT_TAB, "+shift +0f -shift -0f"),
        ("en-us", ord("a"), "+a -a"),
        ("de", ord("z"), "+y -y"),
        ("de", ord("Y"), "+shift +z -shift -z"),
        ("de", ord("@"), "+altgr +q -altgr -q"),
        ("de", ord("\\"), "+altgr +0c -altgr -0c"),
        ("de", 0x20AC, "+altgr +12 -altgr -12"),
        ("de", 0x010020AC, "+altgr +12 -altgr -12"),
        ("de", 0xDF, "+0c -0c"),
        ("fr", ord("a"), "+q -q"),
        ("fr", ord("1"), "+shift +02 -shift -02"),
        ("gb", ord('"'), "+shift +2 -shift -2"),
        ("gb", ord("#"), "+2b -2b"),
        ("jp", ord("\\"), "+73 -73"),
        ("br", ord("/"), "+73 -73"),
        ("ru", 0x6C6, "+a -a"),
        ("ru", 0x01000444, "+a -a"),
        ("ru", 0x01000424, "+shift +a -shift -a"),
    ],
)
def test_a_keysym_is_typed_with_the_modifiers_that_its_layout_needs(
    session: MakeSession, journal: Journal, layout: str, keysym: int, expected: str
) -> None:
    tap(session(layout), keysym)
    assert journal.typed() == expected


def test_a_latin_letter_on_a_cyrillic_layout_is_typed_as_on_the_us_layout(
    session: MakeSession, journal: Journal
) -> None:
    tap(session("ru"), "q")
    assert journal.typed() == "+q -q"


def test_an_accent_that_has_only_a_dead_key_is_made_with_the_space_bar(
    session: MakeSession, journal: Journal
) -> None:
    tap(session("de"), "^")
    assert journal.typed() == "+29 -29 +space -space"


def test_a_letter_that_has_no_key_is_composed_with_its_dead_key(
    session: MakeSession, journal: Journal
) -> None:
    tap(session("es"), 0xC1)
    assert journal.typed() == "+28 -28 +shift +a -shift -a"


def test_an_unknown_keysym_does_nothing(session: MakeSession, journal: Journal) -> None:
    client = session()
    for keysym in (0, 0xFFFFFFFF, 0x0100D800, 0x01110000, 0xE9, 0x100):
        tap(client, keysym)
    assert journal.take() == []


def test_what_the_client_holds_already_is_not_pressed_again(session: MakeSession, journal: Journal) -> None:
    client = session()
    press(client, SHIFT, "A")
    release(client, "A", SHIFT)
    assert journal.typed() == "+shift +a -a -shift"


def test_a_symbol_that_needs_no_shift_is_typed_under_a_held_shift(
    session: MakeSession, journal: Journal
) -> None:
    # a French client's digits are shifted, the guest's are not
    client = session("us")
    press(client, SHIFT, "2")
    release(client, "2", SHIFT)
    assert journal.typed() == "+shift -shift +2 +shift -2 -shift"


def test_both_shift_keys_are_lifted_and_put_back(session: MakeSession, journal: Journal) -> None:
    client = session()
    press(client, SHIFT, 0xFFE2, "a")
    assert journal.typed() == "+shift +shift_r -shift -shift_r +a +shift_r +shift"


def test_a_key_pressed_under_shift_comes_up_when_shift_was_let_go_first(
    session: MakeSession, journal: Journal
) -> None:
    client = session()
    press(client, SHIFT, "A")
    release(client, SHIFT, "a")
    assert journal.keys == set()


def test_a_key_whose_symbol_changed_while_it_repeated_comes_up_once(
    session: MakeSession, journal: Journal
) -> None:
    client = session()
    press(client, SHIFT, "A")
    release(client, SHIFT)
    press(client, "a", "a")
    release(client, "a")
    assert journal.keys == set()
    release(client, "A")
    assert journal.typed() == "+shift +a -shift +a +a -a"


def test_a_repeated_key_press_is_passed_on(session: MakeSession, journal: Journal) -> None:
    press(session(), "a", "a", "a")
    assert journal.typed() == "+a +a +a"


def test_the_release_of_a_key_that_is_not_held_is_ignored(session: MakeSession, journal: Journal) -> None:
    release(session(), "a", SHIFT)
    assert journal.take() == []


def test_a_letter_under_a_command_key_keeps_shift_as_it_is(session: MakeSession, journal: Journal) -> None:
    client = session()
    press(client, CONTROL, "C")
    release(client, "C")
    press(client, SHIFT, "t")
    release(client, "t")
    assert journal.typed() == "+ctrl +2e -2e +shift +14 -14"


def test_altgr_of_a_windows_client_makes_a_character_and_not_a_command(
    session: MakeSession, journal: Journal
) -> None:
    client = session("de")
    press(client, CONTROL, ALT_R, "@")
    release(client, "@", ALT_R, CONTROL)
    assert journal.typed() == "+ctrl +altgr -ctrl +q +ctrl -q -altgr -ctrl"


def test_altgr_of_a_foreign_client_is_lifted_for_a_symbol_that_needs_none(
    session: MakeSession, journal: Journal
) -> None:
    client = session("us")
    press(client, LEVEL3, "@")
    release(client, "@", LEVEL3)
    assert journal.typed() == "+altgr -altgr +shift +2 -shift +altgr -2 -altgr"


def test_the_right_alt_key_of_a_layout_without_altgr_is_a_command(
    session: MakeSession, journal: Journal
) -> None:
    client = session("us")
    press(client, ALT_R, "a")
    assert journal.typed() == "+altgr +a"


def test_tab_keeps_the_shift_that_is_held(session: MakeSession, journal: Journal) -> None:
    client = session()
    press(client, SHIFT, TAB)
    release(client, TAB)
    press(client, LEFT_TAB)
    assert journal.typed() == "+shift +0f -0f +0f"


@pytest.mark.parametrize(
    ("keycode", "expected"),
    [
        (0x1E, "+a -a"),
        (0xB7, "+54 -54"),
        (0x54, "+54 -54"),
        (0xC6, "+c6 -c6"),
        (0xE05B, "+db -db"),
        (0xF2, "+72 -72"),
        (0xE11D, "+c6 -c6"),
    ],
)
def test_a_key_code_is_the_key_whatever_the_keysym(
    session: MakeSession, journal: Journal, keycode: int, expected: str
) -> None:
    client = session("de")
    client.qemu_key_event(True, ord("@"), keycode)
    client.qemu_key_event(False, ord("@"), keycode)
    assert journal.typed() == expected


@pytest.mark.parametrize("keycode", [0, 0xAA, 0xB6, 0xFF, 0x100, 0x1E1E, 0xE09E, 0xFFFFFFFF])
def test_the_keysym_counts_where_the_key_code_names_no_key(
    session: MakeSession, journal: Journal, keycode: int
) -> None:
    session().qemu_key_event(True, ord("a"), keycode)
    assert journal.typed() == "+a"


def test_a_key_pressed_by_keysym_can_be_let_go_by_key_code(session: MakeSession, journal: Journal) -> None:
    client = session()
    press(client, "a")
    client.qemu_key_event(False, ord("a"), 0x1E)
    assert journal.keys == set()


def test_caps_lock_in_the_guest_is_reckoned_with(session: MakeSession, journal: Journal) -> None:
    journal.leds = Led.CAPS
    client = session("us")
    client.follows_leds = True
    for character in "Aa1":
        tap(client, character)
    assert journal.typed() == "+a -a +shift +a -shift -a +02 -02"


def test_a_lock_that_was_just_pressed_counts_before_its_light_comes_on(
    session: MakeSession, journal: Journal
) -> None:
    client = session()
    client.follows_leds = True
    tap(client, CAPS_LOCK)
    tap(client, "A")
    assert journal.typed() == "+caps -caps +a -a"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(
                [SHIFT, 0xFFE2, CONTROL, ALT, ALT_R, LEVEL3, CAPS_LOCK, LEFT_TAB, *b"aA@1^%/", 0xE9, 0xFFB7]
            ),
        ),
        max_size=40,
    ),
    st.sampled_from(["us", "de", "es", "ru"]),
    st.sampled_from([0, 2, 4, 6]),
)
def test_nothing_stays_pressed_whatever_a_client_sent(
    events: list[tuple[bool, int]], layout: str, leds: int
) -> None:
    console = RecordingConsole()
    console.journal.leds = Led(leds)
    seat = Seat(console, Clock())
    client = SessionInput(seat, Layout(layout), lambda: False)
    for down, keysym in events:
        client.key_event(down, keysym)
        # what was pressed or lifted for one stroke is as the client holds it again
        assert console.journal.keys == {qnum for qnum in VALID if seat.is_down(qnum)}
    client.release_all()
    assert console.journal.keys == set()


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_numbers_are_taken_and_only_valid_keys_pressed(down: bool, keysym: int, keycode: int) -> None:
    console = RecordingConsole()
    client = SessionInput(Seat(console, Clock()), Layout("de"), lambda: False)
    client.key_event(down, keysym)
    client.qemu_key_event(down, keysym, keycode)
    assert console.journal.keys <= VALID
