"""What is told of a bus that ends: with a real one, and a double for the machine that comes and goes."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.synthetic_guest import SyntheticGuest
from support.waiting import DEADLINE, eventually

from sidecar.guest import GuestState
from sidecar.problems import Problem, Problems, Severity
from sidecar.qemu.bus import PrivateBus
from sidecar.qemu.bus_daemon import PROGRAM
from sidecar.qemu.bus_watch import BUS_ENDED, watched


class Scene:
    """A watched bus."""

    def __init__(self, bus: PrivateBus) -> None:
        self.bus = bus
        self.guest = SyntheticGuest()
        self.problems = Problems()
        self.told: list[str] = []
        self.guest.state = GuestState.WAITING
        self.problems.changes.subscribe(lambda: self.told.append(self.message))

    @property
    def message(self) -> str:
        return "".join(problem.message for problem in self.problems)

    def machine_is(self, state: GuestState) -> None:
        self.guest.state = state
        self.guest.lifecycle.notify(state)

    async def bus_dies(self) -> None:
        generation = self.bus.generation
        assert self.bus.pid
        os.kill(self.bus.pid, signal.SIGKILL)
        await eventually(lambda: self.bus.generation == generation + 1, "another one runs")


@pytest.fixture
async def scene(short_dir: Path) -> AsyncIterator[Scene]:
    async with PrivateBus(short_dir / "bus") as bus:
        scene = Scene(bus)
        async with watched(bus, scene.guest, scene.problems):
            yield scene


NO_SCREEN = "has no screen until it is shut down and started again"


async def test_nothing_is_wrong_while_the_machine_comes_and_goes(scene: Scene) -> None:
    for state in (GuestState.ATTACHED, GuestState.LOST, GuestState.ATTACHED, GuestState.LOST):
        scene.machine_is(state)
        await scene.bus.ready()
    assert scene.told == []


async def test_without_a_machine_it_is_told_while_the_bus_is_down(scene: Scene) -> None:
    await scene.bus_dies()
    await eventually(lambda: scene.told[-1:] == [""], "all is well again")
    assert scene.told == ["the machine's bus has ended, and is being started again", ""]


@pytest.mark.parametrize("lost", ["before the bus is up again", "afterwards"])
async def test_a_machine_that_is_left_behind_is_told_until_it_is_back(scene: Scene, lost: str) -> None:
    scene.machine_is(GuestState.ATTACHED)
    if lost == "afterwards":
        await scene.bus_dies()
        # what it shows has changed, and nobody has heard yet that it is gone
        scene.machine_is(GuestState.ATTACHED)
        scene.machine_is(GuestState.LOST)
    else:
        scene.bus.changes.subscribe(lambda: scene.machine_is(GuestState.LOST))
        await scene.bus_dies()
    await eventually(lambda: scene.message.startswith("the machine's bus has ended; "), "it is told")
    (problem,) = scene.problems
    assert (problem.code, problem.severity) == (BUS_ENDED, Severity.DEGRADED)
    assert NO_SCREEN in problem.message
    await scene.bus.ready()
    assert scene.problems.health == "degraded"
    scene.machine_is(GuestState.ATTACHED)
    await eventually(lambda: scene.problems.health == "ok", "it is back")


async def test_a_machine_that_had_ended_before_is_not_missed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    really = scene.bus.answers

    async def answers() -> bool:
        looked.append(await really())
        return looked[-1]

    monkeypatch.setattr(scene.bus, "answers", answers)
    scene.machine_is(GuestState.ATTACHED)
    scene.machine_is(GuestState.LOST)
    await eventually(lambda: looked == [True], "the watch has seen that the bus is there")
    await scene.bus_dies()
    await eventually(lambda: scene.told[-1:] == [""], "all is well again")
    assert not any(NO_SCREEN in message for message in scene.told)


async def test_a_bus_that_cannot_be_started_again_is_told_with_its_reason(
    scene: Scene, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.machine_is(GuestState.ATTACHED)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(short_dir))
        assert scene.bus.pid
        os.kill(scene.bus.pid, signal.SIGKILL)
        await eventually(lambda: f"{PROGRAM} is not installed" in scene.message, "it has been tried")
        assert NO_SCREEN in scene.message
    await scene.bus.ready(within=DEADLINE)
    await eventually(lambda: "not installed" not in scene.message, "it is up")
    assert NO_SCREEN in scene.message


async def test_nothing_is_left_of_the_watch(short_dir: Path) -> None:
    async with PrivateBus(short_dir) as bus:
        scene = Scene(bus)
        async with watched(bus, scene.guest, scene.problems):
            await bus.ready()
        assert (len(bus.changes), len(scene.guest.lifecycle)) == (0, 0)
        scene.problems.found(Problem(BUS_ENDED, Severity.WARNING, "another's"))
        await scene.bus_dies()
        assert scene.message == "another's"
