"""One change at a time, seen through or taken back, whoever waits for it."""

import asyncio
import logging

import pytest
from support.synthetic_machine import SyntheticMachine
from support.waiting import eventually

from sidecar.control.machine_control import Busy, MachineControl, NoControl, NotPossible
from sidecar.control.power import ControlledPower
from sidecar.guest import PowerRefused
from sidecar.machine import Capability, MachineRefused, MachineUnreachable


@pytest.fixture
async def machine() -> SyntheticMachine:
    return SyntheticMachine()


async def test_of_ten_changes_at_once_one_is_made_and_the_others_learn_nothing_of_it(
    machine: SyntheticMachine,
) -> None:
    machine.go_on.clear()
    async with MachineControl(machine) as control:
        changes = [asyncio.create_task(control.set_memory(1 << 30 | number)) for number in range(10)]
        await eventually(lambda: sum(change.done() for change in changes) == 9, "nine are turned away")
        machine.go_on.set()
        results = await asyncio.gather(*changes, return_exceptions=True)
        assert [type(result) for result in results[1:]] == [Busy] * 9
        assert results[0] is None
        assert machine.begun == machine.done == [f"memory {1 << 30}"]
        assert {str(result) for result in results[1:]} == {str(Busy())}
        assert "memory" not in str(Busy())
        # and the next one goes
        await control.pause()
        assert machine.done[-1] == "pause"


async def test_a_caller_that_goes_away_leaves_no_half_change(machine: SyntheticMachine) -> None:
    machine.go_on.clear()
    async with MachineControl(machine) as control:
        caller = asyncio.create_task(control.set_cpus(2))
        await eventually(lambda: machine.begun, "the change begins")
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        with pytest.raises(Busy):
            await control.reset()
        machine.go_on.set()
        await eventually(lambda: machine.done == ["cpus 2"], "it is seen through")


async def test_a_viewer_does_not_switch_it_while_it_is_changed(machine: SyntheticMachine) -> None:
    machine.go_on.clear()
    async with MachineControl(machine) as control:
        power = ControlledPower(control)
        change = asyncio.create_task(control.set_cpus(2))
        await eventually(lambda: machine.begun, "the change begins")
        with pytest.raises(PowerRefused, match="busy"):
            await power.reset()
        machine.go_on.set()
        await change
        await power.reset()
        machine.reasons[Capability.SHUT_DOWN] = "the machine is paused"
        with pytest.raises(PowerRefused, match="cannot be switched: the machine is paused"):
            await power.shut_down()
    assert machine.done == ["cpus 2", "reset"]


async def test_what_is_not_possible_is_not_tried(machine: SyntheticMachine) -> None:
    machine.reasons[Capability.START] = "the machine runs already"
    async with MachineControl(machine) as control:
        with pytest.raises(NotPossible, match="the machine runs already"):
            await control.start()
    assert not machine.begun


async def test_a_refusal_reaches_the_caller_and_the_log(
    machine: SyntheticMachine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with MachineControl(machine) as control:
        with pytest.raises(MachineRefused, match="at most 2 GiB"):
            await control.set_memory(1 << 40)
        await control.set_memory(1 << 30)
    assert "machine not changed" in caplog.text
    assert "machine changed" in caplog.text


async def test_the_end_of_the_daemon_ends_a_change_that_does_not_end(machine: SyntheticMachine) -> None:
    machine.go_on.clear()
    async with MachineControl(machine, patience=0) as control:
        caller = asyncio.create_task(control.set_cpus(2))
        await eventually(lambda: machine.begun, "the change begins")
    with pytest.raises(MachineUnreachable, match="ended"):
        await caller
    assert machine.taken_back == 1
    with pytest.raises(MachineUnreachable, match="ending"):
        await control.pause()


async def test_the_end_of_the_daemon_waits_a_little_for_a_change(machine: SyntheticMachine) -> None:
    machine.go_on.clear()
    async with MachineControl(machine, patience=30) as control:
        caller = asyncio.create_task(control.set_cpus(2))
        await eventually(lambda: machine.begun, "the change begins")
        asyncio.get_running_loop().call_later(0.05, machine.go_on.set)
    await caller
    assert machine.done == ["cpus 2"]


async def test_a_change_without_end_is_given_up(machine: SyntheticMachine) -> None:
    machine.go_on.clear()
    async with MachineControl(machine, change_time=0.01) as control:
        with pytest.raises(MachineUnreachable, match="given up"):
            await control.set_cpus(2)
        assert machine.taken_back == 1


async def test_without_a_machine_to_ask_it_is_said_what_would_help() -> None:
    async with MachineControl(None) as control:
        with pytest.raises(NoControl, match="--control-qmp"):
            await control.information()
        with pytest.raises(NoControl, match="--control-qmp"):
            await control.reset()
