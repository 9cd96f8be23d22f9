"""A server's connection and a scripted client, talking to each other without a socket."""

from collections.abc import Callable, Sequence

from support.rdp_script import ACTIVATION, STEPS, Profile, RdpScript, Received, cut

from sidecar.rdp.authenticator import Authenticator
from sidecar.rdp.connection import Security, ServerConnection, Stage
from sidecar.rdp.events import Event, Login, StartTls


class Conversation:
    """Carries bytes both ways, starts TLS and lets the client in, as a driver does."""

    def __init__(
        self,
        profile: Profile | None = None,
        security: Security | None = None,
        *,
        authenticator: Authenticator | None = None,
        size: tuple[int, int] = (1024, 768),
        answer_login: Callable[[ServerConnection, Login], None] | None = None,
        pieces: Sequence[int] = (1 << 20,),
    ) -> None:
        """`answer_login`: instead of `accept`; `pieces`: sizes that the client's bytes are cut into."""
        self.connection = ServerConnection(security or Security())
        self.peer = RdpScript(profile)
        self.events: list[Event] = []
        self.sent = bytearray()
        """All that the server has sent."""
        self._authenticator = authenticator
        self._size = size
        self._answer_login = answer_login
        self._pieces = pieces

    def say(self, data: bytes) -> list[Event]:
        """Gives the server bytes; the events that come of them. Raises what the connection raises."""
        before = len(self.events)
        for piece in cut(data, self._pieces):
            self._give(piece)
        return self.events[before:]

    def go_on(self) -> list[Event]:
        """Lets the connection read what waits in it."""
        before = len(self.events)
        self._give(b"")
        return self.events[before:]

    def hear(self) -> list[Received]:
        """Gives the client what the server has to say."""
        data = b"".join(self.connection.outgoing())
        self.sent += data
        return self.peer.receive(data)

    def step(self, name: str) -> list[Event]:
        """The client takes a step of its sequence."""
        return self.say(self.peer.step(name))

    def steps(self, names: Sequence[str]) -> list[Event]:
        """The client takes several steps."""
        return [event for name in names for event in self.step(name)]

    def until(self, name: str) -> "Conversation":
        """Takes the steps in front of this one; "" for all of them."""
        self.steps(STEPS[: STEPS.index(name)] if name else STEPS)
        return self

    def activate(self) -> list[Event]:
        """What a client does after each Demand Active."""
        return self.steps(ACTIVATION)

    @property
    def stage(self) -> Stage:
        return self.connection.stage

    def _give(self, piece: bytes) -> None:
        try:
            for event in self.connection.receive(piece):
                self.events.append(event)
                self.hear()
                if isinstance(event, StartTls):
                    self.connection.tls_started(self._authenticator if event.nla else None)
                elif isinstance(event, Login):
                    if self._answer_login is not None:
                        self._answer_login(self.connection, event)
                    else:
                        self.connection.accept(*self._size)
        finally:
            self.hear()
