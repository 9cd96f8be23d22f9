"""A guest of whose character devices only some are shown."""

from collections.abc import Collection, Mapping

from sidecar.guest import Audio, Clipboard, Console, Guest, GuestState, Microphone, Power, SerialPort
from sidecar.observers import Observers


class ChosenPorts:
    """Implements `sidecar.guest.Guest`: `guest`, without the ports whose names are not `chosen`."""

    def __init__(self, guest: Guest, chosen: Collection[str]) -> None:
        self._guest = guest
        self._chosen = frozenset(chosen)

    @property
    def ports(self) -> Mapping[str, SerialPort]:
        """Those that were chosen, in the guest's order."""
        return {name: port for name, port in self._guest.ports.items() if name in self._chosen}

    @property
    def ports_changes(self) -> Observers[[]]:
        """Called when the guest's set of ports has changed, also where this one has not."""
        return self._guest.ports_changes

    @property
    def state(self) -> GuestState:
        """Whether the machine is there."""
        return self._guest.state

    @property
    def name(self) -> str:
        """The machine's name."""
        return self._guest.name

    @property
    def uuid(self) -> str:
        """The machine's UUID."""
        return self._guest.uuid

    @property
    def consoles(self) -> Mapping[int, Console]:
        """The guest's own."""
        return self._guest.consoles

    @property
    def power(self) -> Power:
        """Its switches."""
        return self._guest.power

    @property
    def audio(self) -> Audio:
        """What it plays."""
        return self._guest.audio

    @property
    def microphone(self) -> Microphone:
        """What it records."""
        return self._guest.microphone

    @property
    def clipboard(self) -> Clipboard:
        """Its clipboard."""
        return self._guest.clipboard

    @property
    def lifecycle(self) -> Observers[[GuestState]]:
        """Called when the machine's state, its name or its consoles have changed."""
        return self._guest.lifecycle
