"""Who may speak: of all sessions that have a microphone, the machine hears one."""

from collections.abc import Callable
from enum import StrEnum

from sidecar.log import get_logger
from sidecar.session.session import Session

log = get_logger(__name__)


class MicrophonePolicy(StrEnum):
    """Which session holds the microphone."""

    OFF = "off"
    """none"""
    FIRST = "first"
    """who has it keeps it, and the next in line follows"""
    LAST = "last"
    """a newcomer takes it; when it goes, the one that came last of the others follows"""


class MicrophoneSeat:
    """The place of one session in the line, from `Microphones.join` to `leave`."""

    __slots__ = ("_leave", "changed", "holds", "session")

    def __init__(
        self,
        session: Session,
        changed: Callable[[], None],
        leave: Callable[["MicrophoneSeat"], None],
    ) -> None:
        self.session = session
        self.changed = changed
        self.holds = False
        """Whether the machine is to hear this session; only `Microphones` writes it."""
        self._leave = leave

    def leave(self) -> None:
        """Gives the place up, and the microphone to the next in line. May be called twice."""
        self._leave(self)


class Microphones:
    """The line of all sessions that could speak. Does no I/O and belongs to the main loop.

    Whoever holds the microphone keeps it as long as it may, unless the policy gives it to a newcomer. A
    view-only session keeps its place in the line, but does not hold the microphone.
    """

    def __init__(self, policy: MicrophonePolicy = MicrophonePolicy.FIRST) -> None:
        self.policy = policy
        self._line: dict[MicrophoneSeat, Callable[[], None]] = {}
        """In the order of coming, with what ends the subscription to each."""

    def join(self, session: Session, changed: Callable[[], None]) -> MicrophoneSeat:
        """Puts a session that has a microphone at the end of the line.

        `changed` is called whenever the seat's `holds` has changed, but neither by this nor by `leave`: look
        at it first yourself. It must not raise.
        """
        seat = MicrophoneSeat(session, changed, self._leave)
        self._line[seat] = session.view_only_changes.subscribe(self._settle)
        self._settle(seat)
        return seat

    @property
    def holder(self) -> MicrophoneSeat | None:
        """The seat of the session that the machine hears."""
        return next((seat for seat in self._line if seat.holds), None)

    def _leave(self, seat: MicrophoneSeat) -> None:
        unsubscribe = self._line.pop(seat, None)
        if unsubscribe is None:
            return
        unsubscribe()
        seat.holds = seat.session.microphone = False
        self._settle()

    def _settle(self, newcomer: MicrophoneSeat | None = None) -> None:
        """Gives the microphone to whom it belongs now."""
        was, heir = self.holder, self._heir(newcomer)
        if heir is was:
            return
        for seat, holds in ((was, False), (heir, True)):
            if seat is not None:
                seat.holds = seat.session.microphone = holds
        log.info("microphone given", session="" if heir is None else heir.session.id)
        # last, so that whoever is called sees the whole change
        for seat in (was, heir):
            if seat is not None and seat is not newcomer:
                seat.changed()

    def _heir(self, newcomer: MicrophoneSeat | None) -> MicrophoneSeat | None:
        able = [seat for seat in self._line if not seat.session.view_only]
        if self.policy is MicrophonePolicy.OFF or not able:
            return None
        if self.policy is MicrophonePolicy.LAST and newcomer in able:
            return newcomer
        holder = self.holder
        if holder in able:
            return holder
        return able[0] if self.policy is MicrophonePolicy.FIRST else able[-1]
