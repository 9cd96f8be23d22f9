"""The machine as the management API and the admin socket tell of it."""

from typing import TypedDict

from sidecar.control.machine_control import MachineControl
from sidecar.machine import Device, MachineInformation


class DeviceAnswer(TypedDict):
    """One device; see `sidecar.machine.Device`."""

    kind: str
    name: str
    model: str
    detail: str


class HostAnswer(TypedDict):
    """See `sidecar.machine.Host`. An empty text: not known."""

    kvm: bool
    accelerator: str
    version: str


class CapabilityAnswer(TypedDict):
    """`reason`: why it is not possible now, for people; null where it is."""

    possible: bool
    reason: str | None


class MachineAnswer(TypedDict):
    """A machine as it is now. Memory in bytes, `uptime` in seconds; null: not known.

    `state`: running, paused, shut-off, suspended, crashed, migrating or unknown. `capabilities`: by the
    name of the switch: shut-down, power-off, reset, pause, resume, start, memory, cpus.
    """

    name: str
    uuid: str
    state: str
    memory: int | None
    maximum_memory: int | None
    cpus: int | None
    maximum_cpus: int | None
    uptime: float | None
    devices: list[DeviceAnswer]
    host: HostAnswer
    capabilities: dict[str, CapabilityAnswer]


async def machine_answer(control: MachineControl) -> MachineAnswer:
    """Asks now. Raises as `MachineControl.information` does."""
    information = await control.information()
    reasons = await control.capabilities()
    return MachineAnswer(
        name=information.name,
        uuid=information.uuid,
        state=information.state.value,
        memory=information.memory,
        maximum_memory=information.maximum_memory,
        cpus=information.cpus,
        maximum_cpus=information.maximum_cpus,
        uptime=information.uptime,
        devices=[_device(device) for device in information.devices],
        host=_host(information),
        capabilities={
            capability.value: CapabilityAnswer(possible=reason is None, reason=reason)
            for capability, reason in reasons.items()
        },
    )


def _device(device: Device) -> DeviceAnswer:
    return DeviceAnswer(kind=device.kind, name=device.name, model=device.model, detail=device.detail)


def _host(information: MachineInformation) -> HostAnswer:
    host = information.host
    return HostAnswer(kvm=host.kvm, accelerator=host.accelerator, version=host.version)
