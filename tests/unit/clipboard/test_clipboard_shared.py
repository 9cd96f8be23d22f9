"""Who may paste what. The session is a real one, the guest a synthetic one."""

import gc
import weakref
from collections.abc import Callable

import pytest
from support.synthetic_guest import SyntheticClipboard

from sidecar.clipboard.shared import MAX_TEXT, ClipboardDirection, ClipboardSeat, SharedClipboard
from sidecar.session.session import Session


def a_session(name: str = "v1", *, view_only: bool = False) -> Session:
    session = Session(
        name, protocol="vnc", transport="tcp", address="", tls=False, connected_at=0.0, end=lambda _: None
    )
    session.view_only = view_only
    return session


class Person:
    """Sits at a seat and writes down what there was to paste each time that something changed."""

    def __init__(self, shared: SharedClipboard, session: Session | None = None) -> None:
        self.session = session or a_session()
        self.heard: list[str | None] = []
        self.seat: ClipboardSeat = shared.join(self.session, lambda: self.heard.append(self.seat.text))

    def look_on(self, view_only: bool) -> None:
        self.session.view_only = view_only
        self.session.view_only_changes.notify()


def share(
    direction: ClipboardDirection = ClipboardDirection.BOTH, *, between_sessions: bool = False
) -> tuple[SyntheticClipboard, SharedClipboard]:
    machine = SyntheticClipboard()
    return machine, SharedClipboard(machine, direction=direction, between_sessions=between_sessions)


def test_what_the_machine_copies_is_for_everybody() -> None:
    machine, shared = share()
    people = [Person(shared), Person(shared)]
    machine.copy("größer")
    assert [person.heard for person in people] == [["größer"], ["größer"]]
    machine.copy(None)
    assert [person.heard for person in people] == [["größer", None], ["größer", None]]


def test_what_was_there_before_is_pasted_but_not_told() -> None:
    machine, shared = share()
    machine.copy("early")
    person = Person(shared)
    assert person.seat.text == "early"
    assert person.heard == []


def test_a_session_that_copied_last_is_not_kept_when_it_has_ended() -> None:
    machine, shared = share(between_sessions=True)
    one, other = Person(shared), Person(shared)
    one.seat.offer("mine")
    seat = weakref.ref(one.seat)
    one.seat.leave()
    del one
    gc.collect()
    assert seat() is None
    assert other.seat.text == "mine"
    assert machine.offered == ["mine"]


def test_the_same_text_copied_again_is_told_again() -> None:
    machine, shared = share()
    person = Person(shared)
    machine.copy("same")
    machine.copy("same")
    assert person.heard == ["same", "same"]


def test_what_a_session_copies_is_for_the_machine_alone() -> None:
    machine, shared = share()
    one, other = Person(shared), Person(shared)
    machine.copy("of the machine")
    one.seat.offer("mine")
    assert machine.offered == ["mine"]
    assert (one.seat.text, other.seat.text) == (None, None)
    # to the one it is no news, and the other has nothing to paste any more
    assert one.heard == ["of the machine"]
    assert other.heard == ["of the machine", None]


def test_what_a_session_copies_is_for_the_others_where_that_is_the_policy() -> None:
    _, shared = share(between_sessions=True)
    one, other = Person(shared), Person(shared)
    one.seat.offer("ours")
    assert (one.seat.text, other.seat.text) == (None, "ours")
    one.seat.leave()
    late = Person(shared)
    assert (other.seat.text, late.seat.text) == ("ours", "ours")
    assert (one.heard, other.heard, late.heard) == ([], ["ours"], [])


def test_the_last_one_who_copied_counts() -> None:
    machine, shared = share(between_sessions=True)
    one, other = Person(shared), Person(shared)
    one.seat.offer("first")
    machine.copy("second")
    assert (one.seat.text, other.seat.text) == ("second", "second")
    other.seat.offer("third")
    assert (one.seat.text, other.seat.text) == ("third", None)


def test_only_what_one_copied_last_is_cleared_by_its_empty_clipboard() -> None:
    machine, shared = share()
    one, other = Person(shared), Person(shared)
    one.seat.offer("mine")
    other.seat.offer("")
    assert machine.offered == ["mine"]
    one.seat.offer("")
    assert machine.offered == ["mine", ""]


