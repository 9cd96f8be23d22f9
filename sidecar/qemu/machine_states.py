"""What a machine does, in QEMU's words and in ours, and which switches it heeds then.

Source: QEMU qapi/run-state.json (RunState), qapi/migration.json (MigrationStatus).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.machine import Capability, MachineState

_STATES: Final = {
    "running": MachineState.RUNNING,
    "paused": MachineState.PAUSED,
    "prelaunch": MachineState.PAUSED,
    "io-error": MachineState.PAUSED,
    "watchdog": MachineState.PAUSED,
    "debug": MachineState.PAUSED,
    "save-vm": MachineState.PAUSED,
    "restore-vm": MachineState.PAUSED,
    "suspended": MachineState.SUSPENDED,
    "shutdown": MachineState.SHUT_OFF,
    "guest-panicked": MachineState.CRASHED,
    "internal-error": MachineState.CRASHED,
    "inmigrate": MachineState.MIGRATING,
    "finish-migrate": MachineState.MIGRATING,
    "postmigrate": MachineState.MIGRATING,
    "colo": MachineState.MIGRATING,
}

_NOT_MOVING: Final = {"", "none", "completed", "failed", "cancelled"}

_GO_ON: Final = {"paused", "io-error", "watchdog", "prelaunch"}
"""From which `cont` leads to running."""


@dataclass(frozen=True, slots=True)
class Doing:
    """`status`: of query-status; `migration`: of query-migrate, empty where there was none."""

    status: str
    migration: str = ""

    @property
    def state(self) -> MachineState:
        """In our words."""
        if self.is_moving:
            return MachineState.MIGRATING
        return _STATES.get(self.status, MachineState.UNKNOWN)

    @property
    def is_moving(self) -> bool:
        """Whether a migration is under way, to here or from here."""
        return self.migration not in _NOT_MOVING

    @property
    def goes_on_by_wakeup(self) -> bool:
        """Whether it is to be woken up, and not continued."""
        return self.status == "suspended"

    @property
    def needs_reset(self) -> bool:
        """Whether it goes on only after a reset."""
        return self.status in ("shutdown", "guest-panicked", "internal-error")

    def switches(self) -> Mapping[Capability, str | None]:
        """Why each switch cannot be used now, or None."""
        state = self.state
        if state is MachineState.MIGRATING and self.status != "running":
            # it is, or will be, somebody else's: two of it would ruin its disks
            others = dict.fromkeys(_SWITCHES, "the machine is migrating")
            return {**others, Capability.POWER_OFF: None}
        no = f"the machine is {state.value}"
        runs = self.status == "running"
        return {
            Capability.SHUT_DOWN: None if runs else f"{no} and does not hear its power button",
            Capability.POWER_OFF: None,
            Capability.RESET: f"{no}: start it" if state is MachineState.SHUT_OFF else None,
            Capability.PAUSE: None if runs else no,
            Capability.RESUME: None if self.status in _GO_ON or self.goes_on_by_wakeup else _not_on(state),
            Capability.START: None if self.status in ("shutdown", "prelaunch") else _not_started(state),
        }

    def change_of_parts(self) -> str | None:
        """Why memory and processors cannot be changed now, or None."""
        state = self.state
        return (
            None if state in (MachineState.RUNNING, MachineState.PAUSED) else f"the machine is {state.value}"
        )


_SWITCHES: Final = (
    Capability.SHUT_DOWN,
    Capability.POWER_OFF,
    Capability.RESET,
    Capability.PAUSE,
    Capability.RESUME,
    Capability.START,
)


def _not_on(state: MachineState) -> str:
    advice = {MachineState.CRASHED: ": reset it", MachineState.SHUT_OFF: ": start it"}.get(state, "")
    return f"the machine is {state.value}{advice}"


def _not_started(state: MachineState) -> str:
    advice = {MachineState.PAUSED: ": resume it", MachineState.SUSPENDED: ": resume it"}.get(state, "")
    advice = ": reset it" if state is MachineState.CRASHED else advice
    return f"the machine is {state.value}{advice}"
