"""Text is typed through the guest's layout, and the locks are set to what a client says."""

import logging

import pytest
from recording_console import Clock, Journal, MakeSession

from sidecar.guest import Led


@pytest.mark.parametrize(
    ("layout", "text", "expected"),
    [
        ("us", "aB", "+a -a +shift +b -shift -b"),
        ("us", "a@", "+a -a +shift +2 -shift -2"),
        ("us", "\r\n", "+1c -1c +1c -1c"),
        ("us", "\t\b\x1b\x7f", "+0f -0f +0e -0e +01 -01 +d3 -d3"),
        ("us", " ", "+space -space"),
        ("de", "z@€", "+y -y +altgr +q -altgr -q +altgr +12 -altgr -12"),
        ("de", "é", "+0d -0d +12 -12"),
        ("de", "^", "+29 -29 +space -space"),
        ("fr", "a1", "+q -q +shift +02 -shift -02"),
        ("ru", "фФ", "+a -a +shift +a -shift -a"),
        ("us", "\N{GRINNING FACE}\0\x80é", ""),
    ],
)
def test_each_character_is_pressed_and_let_go_of_with_the_modifiers_it_needs(
    session: MakeSession, journal: Journal, layout: str, text: str, expected: str
) -> None:
    session(layout).character(text)
    assert journal.typed() == expected
    assert journal.keys == set()


def test_held_modifiers_are_lifted_for_a_character_and_held_again(
    session: MakeSession, journal: Journal
) -> None:
    client = session("us")
    client.key(True, 0x2A)
    client.character("a")
    assert journal.typed() == "+shift -shift +a +shift -a"


def test_a_letter_under_a_held_command_key_is_a_command(session: MakeSession, journal: Journal) -> None:
    client = session("us")
    client.key(True, 0x1D)
    client.character("c")
    assert journal.typed() == "+ctrl +2e -2e"


def test_caps_lock_of_the_guest_is_reckoned_with_and_left_alone(
    session: MakeSession, journal: Journal
) -> None:
    journal.leds = Led.CAPS
    session("us").character("aA1")
    assert journal.typed() == "+shift +a -shift -a +a -a +02 -02"


def test_what_the_layout_cannot_make_is_left_out_and_told_once_without_the_text(
    session: MakeSession, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sidecar")
    client = session("us")
    client.character("a\N{GRINNING FACE}b\N{SNOWMAN}")
    client.character("\N{SNOWMAN}")
    assert journal.typed() == "+a -a +b -b"
    assert caplog.text.count("not on the keyboard layout") == 1
    assert "\N{SNOWMAN}" not in caplog.text
    assert "\N{GRINNING FACE}" not in caplog.text


def test_nothing_is_typed_and_no_lock_is_set_by_who_may_only_watch(
    session: MakeSession, journal: Journal
) -> None:
    client = session(view_only=lambda: True)
    client.character("a")
    client.set_locks(Led.CAPS)
    client.scroll(120, 120)
    assert journal.take() == []


@pytest.mark.parametrize(
    ("leds", "wanted", "expected"),
    [
        (Led(0), Led(0), ""),
        (Led(0), Led.NUM, "+num -num"),
        (Led.NUM | Led.CAPS, Led.CAPS, "+num -num"),
        (Led.NUM, Led.CAPS | Led.SCROLL, "+caps -caps +num -num +46 -46"),
        (Led.SCROLL | Led.NUM | Led.CAPS, Led.SCROLL | Led.NUM | Led.CAPS, ""),
    ],
)
def test_locks_that_differ_are_tapped(
    session: MakeSession, journal: Journal, leds: Led, wanted: Led, expected: str
) -> None:
    journal.leds = leds
    session().set_locks(wanted)
    assert journal.typed() == expected


def test_a_lock_is_tapped_once_while_its_light_is_awaited_whoever_wants_it(
    session: MakeSession, journal: Journal, clock: Clock
) -> None:
    first, second = session(), session()
    first.set_locks(Led.CAPS)
    second.set_locks(Led.CAPS)
    clock.now += 0.5
    first.set_locks(Led.CAPS)
    assert journal.typed() == "+caps -caps"


def test_a_lock_that_does_not_answer_is_not_tapped_again(
    session: MakeSession, journal: Journal, clock: Clock
) -> None:
    client = session()
    client.set_locks(Led.SCROLL)
    clock.now += 5
    client.set_locks(Led.SCROLL)
    assert journal.typed() == "+46 -46"


def test_a_lock_key_that_somebody_holds_is_left_alone(session: MakeSession, journal: Journal) -> None:
    first, second = session(), session()
    first.key(True, 0x3A)
    journal.take()
    second.set_locks(Led(0))
    assert journal.take() == []
