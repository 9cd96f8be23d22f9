"""What goes through a session beside screen and input: sound, clipboard, serial ports.

Each is a `Tunnel` of its own, made by a factory that the server has in its list; the desktop knows no more
of them than this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from sidecar.session.session import Session
from sidecar.vnc.capabilities import ClientCapabilities, Owed


@dataclass(frozen=True, slots=True)
class Line:
    """One initialized connection, as its tunnels see it.

    `write` sends a whole message, at any time. `queued` tells how many bytes have not left yet.
    """

    session: Session
    write: Callable[[bytes], None]
    queued: Callable[[], int]


class Tunnel(Protocol):
    """One kind of content of one session, on the main loop."""

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        """By the type of a client's event, what is done with it. They may raise RemoteError, which ends the
        session; no two tunnels have the same events."""
        ...

    def agreed(self, capabilities: ClientCapabilities, owed: Owed) -> None:
        """The client has sent a list of encodings: what it can take now, and what it is owed for it."""
        ...

    def wait(self) -> None:
        """The client does not read as fast as it is sent to: nothing that can wait is sent until `ready`."""
        ...

    def ready(self) -> None:
        """The client has caught up."""
        ...

    def close(self) -> None:
        """The session has ended. Called once; nothing is sent afterwards."""
        ...


class NoTunnel:
    """Carries nothing, for sessions that may not have it; their clients are never told that there is any."""

    handlers: Mapping[type, Callable[[Any], None]] = MappingProxyType({})

    def agreed(self, capabilities: ClientCapabilities, owed: Owed) -> None:
        """Acknowledges nothing."""

    def wait(self) -> None:
        """Has nothing to send."""

    def ready(self) -> None:
        """Has nothing to send."""

    def close(self) -> None:
        """Holds nothing."""


TunnelFactory = Callable[[Line], Tunnel]
