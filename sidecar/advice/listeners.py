"""Where the daemon listens, as far as the checks need to know."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port. `local`: only the pod itself can reach it, such as `kubectl port-forward`."""

    name: str
    port: int
    local: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.port})"


@runtime_checkable
class TcpPlace(Protocol):
    """An address with a port: `sidecar.config.address.TcpAddress`; that of a unix socket has none."""

    @property
    def port(self) -> int:
        """0 lets the system choose."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        ...


class ConsolePlace(Protocol):
    """`sidecar.config.address.ConsoleAddress`."""

    @property
    def address(self) -> object:
        """Where it is."""
        ...


class ListenOptions(Protocol):
    """`sidecar.config.options.DaemonOptions`."""

    @property
    def vnc(self) -> Iterable[object]:
        """Addresses of VNC."""
        ...

    @property
    def rdp(self) -> Iterable[object]:
        """Addresses of RDP."""
        ...

    @property
    def api(self) -> Iterable[object]:
        """Addresses of the management API."""
        ...

    @property
    def vnc_console(self) -> Iterable[ConsolePlace]:
        """Addresses of VNC that show another console."""
        ...

    @property
    def web(self) -> object | None:
        """The address of WebSocket."""
        ...

    @property
    def metrics(self) -> object | None:
        """The address of the metrics."""
        ...


def listeners_of(options: ListenOptions) -> tuple[Listener, ...]:
    """The TCP ports that were asked for by number; unix sockets are in nobody's way."""
    places = [("VNC", each) for each in options.vnc] + [("RDP", each) for each in options.rdp]
    places += [("the API", each) for each in options.api]
    places += [("VNC", each.address) for each in options.vnc_console]
    places += [("the web", options.web), ("metrics", options.metrics)]
    return tuple(
        Listener(name, place.port, place.is_local)
        for name, place in places
        if isinstance(place, TcpPlace) and place.port
    )


def named(listeners: Iterable[Listener]) -> str:
    """Some of them in a sentence, each once."""
    return ", ".join(dict.fromkeys(map(str, listeners)))
