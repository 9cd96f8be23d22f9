"""What leads to another amount of memory or number of processors, and how it is taken back."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monitor_side import monitor, returns

from sidecar.machine import MachineRefused, MachineUnreachable
from sidecar.qemu.machine import QmpMachine
from sidecar.qemu.machine_cpus import Place, Processors, places_to_change
from sidecar.qemu.machine_devices import MOST_DEVICES
from sidecar.qemu.machine_memory import Inflate, Memory, PlugIn, Resizable, Resize, steps_to
from sidecar.qemu.machine_monitor import SocketMonitor

MIB = 1 << 20
GIB = 1 << 30
GROWING = Resizable("/machine/peripheral/m", size=0, requested=0, block=2 * MIB, most=256 * MIB)
ALL = Memory(plugged=GIB, balloon=GIB, resizable=(GROWING,), slots=2, room=4 * GIB)


@pytest.mark.parametrize(
    ("memory", "size", "steps"),
    [
        (ALL, GIB // 2, [Inflate(GIB // 2, GIB)]),
        (ALL, GIB, [Inflate(GIB, GIB)]),
        (ALL, GIB + 64 * MIB, [Resize(GROWING.path, 64 * MIB, 0), Inflate(GIB, GIB)]),
        (
            ALL,
            GIB + 512 * MIB,
            [Resize(GROWING.path, 256 * MIB, 0), Inflate(GIB, GIB), PlugIn("vdi-dimm0", 256 * MIB)],
        ),
        (
            Memory(GIB, slots=1, room=GIB, names=frozenset({"vdi-dimm0", "vdi-dimm1-memory"})),
            2 * GIB,
            [PlugIn("vdi-dimm2", GIB)],
        ),
        (Memory(GIB, slots=1, room=GIB), GIB, []),
        # what was asked for before, and the guest has not taken yet, is not asked for again
        (Memory(GIB, resizable=(Resizable("/m", 0, 64 * MIB, MIB, 128 * MIB),)), GIB + 64 * MIB, []),
    ],
)
def test_the_steps_to_an_amount(memory: Memory, size: int, steps: list[object]) -> None:
    assert list(steps_to(memory, size)) == steps


@pytest.mark.parametrize(
    ("memory", "size", "words"),
    [
        (ALL, MIB, "from 16 MiB to 5376 MiB"),
        (ALL, 6 * GIB, "from 16 MiB to 5376 MiB"),
        (Memory(GIB, slots=1, room=GIB), GIB // 2, "from 1024 MiB to 2048 MiB"),
        (Memory(GIB, slots=1, room=GIB), GIB + MIB, "ask for 1024 MiB or 1152 MiB"),
        (ALL, GIB + MIB, "ask for 1024 MiB or 1026 MiB"),
        (ALL, GIB + 257 * MIB, "ask for 1280 MiB or 1408 MiB"),
        (Memory(GIB), 2 * GIB, "from 1024 MiB to 1024 MiB"),
    ],
)
def test_an_amount_that_cannot_be_is_refused_with_one_that_can(memory: Memory, size: int, words: str) -> None:
    with pytest.raises(MachineRefused, match=words):
        steps_to(memory, size)


def places(*paths: str, together: int = 1) -> Processors:
    return Processors(
        tuple(Place("cpu", together, {"core-id": core}, path) for core, path in enumerate(paths))
    )


def chosen(processors: Processors, count: int) -> list[int]:
    return [place.properties["core-id"] for place in places_to_change(processors, count)]


def test_processors_come_in_order_and_go_the_last_first() -> None:
    there = places("/machine/unattached/0", "/machine/peripheral/a", "/machine/unattached/2", "", "")
    assert chosen(there, 5) == [3, 4]
    assert chosen(there, 4) == [3]
    assert chosen(there, 3) == []
    # those that were plugged in go before those that the machine was started with, and the first one never
    assert chosen(there, 2) == [1]
    assert chosen(there, 1) == [1, 2]


@pytest.mark.parametrize(("count", "words"), [(0, "from 1 to 4"), (5, "from 1 to 4"), (3, "2 at a time")])
def test_a_number_of_processors_that_cannot_be_is_refused(count: int, words: str) -> None:
    with pytest.raises(MachineRefused, match=words):
        chosen(places("/machine/unattached/0", "", together=2), count)


Answers = dict[str, object]


def played(answers: Answers, asked: list[dict[str, Any]]) -> Callable[[dict[str, object]], bytes]:
    """A monitor that knows these commands; an answer that is a text is the error's."""

    def answer(command: dict[str, Any]) -> bytes:
        name = command["execute"]
        asked.append({"execute": name, **command.get("arguments", {})})
        value = {} if name == "qmp_capabilities" else answers.get(name, f"{name} has not been found")
        if isinstance(value, str):
            return json.dumps({"error": {"desc": value}, "id": command["id"]}).encode() + b"\n"
        return returns(value)(command)

    return answer


