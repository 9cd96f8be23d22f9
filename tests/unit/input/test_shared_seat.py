"""Several sessions share one keyboard and one mouse."""

from recording_console import Clock, Journal, MakeSession, RecordingConsole, RestartingGuest

from sidecar.guest import Button, GuestState, Led
from sidecar.input.layout import Layout
from sidecar.input.seat import Seat, Seats
from sidecar.input.session_input import SessionInput


def test_a_key_that_two_sessions_hold_stays_down_until_both_let_go(
    session: MakeSession, journal: Journal
) -> None:
    first, second = session(), session()
    first.key_event(True, 0xFFE1)
    second.key_event(True, 0xFFE1)
    first.key_event(False, 0xFFE1)
    assert journal.keys == {0x2A}
    second.key_event(False, 0xFFE1)
    assert journal.keys == set()


def test_a_session_that_ends_lets_go_of_its_own_keys_and_buttons_only(
    session: MakeSession, journal: Journal
) -> None:
    first, second = session(), session()
    first.key_event(True, ord("a"))
    first.qemu_key_event(True, 0, 0x1D)
    second.key_event(True, ord("a"))
    second.key_event(True, ord("b"))
    first.pointer_event(0b1, 5, 5)
    second.pointer_event(0b101, 6, 6)
    journal.take()
    first.release_all()
    assert journal.take() == ["-ctrl"]
    second.release_all()
    assert journal.take() == ["-a", "-b", ("release", Button.LEFT), ("release", Button.RIGHT)]
    second.release_all()
    assert journal.take() == []


def test_a_key_that_another_session_holds_is_not_let_go_by_a_foreign_release(
    session: MakeSession, journal: Journal
) -> None:
    first, second = session(), session()
    first.key_event(True, ord("a"))
    second.key_event(False, ord("a"))
    second.qemu_key_event(False, 0, 0x1E)
    assert journal.keys == {0x1E}


def test_a_stroke_takes_anothers_shift_into_account_and_leaves_it_held(
    session: MakeSession, journal: Journal
) -> None:
    first, second = session(), session()
    first.key_event(True, 0xFFE1)
    second.key_event(True, ord("a"))
    second.key_event(False, ord("a"))
    assert journal.typed() == "+shift -shift +a +shift -a"
    first.release_all()
    assert journal.keys == set()


def test_view_only_drops_every_event(session: MakeSession, journal: Journal) -> None:
    client = session(view_only=lambda: True)
    client.key_event(True, ord("a"))
    client.qemu_key_event(True, 0, 0x1E)
    client.key(True, 0x1E)
    client.pointer_event(1, 1, 1)
    client.move_to(2, 2)
    client.move_by(3, 3)
    client.button(True, Button.LEFT)
    assert journal.take() == []


def test_a_session_that_becomes_view_only_lets_go_at_its_next_event(
    session: MakeSession, journal: Journal
) -> None:
    allowed = [True]
    client = session(view_only=lambda: not allowed[0])
    client.key_event(True, ord("a"))
    client.pointer_event(1, 1, 1)
    allowed[0] = False
    client.pointer_event(1, 2, 2)
    assert journal.keys == set()
    assert journal.take()[-2:] == ["-a", ("release", Button.LEFT)]
    allowed[0] = True
    client.pointer_event(0, 3, 3)
    assert journal.take() == [("to", 3, 3)]


def test_a_key_number_without_a_key_is_ignored(session: MakeSession, journal: Journal) -> None:
    client = session()
    for qnum in (-1, 0, 0xAA, 0x100, 10**9):
        client.key(True, qnum)
    assert journal.take() == []


def test_a_guest_that_was_restarted_holds_nothing() -> None:
    guest, clock = RestartingGuest(), Clock()
    seats = Seats(guest, clock)  # type: ignore[arg-type]
    console = RecordingConsole()
    journal = console.journal
    seat = seats.of(console)
    assert seats.of(console) is seat
    client = SessionInput(seat, Layout("us"), lambda: False)
    client.key_event(True, 0xFFE1)
    client.pointer_event(1, 1, 1)
    guest.lifecycle.notify(GuestState.LOST)
    journal.take()
    client.key_event(True, ord("A"))
    assert journal.typed() == "+shift +a -shift"
    client.release_all()
    assert journal.typed() == "-a"
    seats.close()
    assert len(guest.lifecycle) == 0


def test_a_restarted_guest_is_asked_anew_for_its_locks(seat: Seat, journal: Journal) -> None:
    journal.leds_known = False
    seat.tap(0x45)
    assert seat.lock_keys.is_on(Led.NUM)
    seat.forget()
    assert not seat.lock_keys.is_on(Led.NUM)
