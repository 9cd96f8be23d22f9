"""What libvirt tells of a machine, and what is done to one by it."""

import asyncio
import logging
import os
import threading

import pytest
from support.libvirt_daemon import Libvirt
from support.libvirt_machine import NAME, Machine
from support.libvirt_screen import UUID, domain_with
from support.waiting import eventually

from sidecar.libvirt_domain.attach import LibvirtAttach
from sidecar.libvirt_domain.machine import LibvirtMachine
from sidecar.machine import Capability, Device, MachineRefused, MachineState, MachineUnreachable

MIB = 1 << 20

RUNNING = {
    Capability.START: "the machine runs already",
    Capability.RESUME: "the machine is not paused",
}


@pytest.fixture
def control(libvirt: Libvirt) -> LibvirtMachine:
    return LibvirtMachine(libvirt.uri, NAME)


async def missing(control: LibvirtMachine) -> dict[Capability, str]:
    """What cannot be done, and why."""
    return {what: why for what, why in (await control.capabilities()).items() if why is not None}


async def test_a_machine_is_started_paused_resumed_reset_and_ended(
    machine: Machine, control: LibvirtMachine
) -> None:
    machine.define(domain_with(machine))
    off = await control.information()
    assert (off.name, off.uuid, off.state) == (NAME, UUID, MachineState.SHUT_OFF)
    assert (off.memory, off.maximum_memory, off.cpus, off.maximum_cpus) == (None, 64 * MIB, None, 4)
    assert set(await missing(control)) == set(Capability) - {Capability.START}
    with pytest.raises(MachineRefused, match="domain is not running"):
        await control.pause()

    await control.start()
    assert machine.state == "running"
    assert await missing(control) == RUNNING
    with pytest.raises(MachineRefused, match="domain is already running"):
        await control.start()

    await control.pause()
    assert machine.state == "paused"
    assert (await control.information()).state is MachineState.PAUSED
    assert set(await missing(control)) == {Capability.START, Capability.PAUSE}
    await control.resume()
    assert machine.state == "running"

    # the button is pressed; this guest does not mind
    await control.shut_down()
    await control.reset()
    assert machine.state == "running"

    await control.power_off()
    assert machine.state == "shut off"
    with pytest.raises(MachineRefused, match="domain is not running"):
        await control.power_off()


async def test_a_machine_that_runs_tells_what_it_has_and_takes_other_memory_and_processors(
    machine: Machine, control: LibvirtMachine
) -> None:
    machine.define(domain_with(machine))
    machine.start()
    before = await control.information()
    assert before.state is MachineState.RUNNING
    assert (before.memory, before.maximum_memory) == (64 * MIB, 64 * MIB)
    assert (before.cpus, before.maximum_cpus) == (1, 4)
    assert before.uptime is None
    assert Device("disk", "vda", "virtio", "disk.img") in before.devices
    assert Device("video", "video0", "vga", "") in before.devices
    assert before.host.accelerator == "tcg"
    assert before.host.kvm is ("<domain type='kvm'" in machine.libvirt.virsh("capabilities"))
    assert machine.libvirt.virsh("version").count(before.host.version)

    await control.set_cpus(3)
    assert (await control.information()).cpus == 3
    for wrong in (0, -1, 5, (1 << 32) + 1, 1 << 80):
        with pytest.raises(MachineRefused, match=f"1 to 4 processors, not {wrong}"):
            await control.set_cpus(wrong)
    # no guest of this kind of machine gives a processor back
    with pytest.raises(MachineRefused, match="device_del"):
        await control.set_cpus(1)
    assert (await control.information()).cpus == 3

    # the balloon is told; this guest has no driver for it
    await control.set_memory(48 * MIB)
    for wrong in (0, -1, 1000, 65 * MIB, 1 << 80):
        with pytest.raises(MachineRefused, match=f"to {64 * MIB} bytes of memory, not {wrong}"):
            await control.set_memory(wrong)
    assert machine.monitor("query-balloon") == {"actual": 64 * MIB}


async def test_what_a_definition_leaves_out_is_told_before_it_is_tried(
    machine: Machine, control: LibvirtMachine
) -> None:
    definition = domain_with(machine).decode()
    for old, new in (
        ("<vcpu current='1'>4</vcpu>", "<vcpu>1</vcpu>"),
        ("<acpi/>", ""),
        ("</devices>", "<memballoon model='none'/></devices>"),
    ):
        assert old in definition
        definition = definition.replace(old, new)
    machine.define(definition.encode())
    await control.start()
    why = await missing(control)
    assert set(why) - set(RUNNING) == {Capability.SHUT_DOWN, Capability.SET_MEMORY, Capability.SET_CPUS}
    with pytest.raises(MachineRefused, match="libvirt refuses: "):
        await control.set_memory(32 * MIB)


async def test_nothing_is_left_open_behind_many_questions_and_waits_that_are_given_up(
    machine: Machine, control: LibvirtMachine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    machine.define(domain_with(machine))

    async def wait_for_it() -> None:
        async with LibvirtAttach(machine.libvirt.uri, NAME).link():
            raise AssertionError("nobody has started it")

    def held() -> tuple[int, int]:
        """Descriptors, and threads beside the one of libvirt's events."""
        return len(os.listdir("/proc/self/fd")), sum(each.name == "libvirt" for each in threading.enumerate())

    await control.information()
    await eventually(lambda: held()[1] == 0, "the first question has ended")
    idle = held()
    for _ in range(10):
        caplog.clear()
        waiting = asyncio.create_task(wait_for_it())
        await eventually(
            lambda: "waiting for the virtual machine" in caplog.messages, "the machine is waited for"
        )
        await control.information()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
    await eventually(lambda: held() <= idle, "every connection is closed")


async def test_who_cannot_be_asked_is_told(libvirt: Libvirt) -> None:
    with pytest.raises(MachineUnreachable, match="has no domain nobody-knows"):
        await LibvirtMachine(libvirt.uri, "nobody-knows").information()
    nowhere = libvirt.uri.replace("libvirt-sock", "no-sock")
    with pytest.raises(MachineUnreachable, match=r"no libvirt at .*No such file or directory"):
        await LibvirtMachine(nowhere, NAME).power_off()
