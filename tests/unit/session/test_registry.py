"""The registry: states, policies, limits, and who is ended by whom."""

import pytest

from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.session.session import Session
from sidecar.session.state import (
    TRANSITIONS,
    EndReason,
    IllegalTransition,
    NoSuchSession,
    SessionEvent,
    SessionRefused,
    SessionState,
    after,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ignore(_reason: EndReason) -> None:
    pass


class Viewers:
    """Connects viewers to a registry and remembers why each was ended."""

    def __init__(self, policy: Policy) -> None:
        self.clock = Clock()
        self.registry = Registry(policy, clock=self.clock)
        self.ended: dict[str, list[EndReason]] = {}

    def connect(self, address: str = "192.0.2.1:40000") -> Session:
        reasons: list[EndReason] = []
        session = self.registry.connect("vnc", "tcp", address, end=reasons.append)
        self.ended[session.id] = reasons
        return session

    def log_in(self, *, shared: bool = True) -> Session:
        session = self.connect()
        self.registry.initialize(session, user="ann", auth="VncAuth", shared=shared)
        return session


def viewers(
    share: SharePolicy = SharePolicy.SHARED, max_sessions: int = 32, max_waiting: int = 128
) -> Viewers:
    return Viewers(Policy(share=share, max_sessions=max_sessions, max_waiting=max_waiting))


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("event", SessionEvent)
def test_every_pair_of_state_and_event_leads_on_or_is_illegal(
    state: SessionState, event: SessionEvent
) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) in SessionState
    else:
        with pytest.raises(IllegalTransition):
            after(state, event)


def test_nothing_leads_out_of_disconnected() -> None:
    assert set(TRANSITIONS[SessionState.DISCONNECTED].values()) == {SessionState.DISCONNECTED}


def test_a_session_counts_from_its_login_to_its_end() -> None:
    here = viewers()
    session = here.connect()
    assert (session.state, here.registry.count(), here.registry.waiting) == (SessionState.CONNECTED, 0, 1)
    here.clock.now += 2
    here.registry.initialize(session, user="ann", auth="X509Plain", console=1)
    assert (session.state, here.registry.count(), here.registry.waiting) == (SessionState.INITIALIZED, 1, 0)
    here.clock.now += 60
    here.registry.disconnected(session, EndReason.CLOSED)
    assert (session.state, here.registry.count()) == (SessionState.DISCONNECTED, 0)
    assert (session.connected_at, session.initialized_at, session.disconnected_at) == (1000, 1002, 1062)
    assert (session.user, session.auth, session.console) == ("ann", "X509Plain", 1)
    assert session.end_reason is EndReason.CLOSED


def test_ids_are_never_used_again() -> None:
    here = viewers()
    ids = []
    for _ in range(3):
        session = here.connect()
        here.registry.disconnected(session)
        ids.append(session.id)
    assert ids == ["v1", "v2", "v3"]
    assert here.registry.connect("rdp", "tcp", "", end=ignore).id == "r4"


def test_counts_are_kept_for_each_protocol() -> None:
    here = viewers()
    here.log_in()
    rdp = here.registry.connect("rdp", "tcp", "192.0.2.2:1", end=ignore)
    here.registry.initialize(rdp)
    assert (here.registry.count("vnc"), here.registry.count("rdp"), here.registry.count()) == (1, 1, 2)


def test_a_session_may_be_reported_gone_many_times_and_keeps_its_first_reason() -> None:
    here = viewers()
    session = here.log_in()
    here.registry.disconnected(session, EndReason.PROTOCOL_ERROR)
    generation = here.registry.generation
    here.registry.disconnected(session, EndReason.CLOSED)
    assert session.end_reason is EndReason.PROTOCOL_ERROR
    assert here.registry.generation == generation


def test_a_frontend_that_closes_by_itself_is_not_told_to_end() -> None:
    here = viewers()
    session = here.log_in()
    here.registry.disconnected(session)
    assert here.ended[session.id] == []


def test_an_ended_session_is_out_of_the_count_before_its_frontend_hears_of_it() -> None:
    registry = Registry()
    counts: list[int] = []
    session = registry.connect("vnc", "unix", "", end=lambda _reason: counts.append(registry.count()))
    registry.initialize(session)
    registry.end(session.id)
    assert counts == [0]


