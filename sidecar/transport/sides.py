"""What a connection knows of both sides: of what its session works with, and of its peer's transport."""

from enum import Enum
from typing import Protocol, runtime_checkable

from sidecar.session.state import EndReason


class Desk(Protocol):
    """What an initialized session works with, as far as its connection needs to know."""

    deaf: bool
    """Whether keys and pointer events are dropped; what is held is let go of then."""

    @property
    def input_backlog(self) -> int:
        """Input events that wait to be taken by the guest."""
        ...

    def wait(self) -> None:
        """Tells nothing of what can wait, since the client does not read as fast, until `ready`."""
        ...

    def ready(self) -> None:
        """Goes on sending after the client has caught up."""
        ...

    def close(self) -> None:
        """Lets go of the keys that the client holds and of everything else."""
        ...


@runtime_checkable
class TellingTransport(Protocol):
    """A transport whose own protocol can tell the peer why it is closed."""

    def ends_for(self, reason: EndReason) -> None:
        """The connection is about to be closed: says why when it is."""
        ...


class PeerFault(Protocol):
    """What a protocol's error for a fault of the peer tells."""

    reason: Enum
    text: str
