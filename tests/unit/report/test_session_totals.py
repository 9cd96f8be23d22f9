"""Totals outlive the sessions that they are made of, and never fall."""

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.report.session_totals import SessionTotals, Totals
from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.session.session import Session, SessionProtocol
from sidecar.session.state import EndReason, SessionRefused


def connect(registry: Registry, protocol: SessionProtocol = "vnc") -> Session:
    return registry.connect(protocol, "tcp", "192.0.2.1:1", end=lambda _reason: None)


def test_what_a_session_has_sent_stays_counted_when_it_is_gone() -> None:
    registry = Registry()
    totals = SessionTotals(registry)
    session = connect(registry)
    registry.initialize(session)
    session.bytes_sent, session.bytes_received, session.frames = 1000, 10, 3
    assert totals.totals("vnc") == Totals(1, 1, 1000, 10, 3)
    registry.disconnected(session)
    assert totals.totals("vnc") == Totals(1, 1, 1000, 10, 3)
    connect(registry).bytes_sent = 1
    assert totals.totals("vnc") == Totals(2, 1, 1001, 10, 3)
    assert totals.totals("rdp") == Totals()


def test_ends_are_counted_by_their_reason() -> None:
    registry = Registry(Policy(max_waiting=1))
    totals = SessionTotals(registry)
    registry.disconnected(connect(registry), EndReason.LOGIN_FAILED)
    connect(registry)
    connect(registry, "rdp")
    registry.close()
    assert totals.ends == {
        ("vnc", EndReason.LOGIN_FAILED): 1,
        ("vnc", EndReason.CROWDED_OUT): 1,
        ("rdp", EndReason.SHUTDOWN): 1,
    }


def test_it_counts_what_was_there_before_and_nothing_when_closed() -> None:
    registry = Registry()
    registry.initialize(connect(registry))
    totals = SessionTotals(registry)
    assert totals.totals("vnc").sessions == 1
    totals.close()
    connect(registry)
    assert totals.totals("vnc").connections == 1


Step = Callable[[Registry, list[Session], int], object]


def _initialize(registry: Registry, sessions: list[Session], number: int) -> None:
    session = sessions[number % len(sessions)]
    if session.initialized_at is None:
        try:
            registry.initialize(session)
        except SessionRefused:
            registry.disconnected(session, EndReason.FULL)


def _send(_registry: Registry, sessions: list[Session], number: int) -> None:
    session = sessions[number % len(sessions)]
    session.bytes_sent += number
    session.bytes_received += 1
    session.frames += 1


STEPS: list[Step] = [
    lambda registry, sessions, _: sessions.append(connect(registry)),
    _initialize,
    _send,
    lambda registry, sessions, number: registry.disconnected(sessions[number % len(sessions)]),
    lambda registry, _sessions, _number: registry.end_all(),
]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SharePolicy),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 100)), max_size=40),
)
def test_no_total_ever_falls(share: SharePolicy, steps: list[tuple[Step, int]]) -> None:
    registry = Registry(Policy(share=share, max_sessions=3, max_waiting=4))
    totals = SessionTotals(registry)
    sessions = [connect(registry)]
    before = totals.totals("vnc")
    ended = 0
    for step, number in steps:
        step(registry, sessions, number)
        now = totals.totals("vnc")
        for name in Totals.__slots__:
            assert getattr(now, name) >= getattr(before, name)
        assert totals.ends.total() >= ended
        before, ended = now, totals.ends.total()
    assert before.connections == len(sessions)
    assert before.sessions == sum(session.initialized_at is not None for session in sessions)
    assert ended == sum(session.end_reason is not None for session in sessions)