def test_a_frontend_may_report_the_end_while_it_is_being_ended() -> None:
    registry = Registry()
    sessions: list[Session] = []
    session = registry.connect(
        "vnc", "unix", "", end=lambda reason: registry.disconnected(sessions[0], reason)
    )
    sessions.append(session)
    registry.end(session.id)
    assert session.end_reason is EndReason.DISCONNECTED


def test_initializing_twice_is_a_fault_of_the_frontend() -> None:
    here = viewers()
    session = here.log_in()
    with pytest.raises(IllegalTransition):
        here.registry.initialize(session)
    assert here.registry.count() == 1


def test_a_login_that_comes_after_the_end_is_refused_with_the_reason_of_the_end() -> None:
    here = viewers()
    session = here.connect()
    here.registry.end(session.id, EndReason.DISCONNECTED)
    with pytest.raises(SessionRefused) as refused:
        here.registry.initialize(session)
    assert refused.value.reason is EndReason.DISCONNECTED


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("policy", "first_ended", "second_refused"),
    [
        (SharePolicy.SHARED, [], None),
        (SharePolicy.EXCLUSIVE, [EndReason.REPLACED], None),
        (SharePolicy.SINGLE, [], EndReason.OCCUPIED),
    ],
)
def test_the_policy_alone_decides_whatever_the_client_asks_for(
    policy: SharePolicy, shared: bool, first_ended: list[EndReason], second_refused: EndReason | None
) -> None:
    here = viewers(policy)
    first = here.log_in(shared=shared)
    second = here.connect()
    refused = None
    try:
        here.registry.initialize(second, shared=shared)
    except SessionRefused as error:
        refused = error.reason
    assert (here.ended[first.id], refused) == (first_ended, second_refused)
    assert here.registry.count() == (2 if policy is SharePolicy.SHARED else 1)


def test_single_lets_the_next_one_in_when_the_first_has_left() -> None:
    here = viewers(SharePolicy.SINGLE)
    here.registry.disconnected(here.log_in())
    here.log_in()
    assert here.registry.count() == 1


def test_connections_that_have_not_logged_in_are_in_nobodys_way() -> None:
    here = viewers(SharePolicy.SINGLE)
    waiting = here.connect()
    here.log_in()
    assert waiting.state is SessionState.CONNECTED


def test_exclusive_lets_those_who_are_logging_in_go_on() -> None:
    here = viewers(SharePolicy.EXCLUSIVE)
    waiting = here.connect()
    here.log_in()
    assert here.ended[waiting.id] == []


def test_beyond_the_limit_a_newcomer_is_refused_and_the_others_stay() -> None:
    here = viewers(max_sessions=2)
    here.log_in()
    here.log_in()
    third = here.connect()
    with pytest.raises(SessionRefused, match="as many sessions as it may have") as refused:
        here.registry.initialize(third)
    assert refused.value.reason is EndReason.FULL
    assert here.registry.count() == 2
    assert third.state is SessionState.CONNECTED


@pytest.mark.parametrize(
    ("share", "logged_in", "reason"),
    [
        (SharePolicy.SHARED, 1, None),
        (SharePolicy.SHARED, 2, EndReason.FULL),
        (SharePolicy.EXCLUSIVE, 1, None),
        (SharePolicy.SINGLE, 0, None),
        (SharePolicy.SINGLE, 1, EndReason.OCCUPIED),
    ],
)
def test_a_frontend_can_ask_before_the_login_what_the_login_would_say(
    share: SharePolicy, logged_in: int, reason: EndReason | None
) -> None:
    here = viewers(share, max_sessions=2)
    for _ in range(logged_in):
        here.log_in()
    assert here.registry.would_refuse() is reason
    here.registry.close()
    assert here.registry.would_refuse() is EndReason.SHUTDOWN


def test_exclusive_takes_over_at_the_limit_of_one() -> None:
    here = viewers(SharePolicy.EXCLUSIVE, max_sessions=1)
    here.log_in()
    newcomer = here.log_in()
    assert list(here.registry) == [newcomer]


def test_sixty_four_viewers_that_connect_at_one_instant_all_get_in() -> None:
    here = viewers(max_sessions=64)
    sessions = [here.connect() for _ in range(64)]
    for session in sessions:
        here.registry.initialize(session)
    assert here.registry.count() == 64


