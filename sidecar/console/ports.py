"""The ports that a server has announced, and the one that a person means."""

from collections.abc import Iterator

from sidecar.console.errors import NoSuchPort
from sidecar.console.plain_text import plain_text
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.stream_messages import Announce, Withdraw
from sidecar.vnc.wire import StreamFlag, StreamKind

MAX_PORTS = 1024
"""Announced at once; machines have a handful."""

KIND_NAMES = {
    StreamKind.SERIAL: "serial",
    StreamKind.MONITOR: "monitor",
    StreamKind.CHANNEL: "channel",
}


class Ports:
    """What is announced, in the server's order."""

    def __init__(self) -> None:
        self._ports: dict[int, Announce] = {}

    def __iter__(self) -> Iterator[Announce]:
        return iter(self._ports.values())

    def announced(self, port: Announce) -> None:
        """Raises RemoteError (OVERSIZED) where there are too many."""
        self._ports[port.stream] = port
        if len(self._ports) > MAX_PORTS:
            raise RemoteError(Reason.OVERSIZED, f"There are more than {MAX_PORTS} streams.")

    def withdrawn(self, port: Withdraw) -> None:
        """It is gone; one that was not there is ignored."""
        self._ports.pop(port.stream, None)

    def choose(self, name: str | None) -> Announce:
        """The port of that name or label, or whose name or label alone begins so; None: the only serial port.

        Raises NoSuchPort, which lists what there is.
        """
        ports = list(self)
        if name is None:
            found = [port for port in ports if port.kind is StreamKind.SERIAL]
            if not found:
                raise NoSuchPort(f"this machine has no serial port here{self._listed(ports, '; there is ')}")
            if len(found) > 1:
                raise NoSuchPort(
                    f"this machine has several serial ports: say which{self._listed(found, ' of ')}"
                )
            return found[0]
        if not name:
            raise NoSuchPort(f"a port's name is not empty{self._listed(ports, ': there is ')}")
        found = (
            [port for port in ports if port.name == name]
            or [port for port in ports if port.label == name]
            or [port for port in ports if port.name.startswith(name) or port.label.startswith(name)]
        )
        if not found:
            raise NoSuchPort(
                f"this machine has no port {plain_text(name)!r} here{self._listed(ports, '; there is ')}"
            )
        if len(found) > 1:
            raise NoSuchPort(
                f"{plain_text(name)!r} may be each of{self._listed(found, ' ')}: write more of it"
            )
        return found[0]

    def table(self) -> list[str]:
        """One line for each, below a line of titles: name, label, kind, whether one may write."""
        rows = [("NAME", "LABEL", "KIND", "ACCESS")]
        rows += [
            (
                plain_text(port.name),
                plain_text(port.label) or "-",
                KIND_NAMES[port.kind],
                "read, write" if StreamFlag.WRITE in port.flags else "read",
            )
            for port in self
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows]

    @staticmethod
    def _listed(ports: list[Announce], before: str) -> str:
        return before + ", ".join(shown_name(port) for port in ports) if ports else ""


def shown_name(port: Announce) -> str:
    """A port's name for people, with its label where that says something else."""
    name, label = plain_text(port.name), plain_text(port.label)
    return f"{name} ({label})" if label and label != name else name
