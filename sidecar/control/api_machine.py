"""The machine in the management API: what it is, and its switches."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from sidecar.control.machine_answer import MachineAnswer, machine_answer
from sidecar.control.machine_control import Busy, MachineControl, NoControl, NotPossible
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.machine import MachineRefused, MachineUnreachable

PATH: Final = "/api/v1/machine"

ASKING: Final[Mapping[type[Exception], int]] = MappingProxyType({MachineUnreachable: 503, NoControl: 501})
CHANGING: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {**ASKING, Busy: 409, NotPossible: 409, MachineRefused: 409}
)

CHANGES: Final = (
    "One change at a time: while another one is under way this is refused with 409 `busy`. What the machine "
    "cannot do, as `capabilities` of the machine tells, is refused with 409 before it is tried. Where nobody "
    "can be asked about the machine at all, the status is 501."
)


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much memory the machine is to have."""

    size: Annotated[int, msgspec.Meta(ge=1024 * 1024, le=1 << 50, description="In bytes.")]


class Processors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many processors the machine is to have."""

    count: Annotated[int, msgspec.Meta(ge=1, le=65536)]


def machine_operations(control: MachineControl) -> tuple[Operation, ...]:
    """GET /api/v1/machine, a resource below it for each switch, and memory and processors."""

    async def told(_call: Call) -> MachineAnswer:
        return await machine_answer(control)

    async def memory(call: Call) -> None:
        await control.set_memory(call.body.size)

    async def cpus(call: Call) -> None:
        await control.set_cpus(call.body.count)

    switches: tuple[tuple[str, str, str, Callable[[], Awaitable[None]]], ...] = (
        ("shut-down", "shutDownMachine", "Press its power button: the guest decides", control.shut_down),
        ("power-off", "powerOffMachine", "End it at once, as by pulling the plug", control.power_off),
        ("reset", "resetMachine", "Reset it at once", control.reset),
        ("pause", "pauseMachine", "Stop its processors", control.pause),
        ("resume", "resumeMachine", "Have a paused machine go on", control.resume),
        ("start", "startMachine", "Start a machine that does not run", control.start),
    )
    return (
        Operation(
            "GET",
            PATH,
            "getMachine",
            "The machine as it is now, and what can be done to it",
            Role.VIEWER,
            told,
            result=MachineAnswer,
            errors=ASKING,
            description="Nothing is polled: the machine is asked by each request.",
        ),
        *(_switch(*switch) for switch in switches),
        Operation(
            "PUT",
            f"{PATH}/memory",
            "setMachineMemory",
            "Give the guest so much memory, all or nothing",
            Role.ADMIN,
            memory,
            body=Memory,
            errors=CHANGING,
            description=f"The guest may need a while to take or leave it. {CHANGES}",
            audited=lambda call: {"size": call.body.size},
        ),
        Operation(
            "PUT",
            f"{PATH}/cpus",
            "setMachineCpus",
            "Give the guest so many processors, all or nothing",
            Role.ADMIN,
            cpus,
            body=Processors,
            errors=CHANGING,
            description=f"To take a processor away the guest has to agree. {CHANGES}",
            audited=lambda call: {"count": call.body.count},
        ),
    )


def _switch(path: str, name: str, summary: str, change: Callable[[], Awaitable[None]]) -> Operation:
    async def switched(_call: Call) -> None:
        await change()

    return Operation(
        "POST",
        f"{PATH}/{path}",
        name,
        summary,
        Role.OPERATOR,
        switched,
        errors=CHANGING,
        description=CHANGES,
        audited=lambda _call: {},
    )
