"""The machine at the admin socket: what it is, and its switches."""

from collections.abc import Awaitable, Callable

from sidecar.control.admin_commands import Arguments, Command, Json
from sidecar.control.machine_answer import machine_answer
from sidecar.control.machine_control import MachineControl


def machine_commands(control: MachineControl) -> tuple[Command, ...]:
    """`machine`, a command for each switch, and those for memory and processors."""

    async def told(_arguments: Arguments) -> Json:
        return await machine_answer(control)

    async def memory(arguments: Arguments) -> Json:
        await control.set_memory(arguments["size"])
        return {}

    async def cpus(arguments: Arguments) -> Json:
        await control.set_cpus(arguments["count"])
        return {}

    switches: tuple[tuple[str, str, Callable[[], Awaitable[None]]], ...] = (
        ("shut-down", "presses the machine's power button", control.shut_down),
        ("power-off", "ends the machine at once", control.power_off),
        ("reset", "resets the machine at once", control.reset),
        ("pause", "stops the machine's processors", control.pause),
        ("resume", "has a paused machine go on", control.resume),
        ("start", "starts a machine that does not run", control.start),
    )
    return (
        Command("machine", "tells of the machine, and what can be done to it", told),
        *(_switch(*switch) for switch in switches),
        Command(
            "machine-memory",
            "gives the guest so many bytes of memory",
            memory,
            required={"size": int},
            changes=True,
            audited=("size",),
        ),
        Command(
            "machine-cpus",
            "gives the guest so many processors",
            cpus,
            required={"count": int},
            changes=True,
            audited=("count",),
        ),
    )


def _switch(name: str, help_text: str, change: Callable[[], Awaitable[None]]) -> Command:
    async def switched(_arguments: Arguments) -> Json:
        await change()
        return {}

    return Command(f"machine-{name}", help_text, switched, changes=True)
