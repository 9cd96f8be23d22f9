"""The checks as the daemon asks them."""

import asyncio

from support.synthetic_guest import SyntheticGuest
from support.waiting import eventually

from sidecar.advice.advisor import Advisor
from sidecar.advice.container import Limits, MemoryUse
from sidecar.advice.listeners import Listener
from sidecar.advice.memory import MIB
from sidecar.domain.vmi import Binding, Interface, PortRange, Vmi
from sidecar.guest import GuestState
from sidecar.problems import Problems

VNC = Listener("VNC", 5900, local=False)


class House:
    """An advisor in a container whose limits and use, and whose time, the test sets."""

    def __init__(self, *, rdp: bool = False, screen: bool | None = None) -> None:
        self.now = 0.0
        self.limits = Limits(None, None)
        self.use = MemoryUse(50 * MIB, 0)
        self.guest = SyntheticGuest()
        self.guest.state = GuestState.WAITING
        self.problems = Problems()
        self.advisor = Advisor(
            self.problems,
            self.guest,
            [VNC],
            rdp=rdp,
            h264=rdp,
            screen=screen,
            limits=lambda: self.limits,
            memory_use=lambda: self.use,
            clock=lambda: self.now,
        )

    @property
    def codes(self) -> list[str]:
        return sorted(problem.code for problem in self.problems)


def masquerade(*ports: PortRange, graphics: bool = True, **annotations: str) -> Vmi:
    named = {f"vdi-sidecar/{name}": value for name, value in annotations.items()}
    interface = Interface("default", Binding.MASQUERADE, ports, True)
    return Vmi(interfaces=(interface,), graphics=graphics, annotations=named)


def test_each_definition_is_judged_anew() -> None:
    house = House()
    house.advisor.defined(masquerade())
    assert house.codes == ["MasqueradeWithoutPorts"]
    house.advisor.defined(masquerade(PortRange(5900, 5900, "tcp")))
    assert house.codes == ["PortGoesToGuest"]
    house.advisor.defined(masquerade(PortRange(22, 22, "tcp")))
    assert house.codes == []


def test_a_machine_that_does_not_come_is_found_and_gone_when_it_comes() -> None:
    house = House()
    house.advisor.defined(Vmi())
    house.advisor.look()
    assert house.codes == []
    house.now = 61
    house.advisor.look()
    assert house.codes == ["QemuNotOnTheBus"]
    house.advisor.guest_changed(GuestState.ATTACHED)
    assert house.codes == []


def test_a_machine_without_a_screen_is_not_waited_for() -> None:
    house = House()
    house.advisor.defined(masquerade(PortRange(22, 22, "tcp"), graphics=False))
    house.now = 1000
    house.advisor.look()
    assert house.codes == ["NoScreen"]


def test_a_screen_that_is_asked_for_is_one() -> None:
    annotated = masquerade(PortRange(22, 22, "tcp"), graphics=False, screen="True")
    for house, vmi in (
        (House(), annotated),
        (House(screen=True), masquerade(PortRange(22, 22, "tcp"), graphics=False)),
    ):
        house.advisor.defined(vmi)
        assert house.codes == []
        house.now = 1000
        house.advisor.look()
        assert house.codes == ["QemuNotOnTheBus"]
    declined = House(screen=False)
    declined.advisor.defined(annotated)
    assert declined.codes == ["NoScreen"]


def test_limits_and_use_are_looked_at_again_and_again() -> None:
    house = House()
    house.limits = Limits(64_000_000, 0.2)
    house.advisor.look()
    assert house.codes == ["CpuLimit", "MemoryLimit"]
    house.use = MemoryUse(60_000_000, 1)
    house.advisor.look()
    assert house.codes == ["CpuLimit", "MemoryLimit", "MemoryNearlyFull", "OutOfMemory"]
    house.use = MemoryUse(30_000_000, 1)
    house.limits = Limits(512 * MIB, 1.0)
    house.advisor.look()
    assert house.codes == ["OutOfMemory"]


def test_a_larger_screen_needs_a_higher_limit() -> None:
    house = House()
    house.limits = Limits(160 * MIB, None)
    house.advisor.look()
    assert house.codes == []
    house.guest.consoles[0].resize(3840, 2160)
    house.advisor.look()
    assert house.codes == ["MemoryLimit"]


def test_rdp_needs_a_higher_limit() -> None:
    house = House(rdp=True)
    house.limits = Limits(160 * MIB, None)
    house.advisor.look()
    assert house.codes == ["MemoryLimit"]


def test_what_stays_is_told_once() -> None:
    house = House()
    house.limits = Limits(64_000_000, 0.2)
    changes: list[list[str]] = []
    house.problems.changes.subscribe(lambda: changes.append(house.codes))
    for used in (20, 30, 60, 61, 60):
        house.use = MemoryUse(used * 1_000_000, 0)
        house.now += 30
        house.advisor.look()
    assert len(changes) == 3
    assert changes[-1] == ["CpuLimit", "MemoryLimit", "MemoryNearlyFull"]


def test_a_definition_without_a_vmi_takes_nothing_back() -> None:
    house = House()
    house.advisor.defined(masquerade())
    house.advisor.defined(Vmi())
    assert house.codes == ["MasqueradeWithoutPorts"]


async def test_at_work_it_looks_by_itself_and_hears_of_the_guest() -> None:
    house = House()
    house.advisor.defined(Vmi())
    async with house.advisor.at_work(interval=0.01):
        house.now = 61
        await eventually(lambda: house.codes == ["QemuNotOnTheBus"], "the machine is missed")
        house.guest.state = GuestState.ATTACHED
        house.guest.lifecycle.notify(GuestState.ATTACHED)
        assert house.codes == []
    assert len(house.guest.lifecycle) == 0
    assert len(asyncio.all_tasks()) == 1


async def test_limits_are_told_as_soon_as_it_is_at_work() -> None:
    house = House()
    house.limits = Limits(64_000_000, None)
    async with house.advisor.at_work():
        assert house.codes == ["MemoryLimit"]
