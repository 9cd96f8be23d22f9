"""A guest that is another one, but for what a subclass says."""

from collections.abc import Mapping

from sidecar.guest import Audio, Clipboard, Console, Guest, GuestState, Microphone, Power, SerialPort
from sidecar.observers import Observers


class GuestWrapper:
    """Implements `sidecar.guest.Guest` by asking `guest`, whatever it is."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

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
        """Its consoles by number, ascending."""
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
    def ports(self) -> Mapping[str, SerialPort]:
        """Its character devices."""
        return self._guest.ports

    @property
    def ports_changes(self) -> Observers[[]]:
        """Called when the set of `ports` has changed."""
        return self._guest.ports_changes

    @property
    def lifecycle(self) -> Observers[[GuestState]]:
        """Called when `state`, `name` or the set of consoles has changed."""
        return self._guest.lifecycle
