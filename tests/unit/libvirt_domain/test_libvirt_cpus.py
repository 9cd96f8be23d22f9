"""Processors come all or none.

The domain here is a double: there is no real QEMU that takes some of several processors, and then no more.
"""

from collections.abc import Sequence

import libvirt
import pytest

from sidecar.libvirt_domain.machine import set_cpus
from sidecar.machine import MachineRefused


class Domain:
    """Has one processor of eight; takes them one by one until it has `room`, and gives those back or not."""

    def __init__(self, room: int, gives_back: bool = True) -> None:
        self.cpus = 1
        self._room = room
        self._gives_back = gives_back

    def info(self) -> Sequence[int]:
        return [libvirt.VIR_DOMAIN_RUNNING, 65536, 65536, self.cpus, 0]

    def vcpusFlags(self, _flags: int) -> int:
        return 8

    def setVcpusFlags(self, count: int, _flags: int) -> None:
        if count < self.cpus and not self._gives_back:
            raise libvirt.libvirtError("no unplug")
        self.cpus = min(count, self._room)
        if self.cpus != count:
            raise libvirt.libvirtError("no room")


def test_what_was_plugged_before_an_error_is_taken_back() -> None:
    domain = Domain(room=3)
    with pytest.raises(libvirt.libvirtError, match="no room"):
        set_cpus(libvirt, domain, 4)
    assert domain.cpus == 1


def test_what_cannot_be_taken_back_is_told() -> None:
    domain = Domain(room=3, gives_back=False)
    with pytest.raises(MachineRefused, match="no room; the machine keeps 3 processors: no unplug"):
        set_cpus(libvirt, domain, 4)


def test_as_many_as_there_is_room_for_are_taken() -> None:
    domain = Domain(room=3)
    set_cpus(libvirt, domain, 3)
    assert domain.cpus == 3
