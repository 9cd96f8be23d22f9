"""A real machine asked and changed by QEMU's monitor; what it says afterwards is asked by another way."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu, version
from support.waiting import DEADLINE, eventually

from sidecar.control.machine_control import Busy, MachineControl, NotPossible
from sidecar.machine import Capability, Device, MachineRefused, MachineState, MachineUnreachable
from sidecar.qemu.attach import QmpAttach
from sidecar.qemu.machine import QmpMachine
from sidecar.qemu.machine_monitor import AttachedMonitor, SocketMonitor
from sidecar.qemu.qmp import Qmp

MIB = 1 << 20
NO_DISPLAY = ("-display", "none")
Start = Callable[..., Qemu]

GROWING = (
    *("-m", "128,slots=1,maxmem=1G", "-smp", "1,maxcpus=4"),
    *("-device", "virtio-balloon-pci,id=balloon"),
    *("-object", "memory-backend-ram,id=more,size=64M", "-device", "virtio-mem-pci,memdev=more,id=growing"),
    *("-netdev", "user,id=lan", "-device", "virtio-net-pci,netdev=lan,id=card,mac=52:54:00:00:00:01"),
)


class House:
    """A machine with a second monitor socket for us; the first is the test's own eye on it."""

    def __init__(self, qemu: Qemu, path: Path, unplug_time: float) -> None:
        self.qemu = qemu
        self.path = path
        self.machine = QmpMachine(SocketMonitor(path), unplug_time=unplug_time)

    def dimms(self) -> list[int]:
        return [
            each["data"]["size"] for each in self.qemu.qmp("query-memory-devices") if each["type"] == "dimm"
        ]

    def requested(self) -> int:
        """Of the virtio-mem device."""
        size: int = self.qemu.qmp("qom-get", path="/machine/peripheral/growing", property="requested-size")
        return size

    def cpus(self) -> int:
        return len(self.qemu.qmp("query-cpus-fast"))


@pytest.fixture
def start(start_qemu: Start, short_dir: Path) -> Callable[..., House]:
    def started(*extra: str, unplug_time: float = DEADLINE, **options: Any) -> House:
        path = short_dir / "control"
        monitor = ("-qmp", f"unix:{path},server=on,wait=off")
        return House(start_qemu(NO_DISPLAY, extra=(*monitor, *extra), **options), path, unplug_time)

    return started


async def test_a_machine_is_told_as_it_is_and_switched(start: Callable[..., House]) -> None:
    house = start()
    machine = house.machine
    told = await machine.information()
    assert (told.name, told.uuid) == ("guest", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0")
    assert (told.state, told.memory, told.maximum_memory) == (MachineState.RUNNING, 64 * MIB, 64 * MIB)
    assert (told.cpus, told.maximum_cpus) == (1, 1)
    assert told.uptime is not None
    # whether there is KVM is the host's; this machine is run without
    assert told.host.accelerator == "tcg"
    assert told.host.version.startswith("{}.{}.".format(*version()))
    kinds = {device.kind: device for device in told.devices}
    assert kinds["disk"].detail == "screen.img"
    assert kinds["graphics"].model == "VGA"

    capabilities = await machine.capabilities()
    assert capabilities[Capability.PAUSE] is None
    assert "running" in str(capabilities[Capability.START])
    assert "balloon" in str(capabilities[Capability.SET_MEMORY])
    assert "maxcpus" in str(capabilities[Capability.SET_CPUS])

    await machine.pause()
    assert house.qemu.qmp("query-status")["status"] == "paused"
    assert (await machine.information()).state is MachineState.PAUSED
    await machine.resume()
    assert house.qemu.qmp("query-status")["status"] == "running"
    # the guest says so again when it has been reset
    house.qemu.com1.forget()
    await machine.reset()
    house.qemu.com1.wait_for("READY")
    await machine.shut_down()
    with pytest.raises(MachineRefused, match="from 64 MiB to 64 MiB"):
        await machine.set_memory(128 * MIB)
    with pytest.raises(MachineRefused, match="from 1 to 1"):
        await machine.set_cpus(2)

    async with MachineControl(machine) as control:
        with pytest.raises(NotPossible, match="balloon"):
            await control.set_memory(128 * MIB)
        with pytest.raises(NotPossible, match="running"):
            await control.resume()
        # many who ask at once share what QEMU gives to one at a time
        answers = await asyncio.gather(*(control.information() for _ in range(20)))
        assert {answer.state for answer in answers} == {MachineState.RUNNING}
        # and between questions it is free for others
        async with Qmp(house.path) as other:
            assert await other.execute("query-name") == {"name": "guest"}
        await control.power_off()
        assert house.qemu.process.wait(DEADLINE) == 0
        with pytest.raises(MachineUnreachable, match="no monitor"):
            await control.information()


async def test_memory_and_processors_grow_all_or_nothing(start: Callable[..., House]) -> None:
    house = start(*GROWING)
    machine = house.machine
    told = await machine.information()
    assert (told.memory, told.maximum_memory) == (128 * MIB, (128 + 64 + 768) * MIB)
    assert (told.cpus, told.maximum_cpus) == (1, 4)
    assert Device("network", "card", "virtio-net-pci", "52:54:00:00:00:01 on lan") in told.devices
    capabilities = await machine.capabilities()
    assert capabilities[Capability.SET_MEMORY] is capabilities[Capability.SET_CPUS] is None

    await machine.set_memory(160 * MIB)
    assert (house.requested(), house.dimms()) == (32 * MIB, [])
    await machine.set_memory((128 + 64 + 256) * MIB)
    assert (house.requested(), house.dimms()) == (64 * MIB, [256 * MIB])
    # its only slot is taken, and the DIMM stays
    with pytest.raises(MachineRefused, match="from 16 MiB to 448 MiB"):
        await machine.set_memory(512 * MIB)
    await machine.set_memory(384 * MIB)
    assert (house.requested(), house.dimms()) == (0, [256 * MIB])
    assert (await machine.information()).memory == 384 * MIB
    # the balloon has been asked; nobody is in the guest to follow
    await machine.set_memory(100 * MIB)
    assert house.requested() == 0
    with pytest.raises(MachineRefused, match="ask for 384 MiB or 386 MiB"):
        await machine.set_memory(385 * MIB)
    assert house.requested() == 0

    await machine.set_cpus(3)
    assert house.cpus() == 3
    assert (await machine.information()).cpus == 3
    with pytest.raises(MachineRefused, match="from 1 to 4"):
        await machine.set_cpus(5)
    # this guest has no ACPI that could let go of one
    with pytest.raises(MachineRefused):
        await machine.set_cpus(2)
    assert house.cpus() == 3


async def test_of_ten_changes_at_once_one_goes(start: Callable[..., House]) -> None:
    house = start(*GROWING)
    async with MachineControl(house.machine) as control:
        changes = [control.set_cpus(2), *(control.set_memory((130 + number) * MIB) for number in range(9))]
        results = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), *[Busy] * 9]
    assert (house.cpus(), house.requested(), house.dimms()) == (2, 0, [])


