"""Whether QEMU comes onto the bus after its domain was defined. Does no I/O; the time is passed in.

The sidecar cannot look into virt-launcher's image, so a missing D-Bus module of QEMU shows in nothing but
this: a domain was answered, and nobody came.
"""

from typing import Final

from sidecar.guest import GuestState
from sidecar.problems import Problem, Severity

NOT_ON_THE_BUS: Final = "QemuNotOnTheBus"

PATIENCE = 60.0
"""Seconds from the first definition; a paused machine comes at once too, its QEMU runs."""

_MESSAGE = (
    "the domain was defined, but QEMU has not come onto the bus: look why the machine did not start (kubectl "
    "describe vmi); if it speaks of dbus, virt-launcher's image lacks QEMU's modules (qemu-kvm-ui-dbus, "
    "qemu-kvm-ui-opengl, qemu-kvm-audio-dbus): use one that is built from images/virt-launcher"
)


class ArrivalWatch:
    """Belongs to the main loop. Times are monotonic seconds."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._attached = False
        self._defined_at: float | None = None

    def defined(self, now: float) -> None:
        """A domain with a D-Bus display was answered.

        A boot asks two or three times, and a start that fails is tried again: the first time counts.
        """
        if not self._attached and self._defined_at is None:
            self._defined_at = now

    def guest_changed(self, state: GuestState) -> None:
        """QEMU has come or gone. One that went may stay away until it is defined again."""
        self._attached = state is GuestState.ATTACHED
        if self._attached:
            self._defined_at = None

    def problem(self, now: float) -> Problem | None:
        """What is wrong at this moment."""
        if self._defined_at is None or now - self._defined_at < self._patience:
            return None
        return Problem(NOT_ON_THE_BUS, Severity.DEGRADED, _MESSAGE)