async def test_a_step_that_fails_takes_back_those_before_it(short_dir: Path) -> None:
    asked: list[dict[str, Any]] = []
    answers: Answers = {
        "query-memory-size-summary": {"base-memory": GIB, "plugged-memory": 0},
        "query-balloon": {"actual": GIB // 2},
        "query-memory-devices": [],
        "qom-get": {"size": GIB, "max-size": 4 * GIB, "slots": 2},
        "qom-list": [],
        "balloon": {},
        "object-add": {},
        "device_add": "a slot is broken",
        "object-del": {},
    }
    async with monitor(short_dir / "qmp", played(answers, asked)):
        with pytest.raises(MachineRefused, match="a slot is broken"):
            await QmpMachine(SocketMonitor(short_dir / "qmp")).set_memory(2 * GIB)
    done = [each for each in asked if not each["execute"].startswith(("q", "qom"))]
    assert [each["execute"] for each in done] == [
        *("balloon", "object-add", "device_add", "object-del", "balloon"),
    ]
    assert done[-1]["value"] == GIB // 2


@pytest.mark.parametrize(
    "nonsense", [None, 7, "text", [], [7, None, {"data": 3}], {"actual": -1, "UUID": []}]
)
async def test_a_monitor_that_knows_nothing_or_talks_nonsense_is_no_error(
    short_dir: Path, nonsense: object
) -> None:
    names = (
        *("query-status", "query-migrate", "query-name", "query-uuid", "query-kvm", "query-version"),
        *("query-memory-size-summary", "query-balloon", "query-memory-devices", "query-hotpluggable-cpus"),
        *("query-cpus-fast", "query-block", "qom-get", "qom-list", "x-query-jit", "query-accelerators"),
    )
    answers = {} if nonsense is None else dict.fromkeys(names, nonsense)
    async with monitor(short_dir / "qmp", played(answers, [])):
        machine = QmpMachine(SocketMonitor(short_dir / "qmp"))
        told = await machine.information()
        assert (told.name, told.uuid, told.state.value) == ("", "", "unknown")
        assert (told.memory, told.maximum_memory, told.devices) == (None, None, ())
        # whoever listens there is no QEMU, so since when it runs means nothing
        assert told.uptime is None
        await machine.capabilities()


async def test_devices_beyond_the_most_are_left_out_however_many_are_disks(short_dir: Path) -> None:
    nics = [{"name": f"nic{number}", "type": "child<e1000>"} for number in range(MOST_DEVICES)]
    disks = [{"qdev": f"/machine/peripheral/disk{number}"} for number in range(MOST_DEVICES + 1)]
    for count, others in ((MOST_DEVICES + 1, 0), (MOST_DEVICES - 1, 1)):
        answers = {"query-block": disks[:count], "qom-list": nics}
        async with monitor(short_dir / "qmp", played(answers, [])):
            told = await QmpMachine(SocketMonitor(short_dir / "qmp")).information()
        kinds = Counter(device.kind for device in told.devices)
        assert (kinds["disk"], kinds["network"]) == (MOST_DEVICES - others, others)


async def test_a_monitor_that_is_not_there_is_told_of_to_all_who_ask(short_dir: Path) -> None:
    machine = QmpMachine(SocketMonitor(short_dir / "qmp"))
    results = await asyncio.gather(*(machine.pause() for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [MachineUnreachable] * 5
    assert all("no monitor at" in str(result) for result in results)
    # it may be there by the next time
    async with monitor(short_dir / "qmp", played({"stop": {}}, [])):
        await machine.pause()