def test_two_hundred_silent_connections_lock_nobody_out() -> None:
    here = viewers(max_sessions=64)
    before = here.log_in()
    silent = [here.connect() for _ in range(200)]
    for viewer in [here.connect() for _ in range(63)]:
        here.registry.initialize(viewer)
    assert here.registry.count() == 64
    assert here.ended[before.id] == []
    assert here.registry.waiting <= 128
    ended = [session for session in silent if here.ended[session.id]]
    assert ended == silent[: len(ended)]
    assert {reason for session in ended for reason in here.ended[session.id]} == {EndReason.CROWDED_OUT}


def test_a_crowd_from_one_address_costs_no_other_address_its_place() -> None:
    here = viewers(max_waiting=8)
    slow = here.connect("198.51.100.7:50000")
    for port in range(100):
        here.connect(f"192.0.2.66:{port}")
    assert here.ended[slow.id] == []
    assert here.registry.waiting == 8


def test_ending_by_id_ends_that_one() -> None:
    here = viewers()
    kept, ended, waiting = here.log_in(), here.log_in(), here.connect()
    here.registry.end(ended.id)
    here.registry.end(waiting.id, EndReason.LOGIN_TIMEOUT)
    assert list(here.registry) == [kept]
    assert here.ended[ended.id] == [EndReason.DISCONNECTED]
    assert here.ended[waiting.id] == [EndReason.LOGIN_TIMEOUT]


@pytest.mark.parametrize("session_id", ["v99", "", "v1\x1b[2J" * 100])
def test_ending_one_that_is_not_there_is_told_in_a_printable_line(session_id: str) -> None:
    here = viewers()
    with pytest.raises(NoSuchSession) as error:
        here.registry.end(session_id)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_ending_all_ends_each_once() -> None:
    here = viewers()
    here.log_in()
    here.connect()
    assert here.registry.end_all(EndReason.DISCONNECTED) == 2
    assert here.registry.end_all(EndReason.DISCONNECTED) == 0
    assert list(here.ended.values()) == [[EndReason.DISCONNECTED]] * 2


def test_a_closed_registry_refuses_newcomers_and_logins() -> None:
    here = viewers()
    waiting = here.connect()
    here.registry.close()
    assert here.ended[waiting.id] == [EndReason.SHUTDOWN]
    with pytest.raises(SessionRefused, match="shutting down"):
        here.connect()
    with pytest.raises(SessionRefused, match="shutting down"):
        here.registry.initialize(waiting)


def test_a_registry_that_is_closed_again_keeps_its_first_reason() -> None:
    here = viewers()
    first = here.log_in()
    here.registry.close(EndReason.GONE)
    here.registry.close()
    assert here.ended[first.id] == [EndReason.GONE]
    assert here.registry.would_refuse() is EndReason.GONE
    with pytest.raises(SessionRefused, match="connect again"):
        here.connect()


def test_view_only_is_switched_while_the_session_lives_and_it_hears_of_it() -> None:
    here = viewers()
    session = here.log_in()
    heard: list[bool] = []
    session.view_only_changes.subscribe(lambda: heard.append(session.view_only))
    for value in (True, True, False):
        here.registry.set_view_only(session.id, value)
    assert heard == [True, False]


def test_view_only_cannot_be_switched_before_the_login() -> None:
    here = viewers()
    with pytest.raises(NoSuchSession):
        here.registry.set_view_only(here.connect().id, True)


@pytest.mark.parametrize(("policy", "session"), [(True, False), (False, True), (True, True)])
def test_view_only_is_asked_for_by_the_policy_or_the_login(policy: bool, session: bool) -> None:
    registry = Registry(Policy(view_only=policy))
    viewer = registry.connect("vnc", "tcp", "", end=ignore)
    registry.initialize(viewer, view_only=session)
    assert viewer.view_only


def test_observers_hear_of_every_change_of_state_and_of_no_counter() -> None:
    here = viewers()
    generations: list[int] = []
    here.registry.changes.subscribe(lambda: generations.append(here.registry.generation))
    session = here.log_in()
    session.bytes_sent += 100
    session.frames += 1
    here.registry.set_view_only(session.id, True)
    here.registry.disconnected(session)
    assert generations == [1, 2, 3, 4]


def test_a_session_has_no_room_for_slips_of_the_pen() -> None:
    session = viewers().connect()
    with pytest.raises(AttributeError):
        session.byte_sent = 1  # type: ignore[attr-defined]


def test_every_reason_has_a_word_and_a_sentence_of_its_own() -> None:
    assert len({reason.code for reason in EndReason}) == len(EndReason)
    assert len({reason.text for reason in EndReason}) == len(EndReason)
