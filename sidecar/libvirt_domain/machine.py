"""What is known of a domain of libvirt's, and what can be done to it."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from sidecar.libvirt_domain.calls import Calls, Crowded, NoAnswer
from sidecar.libvirt_domain.definition import (
    devices,
    has_balloon,
    has_pluggable_cpus,
    has_power_button,
    machine_kind,
    offers_kvm,
    parse,
)
from sidecar.libvirt_domain.library import connect, find, load, words
from sidecar.machine import (
    Capability,
    Host,
    MachineInformation,
    MachineRefused,
    MachineState,
    MachineUnreachable,
)

T = TypeVar("T")

ASKING: Final = 20.0
CHANGING: Final = 120.0
"""Seconds: a machine that is ended may need half a minute, and libvirt may have other things to do before."""

_KIBIBYTE: Final = 1024

_ACCELERATORS: Final = {"qemu": "tcg"}
"""By the domain's type, where the two have different names."""


class LibvirtMachine:
    """The domain with that name or UUID of the libvirt at `uri`. See `sidecar.machine.Machine`.

    Also while it is shut off: then it can be started. There is a connection to libvirt for each request, and
    none between them.
    """

    def __init__(self, uri: str, domain: str) -> None:
        """Raises UsageError where libvirt-python is not installed."""
        self._libvirt = load()
        self._uri = uri
        self._domain = domain
        self._calls = Calls()

    async def information(self) -> MachineInformation:
        """See `Machine.information`. libvirt does not know since when a machine runs."""
        return await self._ask(self._information)

    async def capabilities(self) -> Mapping[Capability, str | None]:
        """See `Machine.capabilities`."""
        return await self._ask(self._capabilities)

    async def shut_down(self) -> None:
        """See `Machine.shut_down`; libvirt asks the guest agent first, where the machine has one."""
        await self._change(lambda domain: domain.shutdown())

    async def power_off(self) -> None:
        """See `Machine.power_off`."""
        await self._change(lambda domain: domain.destroy())

    async def reset(self) -> None:
        """See `Machine.reset`."""
        await self._change(lambda domain: domain.reset())

    async def pause(self) -> None:
        """See `Machine.pause`."""
        await self._change(lambda domain: domain.suspend())

    async def resume(self) -> None:
        """See `Machine.resume`; wakes one that sleeps."""

        def resume(domain: Any) -> None:
            if self._state(domain) is MachineState.SUSPENDED:
                domain.pMWakeup()
            else:
                domain.resume()

        await self._change(resume)

    async def start(self) -> None:
        """See `Machine.start`; as libvirt has it defined."""
        await self._change(lambda domain: domain.create())

    async def set_memory(self, size: int) -> None:
        """See `Machine.set_memory`; by the balloon, in KiB, up to what the machine was started with."""
        live = self._libvirt.VIR_DOMAIN_AFFECT_LIVE

        def set_memory(domain: Any) -> None:
            # a number that is too long for C must not come to it
            most = domain.maxMemory() * _KIBIBYTE
            if not _KIBIBYTE <= size <= most:
                raise MachineRefused(
                    f"the machine can have {_KIBIBYTE} to {most} bytes of memory, not {size}"
                )
            domain.setMemoryFlags(size // _KIBIBYTE, live)

        await self._change(set_memory)

    async def set_cpus(self, count: int) -> None:
        """See `Machine.set_cpus`; up to the number that the machine was started with."""
        await self._change(lambda domain: set_cpus(self._libvirt, domain, count))

    def _information(self, domain: Any, _denied: str | None) -> MachineInformation:
        runs = bool(domain.isActive())
        _, _, memory, cpus, _ = domain.info()
        definition = parse(domain.XMLDesc())
        kind, architecture = machine_kind(definition)
        connection = domain.connect()
        version = connection.getVersion()
        return MachineInformation(
            name=domain.name(),
            uuid=domain.UUIDString(),
            state=self._state(domain),
            memory=memory * _KIBIBYTE if runs else None,
            maximum_memory=domain.maxMemory() * _KIBIBYTE,
            cpus=cpus if runs else None,
            maximum_cpus=domain.vcpusFlags(self._libvirt.VIR_DOMAIN_VCPU_MAXIMUM),
            uptime=None,
            devices=devices(definition),
            host=Host(
                kvm=offers_kvm(parse(connection.getCapabilities()), architecture),
                accelerator=_ACCELERATORS.get(kind, kind),
                # libvirt's form of 7.2.22
                version=f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}",
            ),
        )

    def _capabilities(self, domain: Any, denied: str | None) -> Mapping[Capability, str | None]:
        if denied is not None:
            return dict.fromkeys(Capability, denied)
        state = self._state(domain)
        if not domain.isActive():
            reasons: dict[Capability, str | None] = dict.fromkeys(Capability, "the machine is shut off")
            reasons[Capability.START] = None
            return reasons
        definition = parse(domain.XMLDesc())
        reasons = dict.fromkeys(Capability)
        reasons[Capability.START] = "the machine runs already"
        if not has_power_button(definition):
            reasons[Capability.SHUT_DOWN] = "the machine has no ACPI, by which it could be told"
        if state is not MachineState.RUNNING:
            reasons[Capability.PAUSE] = f"the machine is {state.value} and not running"
        if state not in (MachineState.PAUSED, MachineState.SUSPENDED):
            reasons[Capability.RESUME] = "the machine is not paused"
        if not has_balloon(definition):
            reasons[Capability.SET_MEMORY] = "the machine has no memory balloon"
        if not has_pluggable_cpus(definition):
            reasons[Capability.SET_CPUS] = (
                "the machine was started with as many processors as it can have, and none can be taken away"
            )
        return reasons

    def _state(self, domain: Any) -> MachineState:
        libvirt = self._libvirt
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION:
            return MachineState.MIGRATING
        states = {
            libvirt.VIR_DOMAIN_RUNNING: MachineState.RUNNING,
            libvirt.VIR_DOMAIN_BLOCKED: MachineState.RUNNING,
            libvirt.VIR_DOMAIN_PAUSED: MachineState.PAUSED,
            # the guest is about to end
            libvirt.VIR_DOMAIN_SHUTDOWN: MachineState.RUNNING,
            libvirt.VIR_DOMAIN_SHUTOFF: MachineState.SHUT_OFF,
            libvirt.VIR_DOMAIN_CRASHED: MachineState.CRASHED,
            libvirt.VIR_DOMAIN_PMSUSPENDED: MachineState.SUSPENDED,
        }
        return states.get(state, MachineState.UNKNOWN)

    async def _ask(self, question: Callable[[Any, str | None], T]) -> T:
        """The answer to a question about the domain, on a thread. Raises MachineUnreachable."""

        def ask(domain: Any, denied: str | None) -> T:
            try:
                return question(domain, denied)
            except self._libvirt.libvirtError as error:
                raise MachineUnreachable(f"libvirt does not tell: {words(error)}") from error

        return await self._run(ask, ASKING)

    async def _change(self, change: Callable[[Any], object]) -> None:
        """Carries a change out, on a thread. Raises MachineRefused, MachineUnreachable."""

        def do(domain: Any, denied: str | None) -> None:
            if denied is not None:
                raise MachineRefused(denied)
            try:
                change(domain)
            except self._libvirt.libvirtError as error:
                if error.get_error_domain() == self._libvirt.VIR_FROM_RPC:
                    raise MachineUnreachable(
                        f"libvirt went away, and may have done it: {words(error)}"
                    ) from error
                raise MachineRefused(f"libvirt refuses: {words(error)}") from error

        await self._run(do, CHANGING, ", and may still do it")

    async def _run(self, work: Callable[[Any, str | None], T], limit: float, late: str = "") -> T:
        """`late`: what else is said when there is no answer in time."""
        libvirt = self._libvirt

        def run() -> T:
            try:
                connection, denied = connect(libvirt, self._uri)
            except libvirt.libvirtError as error:
                raise MachineUnreachable(f"no libvirt at {self._uri}: {words(error)}") from error
            try:
                return work(self._find(connection), denied)
            finally:
                with contextlib.suppress(libvirt.libvirtError):
                    connection.close()

        try:
            return await self._calls.run(run, limit)
        except Crowded as error:
            raise MachineUnreachable(str(error)) from error
        except NoAnswer as error:
            raise MachineUnreachable(f"{error}{late}") from error

    def _find(self, connection: Any) -> Any:
        try:
            domain = find(self._libvirt, connection, self._domain)
        except self._libvirt.libvirtError as error:
            raise MachineUnreachable(f"libvirt does not tell: {words(error)}") from error
        if domain is None:
            raise MachineUnreachable(f"libvirt at {self._uri} has no domain {self._domain}")
        return domain


def set_cpus(libvirt: Any, domain: Any, count: int) -> None:
    """Has libvirt plug processors into a domain that runs, or unplug them. Blocks.

    Raises MachineRefused, or libvirtError with nothing changed.
    """
    most = domain.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    # libvirt would take the lower bits of a number that is too long for it
    if not 1 <= count <= most:
        raise MachineRefused(f"the machine can have 1 to {most} processors, not {count}")
    before = _cpus(domain)
    try:
        domain.setVcpusFlags(count, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        # libvirt plugs one after the other, and leaves those that it has got to
        if _cpus(domain) == before:
            raise
        try:
            domain.setVcpusFlags(before, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError as second:
            kept = f"the machine keeps {_cpus(domain)} processors: {words(second)}"
            raise MachineRefused(f"libvirt refuses: {words(error)}; {kept}") from error
        raise


def _cpus(domain: Any) -> int:
    """Online ones, or those of the definition."""
    return int(domain.info()[3])
