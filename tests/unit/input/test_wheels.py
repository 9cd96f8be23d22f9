"""Wheels turn by parts of a step; the guest gets whole steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_console import Clock, Journal, MakeSession, RecordingConsole

from sidecar.guest import Button
from sidecar.input.layout import Layout
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput


def steps(journal: Journal) -> list[object]:
    events = journal.take()
    assert events == [(what, e[1]) for e in events[::2] for what in ("press", "release")]
    return [event[1] for event in events[::2]]


@pytest.mark.parametrize(
    ("right", "up", "button"),
    [
        (0, 120, Button.WHEEL_UP),
        (0, -120, Button.WHEEL_DOWN),
        (120, 0, Button.WHEEL_RIGHT),
        (-120, 0, Button.WHEEL_LEFT),
    ],
)
def test_a_whole_turn_is_one_step(
    session: MakeSession, journal: Journal, right: int, up: int, button: Button
) -> None:
    session().scroll(right, up)
    assert steps(journal) == [button]


def test_parts_of_a_step_are_added_up_and_the_rest_is_kept(session: MakeSession, journal: Journal) -> None:
    client = session()
    counts = []
    for _ in range(8):
        client.scroll(0, 45)
        counts.append(len(steps(journal)))
    assert counts == [0, 0, 1, 0, 0, 1, 0, 1]


def test_several_steps_at_once_are_several_steps(session: MakeSession, journal: Journal) -> None:
    session().scroll(0, -256)
    assert steps(journal) == [Button.WHEEL_DOWN] * 2


def test_who_turns_back_loses_the_rest(session: MakeSession, journal: Journal) -> None:
    client = session()
    client.scroll(0, 110)
    client.scroll(0, -110)
    client.scroll(0, -10)
    assert steps(journal) == [Button.WHEEL_DOWN]


def test_the_two_wheels_and_the_sessions_do_not_mix(session: MakeSession, journal: Journal) -> None:
    first, second = session(), session()
    first.scroll(60, 60)
    second.scroll(60, 60)
    assert steps(journal) == []
    first.scroll(60, 0)
    assert steps(journal) == [Button.WHEEL_RIGHT]


def test_the_rest_is_forgotten_when_all_is_let_go_of(session: MakeSession, journal: Journal) -> None:
    client = session()
    client.scroll(0, 110)
    client.release_all()
    client.scroll(0, 110)
    assert steps(journal) == []


@given(st.lists(st.integers(0, 256), max_size=40), st.sampled_from([1, -1]))
def test_a_turn_in_one_direction_loses_nothing(turns: list[int], sign: int) -> None:
    console = RecordingConsole()
    client = SessionInput(Seat(console, Clock()), Layout("us"), lambda: False)
    for turn in turns:
        client.scroll(sign * turn, 0)
    wanted = Button.WHEEL_RIGHT if sign > 0 else Button.WHEEL_LEFT
    assert steps(console.journal) == [wanted] * (sum(turns) // 120)
