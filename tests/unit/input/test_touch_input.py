"""Fingers of several sessions on one touch screen, and on the mouse where there is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.synthetic_guest import SyntheticConsole, SyntheticGuest, SyntheticTouch

from sidecar.guest import Button, GuestState
from sidecar.input.layout import Layout
from sidecar.input.seat import Seat, Seats
from sidecar.input.session_input import SessionInput
from sidecar.input.touch_input import Contact, ContactKind

BEGIN, UPDATE, END, CANCEL = ContactKind


@pytest.fixture
def console() -> SyntheticConsole:
    return SyntheticConsole()


@pytest.fixture
def screen(console: SyntheticConsole) -> SyntheticTouch:
    console.touch = SyntheticTouch(max_slots=3)
    return console.touch


@pytest.fixture
def seat(console: SyntheticConsole) -> Seat:
    return Seat(console)


def person(seat: Seat, view_only: list[bool] | None = None) -> SessionInput:
    return SessionInput(seat, Layout("us"), lambda: bool(view_only))


def touch(session: SessionInput, *changes: tuple[int, ContactKind, float, float]) -> None:
    session.touch(Contact(*change) for change in changes)


def test_each_finger_has_a_slot_of_its_own_until_it_is_lifted(seat: Seat, screen: SyntheticTouch) -> None:
    someone = person(seat)
    touch(someone, (7, BEGIN, 1.5, 2.5), (9, BEGIN, 3, 4))
    touch(someone, (7, UPDATE, 5, 6), (9, END, 3, 4))
    touch(someone, (9, BEGIN, 8, 8))
    touch(someone, (9, CANCEL, 8, 9), (7, END, 5, 6))
    assert screen.log == [
        ("begin", 0, 1.5, 2.5),
        ("begin", 1, 3, 4),
        ("update", 0, 5, 6),
        ("end", 1, 3, 4),
        ("begin", 1, 8, 8),
        ("cancel", 1, 8, 9),
        ("end", 0, 5, 6),
    ]


def test_sessions_share_the_slots_and_may_use_the_same_ids(seat: Seat, screen: SyntheticTouch) -> None:
    first, second = person(seat), person(seat)
    touch(first, (0, BEGIN, 1, 1))
    touch(second, (0, BEGIN, 2, 2))
    touch(first, (0, UPDATE, 3, 3))
    touch(second, (0, END, 4, 4))
    assert screen.log == [("begin", 0, 1, 1), ("begin", 1, 2, 2), ("update", 0, 3, 3), ("end", 1, 4, 4)]


def test_a_finger_for_which_there_is_no_slot_is_ignored_until_it_is_lifted(
    seat: Seat, screen: SyntheticTouch
) -> None:
    someone = person(seat)
    touch(someone, *((number, BEGIN, number, 0) for number in range(4)))
    touch(someone, (0, END, 0, 0), (3, UPDATE, 9, 9), (3, END, 9, 9))
    assert screen.down == {1, 2}
    assert [entry[0] for entry in screen.log] == ["begin"] * 3 + ["end"]


def test_who_has_no_finger_down_gets_a_slot_of_who_has_most(seat: Seat, screen: SyntheticTouch) -> None:
    first, second, third = person(seat), person(seat), person(seat)
    touch(first, (0, BEGIN, 0, 0), (1, BEGIN, 1, 1))
    touch(second, (0, BEGIN, 2, 2))
    touch(first, (1, UPDATE, 5, 6))
    screen.log.clear()
    touch(third, (0, BEGIN, 3, 3), (1, BEGIN, 4, 4))
    touch(first, (1, UPDATE, 7, 7), (1, END, 7, 7))
    assert screen.log == [("cancel", 1, 5, 6), ("begin", 1, 3, 3)]


def test_nobody_loses_the_only_finger(seat: Seat, screen: SyntheticTouch) -> None:
    for number in range(4):
        touch(person(seat), (0, BEGIN, number, number))
    assert [entry[0] for entry in screen.log] == ["begin"] * 3


def test_a_finger_that_begins_twice_is_lifted_in_between(seat: Seat, screen: SyntheticTouch) -> None:
    touch(person(seat), (0, BEGIN, 1, 1), (0, BEGIN, 2, 2))
    assert screen.log == [("begin", 0, 1, 1), ("end", 0, 2, 2), ("begin", 0, 2, 2)]


def test_fingers_that_are_not_down_do_nothing(seat: Seat, screen: SyntheticTouch) -> None:
    touch(person(seat), (0, UPDATE, 1, 1), (0, END, 1, 1), (0, CANCEL, 1, 1))
    assert screen.log == []


def test_a_session_that_ends_takes_its_fingers_away_and_no_others(seat: Seat, screen: SyntheticTouch) -> None:
    first, second = person(seat), person(seat)
    touch(first, (0, BEGIN, 1, 1), (1, BEGIN, 2, 2))
    touch(second, (0, BEGIN, 3, 3))
    touch(first, (1, UPDATE, 4, 5))
    screen.log.clear()
    first.release_all()
    first.release_all()
    assert screen.log == [("cancel", 0, 1, 1), ("cancel", 1, 4, 5)]
    assert screen.down == {2}


def test_a_session_that_may_only_watch_loses_its_fingers(seat: Seat, screen: SyntheticTouch) -> None:
    watching: list[bool] = []
    someone = person(seat, watching)
    touch(someone, (0, BEGIN, 1, 1))
    watching.append(True)
    touch(someone, (0, UPDATE, 2, 2), (1, BEGIN, 2, 2))
    assert screen.log == [("begin", 0, 1, 1), ("cancel", 0, 1, 1)]


def test_the_consoles_of_a_guest_share_the_slots() -> None:
    # QEMU has one set of slots for all of them
    guest = SyntheticGuest()
    consoles = guest.console, SyntheticConsole(1)
    for console in consoles:
        console.touch = SyntheticTouch()
    seats = Seats(guest)
    for console in consoles:
        touch(person(seats.of(console)), (0, BEGIN, 1, 1))
    assert [console.touch.down for console in consoles if console.touch] == [{0}, {1}]
    seats.close()


def test_a_guest_that_was_restarted_has_no_fingers_on_it(
    console: SyntheticConsole, screen: SyntheticTouch
) -> None:
    guest = SyntheticGuest(console)
    seats = Seats(guest)
    someone = person(seats.of(console))
    touch(someone, (0, BEGIN, 1, 1))
    guest.lifecycle.notify(GuestState.LOST)
    console.touch = fresh = SyntheticTouch()
    touch(someone, (0, UPDATE, 2, 2), (0, END, 2, 2), (0, BEGIN, 3, 3))
    assert fresh.log == [("begin", 0, 3, 3)]
    seats.close()


def test_without_a_touch_screen_a_tap_is_a_click(seat: Seat, console: SyntheticConsole) -> None:
    touch(person(seat), (5, BEGIN, 10.4, 20.6), (5, END, 10.4, 20.6))
    assert console.pointer.log == [
        ("to", 10, 20),
        ("press", Button.LEFT),
        ("to", 10, 20),
        ("release", Button.LEFT),
    ]


def test_without_a_touch_screen_the_first_finger_drags_and_others_do_nothing(
    seat: Seat, console: SyntheticConsole
) -> None:
    someone = person(seat)
    touch(someone, (5, BEGIN, 1, 1), (6, BEGIN, 50, 50))
    touch(someone, (6, UPDATE, 51, 51), (5, UPDATE, 2, 3))
    touch(someone, (6, END, 51, 51), (5, CANCEL, 900, -4))
    assert console.pointer.log == [
        ("to", 1, 1),
        ("press", Button.LEFT),
        ("to", 2, 3),
        ("to", 319, 0),
        ("release", Button.LEFT),
    ]


def test_without_a_touch_screen_a_second_finger_does_not_become_the_first(
    seat: Seat, console: SyntheticConsole
) -> None:
    touch(person(seat), (5, BEGIN, 1, 1), (6, BEGIN, 2, 2), (5, END, 1, 1), (6, UPDATE, 3, 3), (6, END, 3, 3))
    assert ("to", 3, 3) not in console.pointer.log
    assert console.pointer.held == set()


def test_the_click_of_a_session_that_ends_is_let_go_of(seat: Seat, console: SyntheticConsole) -> None:
    someone = person(seat)
    touch(someone, (5, BEGIN, 1, 1))
    someone.release_all()
    assert console.pointer.held == set()
    touch(someone, (5, UPDATE, 9, 9), (5, END, 9, 9))
    assert ("to", 9, 9) not in console.pointer.log


def test_a_click_that_began_before_the_touch_screen_was_there_ends_as_a_click(
    seat: Seat, console: SyntheticConsole
) -> None:
    someone = person(seat)
    touch(someone, (5, BEGIN, 1, 1))
    console.touch = SyntheticTouch()
    touch(someone, (5, UPDATE, 2, 2), (5, END, 2, 2), (5, BEGIN, 3, 3))
    assert console.pointer.held == set()
    assert console.touch.log == [("begin", 0, 3, 3)]


changes = st.tuples(
    st.integers(0, 2),
    st.builds(
        Contact,
        st.integers(0, 3),
        st.sampled_from(ContactKind),
        st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6),
    ),
)


@given(st.lists(changes, max_size=60), st.sampled_from([None, 1, 2, 10]))
def test_whatever_the_fingers_do_none_is_left_behind(
    events: list[tuple[int, Contact]], slots: int | None
) -> None:
    console = SyntheticConsole()
    if slots is not None:
        console.touch = SyntheticTouch(slots)
    seat = Seat(console)
    people = [person(seat) for _ in range(3)]
    for who, contact in events:
        # the screen itself asserts that only fingers that are down move and are lifted
        people[who].touch([contact])
    for each in people:
        each.release_all()
    assert console.pointer.held == set()
    assert console.touch is None or console.touch.down == set()