async def test_a_machine_that_waits_to_begin_is_started_and_one_that_has_shut_down_too(
    start: Callable[..., House],
) -> None:
    house = start("-no-shutdown", "-no-reboot")
    machine = house.machine
    # instead of a reset this QEMU has the machine shut down
    with pytest.raises(MachineRefused, match="-no-reboot"):
        await machine.reset()
    assert (await machine.information()).state is MachineState.SHUT_OFF
    house.qemu.qmp("set-action", reboot="reset")
    capabilities = await machine.capabilities()
    assert capabilities[Capability.START] is None
    assert "shut-off" in str(capabilities[Capability.SHUT_DOWN])
    house.qemu.com1.forget()
    await machine.start()
    house.qemu.com1.wait_for("READY")
    assert (await machine.information()).state is MachineState.RUNNING

    await machine.pause()
    # now it is where a machine is that was started with -S
    await machine.reset()
    await eventually(lambda: house.qemu.qmp("query-status")["status"] == "prelaunch", "it waits to begin")
    assert (await machine.capabilities())[Capability.START] is None
    house.qemu.com1.forget()
    await machine.start()
    house.qemu.com1.wait_for("READY")


async def test_a_qemu_that_is_killed_amid_a_change_is_told_and_another_may_follow(
    start: Callable[..., House],
) -> None:
    house = start()
    # it is stopped, so that the change is under way for as long as we want
    house.qemu.process.signal(signal.SIGSTOP)
    async with MachineControl(house.machine) as control:
        change = asyncio.create_task(control.pause())
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await control.reset()
        house.qemu.kill()
        with pytest.raises(MachineUnreachable):
            await change
        house.qemu.start()
        await control.pause()
        assert house.qemu.qmp("query-status")["status"] == "paused"


async def test_the_connection_of_the_display_is_used_where_it_is_attached_by_it(start_qemu: Start) -> None:
    qemu = start_qemu(PEER_TO_PEER_DISPLAY)
    qemu.qmp.close()
    path = qemu.directory / "qmp"
    async with QmpAttach(path).link() as link:
        machine = QmpMachine(AttachedMonitor(lambda: link.qmp))
        assert (await machine.information()).name == "guest"
        await machine.pause()
        assert (await machine.information()).state is MachineState.PAUSED
        await machine.power_off()
        assert qemu.process.wait(DEADLINE) == 0
    nobody = QmpMachine(AttachedMonitor(lambda: None))
    with pytest.raises(MachineUnreachable, match="not there"):
        await nobody.information()
