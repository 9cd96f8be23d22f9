"""The machine's switches, as viewers work them."""

from collections.abc import Awaitable

from sidecar.control.machine_control import MachineControl
from sidecar.errors import SidecarError
from sidecar.guest import PowerRefused


class ControlledPower:
    """See `sidecar.guest.Power`: viewers change the machine as everybody does, one change at a time."""

    def __init__(self, control: MachineControl) -> None:
        self._control = control

    async def shut_down(self) -> None:
        """Presses the power button. Raises PowerRefused."""
        await _or_refused(self._control.shut_down())

    async def reset(self) -> None:
        """Resets it at once. Raises PowerRefused."""
        await _or_refused(self._control.reset())


async def _or_refused(change: Awaitable[None]) -> None:
    try:
        await change
    except SidecarError as error:
        raise PowerRefused(f"the machine cannot be switched: {error}") from error
