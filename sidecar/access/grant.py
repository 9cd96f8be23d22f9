"""What a login is, and what it may do once it has succeeded."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sidecar.errors import SidecarError

LoginProtocol: TypeAlias = Literal["vnc", "rdp", "web", "api"]
"""Over what somebody logs in. `web`: VNC through a WebSocket."""

LoginMethod: TypeAlias = Literal["none", "password", "user", "ticket"]
"""What was proven: nothing, the machine's password, that of a user of its own, a ticket."""


class LoginRefused(SidecarError):
    """Somebody is not let in. The text may be shown to the peer: it never says what was wrong."""


class LoginFailed(LoginRefused):
    """The name or the password is wrong, or a ticket is not for this."""

    def __init__(self) -> None:
        super().__init__("Authentication failed")


class LoginThrottled(LoginRefused):
    """Too many attempts from that address have failed; `wait`: seconds until the next one counts."""

    def __init__(self, wait: float) -> None:
        super().__init__("Too many failed logins from your address: wait, then try again")
        self.wait = wait


class LoginsBusy(LoginThrottled):
    """Too many passwords wait to be looked at; this one was not."""

    def __init__(self) -> None:
        LoginRefused.__init__(self, "Too many logins at once: try again")
        self.wait = 1.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login. `host`: the peer's address without its port; empty for a unix socket. `session`: the id of
    the session that is to begin by it, for the log."""

    protocol: LoginProtocol
    host: str = ""
    session: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login may do.

    `user`: who it is, for the status; empty where that is what the peer calls itself. `consoles`: labels,
    numbers or names of serial ports that may be seen; None: all. `ticket`: the id of the ticket. `role`: the
    role in the management API of a user of its own, in the words of `sidecar.control.role`; empty: none.
    """

    method: LoginMethod = "none"
    user: str = ""
    view_only: bool = False
    consoles: frozenset[str] | None = None
    ticket: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A secret that would let somebody in, for protocols in which the peer proves it without sending it.

    One of the two is there. `nt_hash`: NTOWFv1, MD4 of the password in UTF-16 (MS-NLMP 3.3.1).
    """

    grant: Grant
    password: str | None = field(default=None, repr=False)
    nt_hash: bytes | None = field(default=None, repr=False)
