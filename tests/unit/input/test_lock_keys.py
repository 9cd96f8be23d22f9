"""Num Lock and Caps Lock of client and guest are brought in step, and never tapped twice for one need."""

import pytest
from recording_console import Clock, Journal, MakeSession

from sidecar.guest import Led
from sidecar.input.session_input import SessionInput

KP_7, KP_HOME, KP_ADD, CAPS_LOCK, NUM_LOCK, SHIFT = 0xFFB7, 0xFF95, 0xFFAB, 0xFFE5, 0xFF7F, 0xFFE1


def tap(session: SessionInput, *keysyms: int | str) -> None:
    for keysym in keysyms:
        number = ord(keysym) if isinstance(keysym, str) else keysym
        session.key_event(True, number)
        session.key_event(False, number)


@pytest.mark.parametrize(
    ("leds", "keysym", "expected"),
    [
        (Led(0), KP_7, "+num -num +47 -47"),
        (Led.NUM, KP_7, "+47 -47"),
        (Led.NUM, KP_HOME, "+num -num +47 -47"),
        (Led(0), KP_HOME, "+47 -47"),
        (Led(0), 0xFFAE, "+num -num +53 -53"),
        (Led(0), 0xFFAC, "+num -num +53 -53"),
        (Led.NUM, KP_ADD, "+4e -4e"),
        (Led(0), KP_ADD, "+4e -4e"),
    ],
)
def test_num_lock_is_set_to_what_the_keypads_symbol_means(
    session: MakeSession, journal: Journal, leds: Led, keysym: int, expected: str
) -> None:
    journal.leds = leds
    tap(session(), keysym)
    assert journal.typed() == expected


def test_num_lock_is_tapped_once_while_its_light_is_awaited(
    session: MakeSession, journal: Journal, clock: Clock
) -> None:
    client = session()
    tap(client, KP_7)
    clock.now += 0.9
    tap(client, KP_7)
    journal.leds = Led.NUM
    tap(client, KP_7)
    assert journal.typed() == "+num -num +47 -47 +47 -47 +47 -47"


def test_a_guest_whose_light_ignores_a_tap_is_not_tapped_again(
    session: MakeSession, journal: Journal, clock: Clock
) -> None:
    client = session()
    tap(client, KP_7)
    journal.take()
    clock.now += 2
    tap(client, KP_7, KP_7)
    assert journal.typed() == "+47 -47 +47 -47"
    journal.leds = Led.NUM
    tap(client, KP_HOME)
    assert journal.typed() == "+num -num +47 -47"


def test_a_guest_that_tells_no_lights_is_believed_to_turn_them_at_each_press(
    session: MakeSession, journal: Journal, clock: Clock
) -> None:
    journal.leds_known = False
    client = session()
    tap(client, KP_7)
    clock.now += 100
    tap(client, KP_7, KP_HOME)
    assert journal.typed() == "+num -num +47 -47 +47 -47 +num -num +47 -47"


def test_a_client_that_is_told_of_the_lights_keeps_its_locks_itself(
    session: MakeSession, journal: Journal
) -> None:
    journal.leds = Led.CAPS
    client = session()
    client.follows_leds = True
    tap(client, KP_7, "a")
    assert journal.typed() == "+47 -47 +shift +a -shift -a"


def test_caps_lock_is_switched_off_for_a_client_that_types_small_letters(
    session: MakeSession, journal: Journal
) -> None:
    journal.leds = Led.CAPS
    tap(session(), "a", "a")
    assert journal.typed() == "+caps -caps +a -a +a -a"


def test_caps_lock_is_not_switched_on_for_a_client_that_sends_no_shift(
    session: MakeSession, journal: Journal
) -> None:
    tap(session(), "A", "a")
    assert journal.typed() == "+shift +a -shift -a +a -a"


def test_a_client_that_presses_caps_lock_gets_its_capitals(session: MakeSession, journal: Journal) -> None:
    client = session()
    tap(client, CAPS_LOCK, "A")
    journal.leds = Led.CAPS
    tap(client, "A")
    client.key_event(True, SHIFT)
    tap(client, "a")
    assert journal.typed() == "+caps -caps +a -a +a -a +shift +a -a"


def test_a_lock_key_that_repeats_turns_the_lock_once(session: MakeSession, journal: Journal) -> None:
    client = session()
    client.follows_leds = True
    client.key_event(True, CAPS_LOCK)
    client.key_event(True, CAPS_LOCK)
    tap(client, "A")
    assert journal.typed() == "+caps +caps +a -a"


def test_a_held_lock_key_is_not_tapped(session: MakeSession, journal: Journal) -> None:
    client = session()
    client.qemu_key_event(True, NUM_LOCK, 0x45)
    journal.leds = Led(0)
    tap(client, KP_HOME)
    assert journal.typed() == "+num +47 -47"