@pytest.mark.parametrize(
    ("direction", "gives", "gets"),
    [
        (ClipboardDirection.BOTH, True, True),
        (ClipboardDirection.TO_GUEST, True, False),
        (ClipboardDirection.FROM_GUEST, False, True),
        (ClipboardDirection.OFF, False, False),
    ],
)
def test_text_goes_only_the_way_it_may(direction: ClipboardDirection, gives: bool, gets: bool) -> None:
    machine, shared = share(direction, between_sessions=True)
    one, other = Person(shared), Person(shared)
    assert one.seat.may_offer is gives
    assert one.seat.takes_part is (gives or gets)
    one.seat.offer("up")
    assert machine.offered == (["up"] if gives else [])
    machine.copy("down")
    assert other.seat.text == ("down" if gets else None)
    assert bool(other.heard) is gets
    assert len(machine.changes) == (gives or gets)


def test_one_who_looks_on_neither_gives_nor_gets() -> None:
    machine, shared = share()
    person = Person(shared, a_session(view_only=True))
    machine.copy("secret")
    person.seat.offer("intruder")
    assert (person.seat.text, person.seat.may_offer, person.heard, machine.offered) == (None, False, [], [])
    person.look_on(False)
    assert (person.seat.text, person.seat.may_offer, person.heard) == ("secret", True, ["secret"])
    person.look_on(True)
    assert (person.seat.text, person.seat.may_offer, person.heard) == (None, False, ["secret", None])


def test_a_machine_without_a_clipboard_is_offered_nothing() -> None:
    machine, shared = share()
    person = Person(shared)
    machine.is_there = False
    machine.changes.notify()
    person.seat.offer("lost")
    assert (person.seat.may_offer, machine.offered, len(person.heard)) == (False, [], 1)
    machine.is_there = True
    machine.changes.notify()
    assert (person.seat.may_offer, len(person.heard)) == (True, 2)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("a" * MAX_TEXT, True),
        ("a" * (MAX_TEXT + 1), False),
        ("€" * (MAX_TEXT // 3), True),
        ("€" * (MAX_TEXT // 3 + 1), False),
        ("\ud800" * (MAX_TEXT // 2), True),
    ],
    ids=["as long as may be", "too long", "in bytes", "too long in bytes", "what is no UTF-8"],
)
def test_the_length_is_bounded(text: str, taken: bool, caplog: pytest.LogCaptureFixture) -> None:
    machine, shared = share()
    person = Person(shared)
    for _ in range(2):
        person.seat.offer(text)
    assert len(machine.offered) == (2 if taken else 0)
    lines = [record.message for record in caplog.records]
    assert lines == ([] if taken else ["a text was too long for the clipboard"])


def test_no_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    machine, shared = share(between_sessions=True)
    person = Person(shared)
    person.seat.offer("pass" + "word")
    person.seat.offer("password" * MAX_TEXT)
    machine.copy("password")
    assert "password" not in caplog.text
    assert "password" not in "".join(str(vars(record)) for record in caplog.records)


def _leave(person: Person, shared: SharedClipboard) -> None:
    person.seat.leave()
    person.seat.leave()


def _close(person: Person, shared: SharedClipboard) -> None:
    shared.close()
    person.seat.leave()


@pytest.mark.parametrize("end", [_leave, _close])
def test_after_the_end_nothing_goes_any_way(end: Callable[[Person, SharedClipboard], None]) -> None:
    machine, shared = share()
    person = Person(shared)
    machine.copy("before")
    end(person, shared)
    machine.copy("after")
    person.seat.offer("after")
    person.look_on(True)
    assert person.heard == ["before"]
    assert (person.seat.text, person.seat.may_offer, person.seat.takes_part) == (None, False, False)
    assert machine.offered == []
    assert len(person.session.view_only_changes) == 0


def test_one_that_leaves_while_others_are_told_hears_no_more() -> None:
    machine, shared = share()
    people: list[Person] = []
    first = a_session()
    shared.join(first, lambda: people[0].seat.leave())
    people.append(Person(shared))
    machine.copy("text")
    assert people[0].heard == []
