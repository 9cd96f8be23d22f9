"""Pointer events of RFB become moves and buttons of the guest's mouse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_console import Clock, Journal, MakeSession, RecordingConsole

from sidecar.guest import Button
from sidecar.input.layout import Layout
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput


def test_the_pointer_moves_before_a_button_goes_down(session: MakeSession, journal: Journal) -> None:
    client = session()
    client.pointer_event(0b1, 10, 20)
    client.pointer_event(0b0, 11, 21)
    assert journal.take() == [
        ("to", 10, 20),
        ("press", Button.LEFT),
        ("to", 11, 21),
        ("release", Button.LEFT),
    ]


@pytest.mark.parametrize(
    ("bit", "button"),
    [(0, Button.LEFT), (1, Button.MIDDLE), (2, Button.RIGHT), (7, Button.SIDE), (8, Button.EXTRA)],
)
def test_each_button_is_held_from_press_to_release(
    session: MakeSession, journal: Journal, bit: int, button: Button
) -> None:
    client = session()
    for mask in (1 << bit, 1 << bit, 0):
        client.pointer_event(mask, 1, 1)
    assert journal.take() == [
        ("to", 1, 1),
        ("press", button),
        ("to", 1, 1),
        ("to", 1, 1),
        ("release", button),
    ]


@pytest.mark.parametrize(
    ("bit", "button"),
    [(3, Button.WHEEL_UP), (4, Button.WHEEL_DOWN), (5, Button.WHEEL_LEFT), (6, Button.WHEEL_RIGHT)],
)
def test_a_wheel_step_is_one_press_and_release(
    session: MakeSession, journal: Journal, bit: int, button: Button
) -> None:
    client = session()
    for mask in (1 << bit, 0):
        client.pointer_event(mask, 1, 1)
    assert journal.take() == [("to", 1, 1), ("press", button), ("release", button), ("to", 1, 1)]


def test_a_position_outside_the_screen_is_its_edge(session: MakeSession, journal: Journal) -> None:
    session().pointer_event(0, 65535, 65535)
    assert journal.take() == [("to", 639, 479)]


def test_a_relative_guest_gets_the_way_from_the_last_position(session: MakeSession, journal: Journal) -> None:
    journal.is_absolute = False
    client = session()
    client.pointer_event(0, 100, 100)
    client.pointer_event(1, 90, 105)
    client.pointer_event(0, 90, 105)
    assert journal.take() == [("by", -10, 5), ("press", Button.LEFT), ("release", Button.LEFT)]


def test_a_client_in_relative_mode_sends_biased_motion(session: MakeSession, journal: Journal) -> None:
    journal.is_absolute = False
    client = session()
    client.sends_motion = True
    client.pointer_event(0, 0x7FFF + 3, 0x7FFF - 4)
    client.pointer_event(0, 0x7FFF, 0x7FFF)
    client.pointer_event(0, 0xFFFF, 0)
    assert journal.take() == [("by", 3, -4), ("by", 0x8000, -0x7FFF)]


def test_a_jump_between_modes_moves_nothing(session: MakeSession, journal: Journal) -> None:
    client = session()
    client.pointer_event(0, 600, 400)
    client.sends_motion = True
    client.pointer_event(0, 0x7FFF, 0x7FFF)
    client.sends_motion = False
    journal.is_absolute = False
    client.pointer_event(0, 10, 10)
    assert journal.take() == [("to", 600, 400)]


def test_a_click_where_the_pointer_was_goes_there_again(session: MakeSession, journal: Journal) -> None:
    first, second = session(), session()
    first.pointer_event(0, 5, 5)
    second.pointer_event(0, 50, 50)
    first.pointer_event(1, 5, 5)
    assert journal.take() == [("to", 5, 5), ("to", 50, 50), ("to", 5, 5), ("press", Button.LEFT)]


@given(
    st.lists(st.tuples(st.integers(0, 511), st.integers(0, 65535), st.integers(0, 65535)), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_no_button_stays_pressed_after_the_end(
    events: list[tuple[int, int, int]], is_absolute: bool, sends_motion: bool
) -> None:
    console = RecordingConsole()
    console.journal.is_absolute = is_absolute
    client = SessionInput(Seat(console, Clock()), Layout("us"), lambda: False)
    client.sends_motion = sends_motion
    for mask, x, y in events:
        client.pointer_event(mask, x, y)
    client.release_all()
    down: set[object] = set()
    for event in console.journal.take():
        if event[0] == "press":
            assert event[1] not in down
            down.add(event[1])
        elif event[0] == "release":
            down.remove(event[1])
        elif event[0] == "to":
            assert is_absolute
            assert 0 <= int(str(event[1])) < 640
            assert 0 <= int(str(event[2])) < 480
        else:
            assert not is_absolute
    assert down == set()
