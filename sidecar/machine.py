"""The second seam: what can be asked of a virtual machine, and done to it, beside its screen.

Nothing here is polled: every question is answered by asking then. Belongs to the main loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sidecar.errors import SidecarError


class MachineUnreachable(SidecarError):
    """Nobody can be asked about the machine now, or at all; the text says why."""


class MachineRefused(SidecarError):
    """The machine, or who runs it, did not do what was asked; the text says why.

    Nothing was changed, or the text says what the guest keeps of it.
    """


class MachineState(StrEnum):
    """What a machine does."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUT_OFF = "shut-off"
    SUSPENDED = "suspended"
    """by its own power management"""
    CRASHED = "crashed"
    MIGRATING = "migrating"
    UNKNOWN = "unknown"
    """in none of the states above, or what it is in cannot be told"""


class Capability(StrEnum):
    """What can be done to a machine."""

    SHUT_DOWN = "shut-down"
    """press the power button (ACPI): the guest decides"""
    POWER_OFF = "power-off"
    """pull the plug"""
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    START = "start"
    SET_MEMORY = "memory"
    SET_CPUS = "cpus"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. `kind`: disk, network, usb, graphics, or another word of the backend; `name`: its id."""

    kind: str
    name: str
    model: str = ""
    detail: str = ""
    """What it is backed by, for people: a bridge, a file's name."""


@dataclass(frozen=True, slots=True)
class Host:
    """What the host of the machine supports. `accelerator`: what runs the machine now: kvm, tcg ..."""

    kvm: bool
    """Whether KVM can be used; no is a normal answer."""
    accelerator: str = ""
    version: str = ""
    """Of QEMU."""


@dataclass(frozen=True, slots=True)
class MachineInformation:
    """A machine as it is at this moment. Memory in bytes; None: not known, or there is no such thing."""

    name: str
    uuid: str
    state: MachineState
    memory: int | None
    """What the guest has now."""
    maximum_memory: int | None
    cpus: int | None
    """Online ones."""
    maximum_cpus: int | None
    uptime: float | None
    """Seconds since it was started."""
    devices: tuple[Device, ...]
    host: Host


class Machine(Protocol):
    """One backend: QEMU's monitor, or libvirt. Every call may raise MachineUnreachable."""

    async def information(self) -> MachineInformation:
        """How it is now."""
        ...

    async def capabilities(self) -> Mapping[Capability, str | None]:
        """For each capability why it is not there now, in a sentence for people; None: it is there."""
        ...

    async def shut_down(self) -> None:
        """Presses the power button. As all the following, raises MachineRefused."""
        ...

    async def power_off(self) -> None:
        """Ends it at once."""
        ...

    async def reset(self) -> None:
        """Resets it at once."""
        ...

    async def pause(self) -> None:
        """Stops its processors."""
        ...

    async def resume(self) -> None:
        """Has them go on."""
        ...

    async def start(self) -> None:
        """Starts a machine that is shut off."""
        ...

    async def set_memory(self, size: int) -> None:
        """Gives the guest so many bytes, from now on; returns once that is agreed with whoever runs it.

        All or nothing: a step that fails takes back those before it.
        """
        ...

    async def set_cpus(self, count: int) -> None:
        """Gives the guest so many processors, all or nothing."""
        ...
