"""The life of a session: its states, what leads from one to the next, and why it ends."""

from enum import Enum, StrEnum

from sidecar.errors import SidecarError


class SessionState(StrEnum):
    """QEMU's and libvirt's three states; only INITIALIZED sessions are counted."""

    CONNECTED = "connected"
    """accepted, not yet authenticated"""
    INITIALIZED = "initialized"
    """authenticated and active"""
    DISCONNECTED = "disconnected"


class SessionEvent(Enum):
    """What can happen to a session."""

    INITIALIZE = "initialize"
    DISCONNECT = "disconnect"


TRANSITIONS: dict[SessionState, dict[SessionEvent, SessionState]] = {
    SessionState.CONNECTED: {
        SessionEvent.INITIALIZE: SessionState.INITIALIZED,
        SessionEvent.DISCONNECT: SessionState.DISCONNECTED,
    },
    SessionState.INITIALIZED: {
        SessionEvent.DISCONNECT: SessionState.DISCONNECTED,
    },
    SessionState.DISCONNECTED: {
        SessionEvent.DISCONNECT: SessionState.DISCONNECTED,
    },
}
"""Every transition there is; what is not here is a fault of the caller (IllegalTransition)."""


class IllegalTransition(Exception):
    """A frontend did to a session what its state does not allow: a fault of this program, not of a peer."""


def after(state: SessionState, event: SessionEvent) -> SessionState:
    """The state that follows. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"{event.value} while {state.value}") from None


class EndReason(Enum):
    """Why a session ended or was refused: a word for programs, and `text`, a sentence for its user."""

    CLOSED = ("closed", "the connection was closed")
    DISCONNECTED = ("disconnected", "an administrator ended this session")
    TICKET_OVER = ("ticket-over", "the ticket of this session is not valid any more")
    REPLACED = ("replaced", "another session has taken over")
    OCCUPIED = ("occupied", "somebody else is connected and this machine takes one session only")
    FULL = ("full", "this machine has as many sessions as it may have")
    CROWDED_OUT = ("crowded-out", "too many connections wait to log in; try again")
    LOGIN_TIMEOUT = ("login-timeout", "the time to log in is over")
    LOGIN_FAILED = ("login-failed", "the login failed")
    PROTOCOL_ERROR = ("protocol-error", "the other side broke the protocol")
    TOO_SLOW = ("too-slow", "the other side did not read what was sent")
    SERVER_ERROR = ("server-error", "the server failed; its log says why")
    SHUTDOWN = ("shutdown", "the server is shutting down")
    GONE = ("gone", "the virtual machine has ended, or has moved to another host; connect again")

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text


class SessionRefused(SidecarError):
    """A connection or a login was refused for `reason`; its text may be shown to the peer."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class NoSuchSession(SidecarError):
    """No session of that name is connected."""

    def __init__(self, session_id: str) -> None:
        # a name comes from outside: it is shown short and printable
        super().__init__(f"there is no session {session_id[:32]!a}; `vdi-sidecar sessions` lists them")
