"""What the connection needs of network level authentication."""

from dataclasses import dataclass, field
from typing import Protocol

from sidecar.access.grant import Grant


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom NLA has proven, and what that may do.

    `password`: what the client delegated, empty where it delegates none.
    """

    user: str
    domain: str = ""
    password: str = field(default="", repr=False)
    grant: Grant = field(default_factory=Grant)


class Authenticator(Protocol):
    """The server's side of CredSSP (MS-CSSP 3.2), between the TLS handshake and the first MCS PDU."""

    @property
    def identity(self) -> Identity | None:
        """Set once the exchange is over."""
        ...

    def receive(self, data: bytes) -> bytes:
        """Takes bytes of the client; what is left over once the exchange is over is returned.

        Raises RemoteError: LOGIN_FAILED for a wrong user or password, LOGIN_THROTTLED where none is looked
        at now, anything else for a broken exchange.
        What the client is to be told of it is in `outgoing` then.
        """
        ...

    def outgoing(self) -> bytes:
        """What is to be sent now, once."""
        ...
