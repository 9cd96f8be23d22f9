"""QEMU's character devices."""

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.guest import SerialPort
from sidecar.observers import Observers
from sidecar.qemu.link import Link


class QemuPorts:
    """All character devices that QEMU has on its D-Bus display."""

    def __init__(self) -> None:
        self._ports: dict[str, SerialPort] = {}
        self._changes: Observers[[]] = Observers()

    @property
    def by_name(self) -> Mapping[str, SerialPort]:
        """The ports that are there, as `sidecar.guest.Guest.ports`."""
        return MappingProxyType(self._ports)

    @property
    def changes(self) -> Observers[[]]:
        """Called when the set of ports has changed."""
        return self._changes

    async def serve(self, link: Link) -> None:
        """Opens the ports of this machine while it is attached, until it is cancelled."""
