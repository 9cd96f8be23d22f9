"""One session at most holds the microphone, and the policy says which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.session.microphone import MicrophonePolicy, Microphones, MicrophoneSeat
from sidecar.session.registry import Registry
from sidecar.session.session import Session

FIRST, LAST, OFF = MicrophonePolicy.FIRST, MicrophonePolicy.LAST, MicrophonePolicy.OFF


class Room:
    """Sessions that have a microphone, by letter, and a log of who was told of a change."""

    def __init__(self, policy: MicrophonePolicy) -> None:
        self.registry = Registry()
        self.microphones = Microphones(policy)
        self.sessions: dict[str, Session] = {}
        self.seats: dict[str, MicrophoneSeat] = {}
        self.told: list[str] = []

    def come(self, name: str, *, view_only: bool = False) -> MicrophoneSeat:
        session = self.registry.connect("rdp", "tcp", "192.0.2.1:4000", end=lambda _: None)
        self.registry.initialize(session, view_only=view_only)
        self.sessions[name] = session
        self.seats[name] = self.microphones.join(session, lambda: self.told.append(name))
        return self.seats[name]

    def look_only(self, name: str, view_only: bool = True) -> None:
        self.registry.set_view_only(self.sessions[name].id, view_only)

    @property
    def speaker(self) -> str:
        """Who holds the microphone; seats, sessions and the line agree on it."""
        by_seat = [name for name, seat in self.seats.items() if seat.holds]
        assert by_seat == [name for name, session in self.sessions.items() if session.microphone]
        assert [self.seats[name] for name in by_seat] == [
            seat for seat in [self.microphones.holder] if seat is not None
        ]
        return "".join(by_seat)


def test_the_first_one_keeps_it_and_the_next_in_line_follows() -> None:
    room = Room(FIRST)
    for name in "abc":
        room.come(name)
    assert room.speaker == "a"
    room.seats["a"].leave()
    assert room.speaker == "b"
    assert room.told == ["b"], "neither the newcomer nor the one who leaves"


def test_a_newcomer_takes_it_and_the_last_of_the_others_follows() -> None:
    room = Room(LAST)
    for name in "abc":
        room.come(name)
        assert room.speaker == name
    assert room.told == ["a", "b"], "from whom it was taken"
    room.seats["c"].leave()
    assert room.speaker == "b"
    assert room.told == ["a", "b", "b"]


def test_nobody_has_it_where_it_is_off() -> None:
    room = Room(OFF)
    room.come("a")
    assert room.speaker == ""
    room.look_only("a")
    room.look_only("a", False)
    assert room.speaker == ""


@pytest.mark.parametrize("policy", [FIRST, LAST])
def test_one_who_may_only_look_does_not_get_it(policy: MicrophonePolicy) -> None:
    room = Room(policy)
    room.come("a", view_only=True)
    assert room.speaker == ""
    room.come("b")
    room.come("c", view_only=True)
    assert room.speaker == "b"


@pytest.mark.parametrize(("policy", "heir"), [(FIRST, "a"), (LAST, "b")])
def test_one_who_may_only_look_from_now_on_loses_it(policy: MicrophonePolicy, heir: str) -> None:
    room = Room(policy)
    for name in "abc":
        room.come(name)
    holder = room.speaker
    room.look_only(holder)
    heir = heir if heir != holder else "b"
    assert room.speaker == heir
    room.look_only(holder, False)
    assert room.speaker == heir, "it is not taken from the one who got it"
    room.look_only(heir)
    assert room.speaker not in ("", heir)


def test_one_who_may_speak_again_gets_it_if_nobody_has_it() -> None:
    room = Room(FIRST)
    room.come("a", view_only=True)
    room.look_only("a", False)
    assert room.speaker == "a"
    assert room.told == ["a"]


def test_a_seat_may_be_left_twice_and_hears_nothing_afterwards() -> None:
    room = Room(FIRST)
    seat = room.come("a")
    seat.leave()
    seat.leave()
    assert room.speaker == ""
    room.look_only("a")
    room.look_only("a", False)
    assert room.speaker == ""
    assert room.told == []
    assert len(room.sessions["a"].view_only_changes) == 0


@given(
    policy=st.sampled_from(MicrophonePolicy),
    steps=st.lists(st.tuples(st.sampled_from(["come", "leave", "look", "speak"]), st.integers(0, 5))),
)
def test_whatever_happens_one_who_may_speak_does(
    policy: MicrophonePolicy, steps: list[tuple[str, int]]
) -> None:
    room = Room(policy)
    for step, number in steps:
        name = "abcdef"[number]
        if step == "come" and name not in room.seats:
            room.come(name)
        elif name in room.seats and step == "leave":
            room.seats.pop(name).leave()
            room.sessions.pop(name)
        elif name in room.seats:
            room.look_only(name, step == "look")
        able = [name for name in room.seats if not room.sessions[name].view_only]
        assert (room.speaker in able) if able and policy is not OFF else room.speaker == ""
