"""The machine's switches."""

from collections.abc import Callable
from typing import Final

from sidecar.guest import PowerRefused
from sidecar.qemu.errors import ConnectionLost, QmpRefused
from sidecar.qemu.qmp import Qmp

NO_MONITOR: Final = "the machine can be switched only with --qmp, --control-qmp or --libvirt"


class QemuPower:
    """See `sidecar.guest.Power`. `find_qmp` gives the monitor of the machine that is attached now."""

    def __init__(self, find_qmp: Callable[[], Qmp | None]) -> None:
        self._find_qmp = find_qmp

    async def shut_down(self) -> None:
        """Presses the power button (ACPI). Raises PowerRefused."""
        await self._execute("system_powerdown")

    async def reset(self) -> None:
        """Resets it at once. Raises PowerRefused."""
        await self._execute("system_reset")

    async def _execute(self, command: str) -> None:
        qmp = self._find_qmp()
        if qmp is None:
            raise PowerRefused(NO_MONITOR)
        try:
            await qmp.execute(command)
        except (QmpRefused, ConnectionLost) as error:
            raise PowerRefused(f"the machine cannot be switched: {error}") from error
