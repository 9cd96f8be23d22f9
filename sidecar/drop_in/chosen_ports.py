"""A guest of whose character devices only some are shown."""

from collections.abc import Collection, Mapping

from sidecar.guest import Guest, SerialPort
from sidecar.guest_wrapper import GuestWrapper


class ChosenPorts(GuestWrapper):
    """`guest`, without the ports whose names are not `chosen`."""

    def __init__(self, guest: Guest, chosen: Collection[str]) -> None:
        super().__init__(guest)
        self._chosen = frozenset(chosen)

    @property
    def ports(self) -> Mapping[str, SerialPort]:
        """Those that were chosen, in the guest's order; `ports_changes` tells of the others too."""
        return {name: port for name, port in self._guest.ports.items() if name in self._chosen}
