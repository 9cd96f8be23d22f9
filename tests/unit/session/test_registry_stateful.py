"""The registry under any order of events: counts are right, limits hold, nobody is ended twice."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.session.session import Session
from sidecar.session.state import EndReason, IllegalTransition, NoSuchSession, SessionRefused, SessionState


class RegistryMachine(RuleBasedStateMachine):
    sessions = Bundle("sessions")

    @initialize(
        share=st.sampled_from(SharePolicy), max_sessions=st.integers(1, 4), max_waiting=st.integers(1, 4)
    )
    def start(self, share: SharePolicy, max_sessions: int, max_waiting: int) -> None:
        self.policy = Policy(share=share, max_sessions=max_sessions, max_waiting=max_waiting)
        self.registry = Registry(self.policy, clock=lambda: 0.0)
        self.everybody: list[Session] = []
        self.ended: dict[str, list[EndReason]] = {}
        self.left_alone: set[str] = set()
        self.closed = False

    @rule(target=sessions, host=st.sampled_from(["a", "b"]), protocol=st.sampled_from(["vnc", "rdp"]))
    def connect(self, host: str, protocol: str) -> Session | None:
        reasons: list[EndReason] = []
        try:
            session = self.registry.connect(
                protocol,  # type: ignore[arg-type]
                "tcp",
                f"{host}:{len(self.everybody)}",
                end=reasons.append,
            )
        except SessionRefused:
            assert self.closed
            return None
        self.everybody.append(session)
        self.ended[session.id] = reasons
        return session

    @rule(session=sessions)
    def log_in(self, session: Session | None) -> None:
        if session is None:
            return
        before, state = self.registry.count(), session.state
        refusal: EndReason | None = None
        try:
            self.registry.initialize(session)
        except IllegalTransition:
            assert state is SessionState.INITIALIZED
        except SessionRefused as refused:
            refusal = refused.reason
        else:
            assert state is SessionState.CONNECTED
            assert session.is_initialized
        if refusal is not None:
            assert session.state is state
            assert self.registry.count() == before
            assert refusal is (session.end_reason or self.expected_refusal())

    def expected_refusal(self) -> EndReason:
        return EndReason.OCCUPIED if self.policy.share is SharePolicy.SINGLE else EndReason.FULL

    @rule(session=sessions)
    def leave(self, session: Session | None) -> None:
        if session is not None:
            if session.state is not SessionState.DISCONNECTED:
                self.left_alone.add(session.id)
            self.registry.disconnected(session)

    @rule(session=sessions)
    def end(self, session: Session | None) -> None:
        if session is None:
            return
        gone = session.state is SessionState.DISCONNECTED
        try:
            self.registry.end(session.id)
        except NoSuchSession:
            assert gone
        else:
            assert not gone

    @rule()
    def end_all(self) -> None:
        self.registry.end_all()
        assert list(self.registry) == []

    @rule(certain=st.integers(0, 9))
    def close(self, certain: int) -> None:
        if certain == 0:
            self.registry.close()
            self.closed = True

    @invariant()
    def counts_are_right(self) -> None:
        initialized = [session for session in self.everybody if session.state is SessionState.INITIALIZED]
        connected = [session for session in self.everybody if session.state is SessionState.CONNECTED]
        assert self.registry.count() == len(initialized)
        assert self.registry.count("vnc") + self.registry.count("rdp") == len(initialized)
        assert self.registry.waiting == len(connected)
        assert set(self.registry) == {*initialized, *connected}

    @invariant()
    def limits_hold(self) -> None:
        assert self.registry.count() <= self.policy.max_sessions
        assert self.registry.waiting <= self.policy.max_waiting
        if self.policy.share is not SharePolicy.SHARED:
            assert self.registry.count() <= 1

    @invariant()
    def every_session_ends_once(self) -> None:
        for session in self.everybody:
            told = len(self.ended[session.id])
            if session.state is not SessionState.DISCONNECTED or session.id in self.left_alone:
                assert told == 0
            else:
                assert self.ended[session.id] == [session.end_reason]


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
