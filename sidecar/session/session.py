"""One session: who is connected, how, and what has gone through it."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from sidecar.observers import Observers
from sidecar.session.state import EndReason, SessionState

SessionProtocol: TypeAlias = Literal["vnc", "rdp"]
Transport: TypeAlias = Literal["tcp", "unix", "websocket"]


class Session:
    """The record of one session. Belongs to the main loop.

    The registry writes identity and state; its frontend writes, without telling anybody, the counters
    (`bytes_sent`, `bytes_received`, `frames`, `audio_drop_outs`), `encoding`, `audio`, `microphone`,
    `round_trip`, `console`, `show`, and `tls` when a connection turns to TLS before it is initialized.
    """

    __slots__ = (
        "address",
        "audio",
        "audio_drop_outs",
        "auth",
        "bytes_received",
        "bytes_sent",
        "connected_at",
        "console",
        "consoles",
        "disconnected_at",
        "encoding",
        "end",
        "end_reason",
        "frames",
        "id",
        "initialized_at",
        "microphone",
        "protocol",
        "round_trip",
        "shared",
        "show",
        "state",
        "ticket",
        "tls",
        "transport",
        "user",
        "view_only",
        "view_only_changes",
    )

    def __init__(
        self,
        session_id: str,
        *,
        protocol: SessionProtocol,
        transport: Transport,
        address: str,
        tls: bool,
        connected_at: float,
        end: Callable[[EndReason], None],
    ) -> None:
        self.id = session_id
        """Unique for the life of the daemon: the protocol's letter and a number, such as `v7`."""
        self.protocol: SessionProtocol = protocol
        self.transport: Transport = transport
        self.address = address
        """The client's address as its transport writes it, for people; empty for a unix socket."""
        self.tls = tls
        self.end = end
        """Only the registry calls it."""
        self.state = SessionState.CONNECTED
        self.end_reason: EndReason | None = None
        self.user = ""
        self.auth = ""
        """How the user was authenticated, in the protocol's word; empty before."""
        self.shared = True
        """What the client asked for; the policy does not look at it."""
        self.view_only = False
        """Whether input of every kind is ignored; read it at each event, it may change."""
        self.view_only_changes: Observers[[]] = Observers()
        """Called when `view_only` was switched while the session lives: let go of what it holds."""
        self.console = 0
        self.ticket = ""
        """The id of the ticket that it has logged in with; empty: none."""
        self.consoles: frozenset[str] | None = None
        """Labels, numbers or names of serial ports of the consoles that it may see; None: all."""
        self.connected_at = connected_at
        """Seconds since 1970, as `initialized_at` and `disconnected_at`."""
        self.initialized_at: float | None = None
        self.disconnected_at: float | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self.frames = 0
        """Updates sent."""
        self.encoding = ""
        """The encoding last used, in the protocol's word."""
        self.audio = ""
        """How it hears the machine, such as `s16/48000/2` or `opus/48000/2`; empty when it does not."""
        self.audio_drop_outs = 0
        """How often it did not hear what was played, because its connection was too slow for it."""
        self.show: Callable[[str, float], None] | None = None
        """Shows a text in its picture for so many seconds, in place of one before, and does not wait; None
        where it has no picture (yet)."""
        self.microphone = False
        """Whether it is the one whose microphone the machine hears."""
        self.round_trip: float | None = None
        """Seconds that the client's last answer took; None for one that is not asked."""

    @property
    def is_initialized(self) -> bool:
        """Whether it is authenticated and active, which is what is counted."""
        return self.state is SessionState.INITIALIZED

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.state.value}>"
