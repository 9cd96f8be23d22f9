"""`vdi-sidecar vm` against a daemon's admin socket, with a machine that the test plays behind it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_machine import SyntheticMachine

from sidecar.cli import main
from sidecar.control.admin import AdminServer
from sidecar.control.admin_commands import CommandTable
from sidecar.control.admin_machine import machine_commands
from sidecar.control.machine_control import MachineControl
from sidecar.machine import Capability, MachineInformation


class RudeMachine(SyntheticMachine):
    """One that calls itself what no terminal should be told."""

    async def information(self) -> MachineInformation:
        return replace(await super().information(), name="my\x1b[2Jvm")


class Daemon:
    """An admin socket on a loop of its own."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self.machine = RudeMachine()
        async with (
            MachineControl(self.machine) as control,
            AdminServer(self.run_dir / "admin.sock", CommandTable(*machine_commands(control))),
        ):
            self._started.set()
            await self._stop.wait()

    def __enter__(self) -> "Daemon":
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def daemon(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setenv("VDI_SIDECAR_RUN_DIR", str(short_dir))
    with Daemon(short_dir) as daemon:
        yield daemon


Capture = pytest.CaptureFixture[str]


def test_the_machine_is_shown(daemon: Daemon, capsys: Capture) -> None:
    daemon.machine.reasons[Capability.START] = "the machine is running"
    assert main(["vm"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "machine    my?[2Jvm (running)"
    for line in (
        "memory     1024 MiB of 2048 MiB",
        "cpus       1",
        "up for     0:00:01",
        "run by     QEMU 7.2.22 tcg",
        "device     disk  disk0  virtio-blk-pci  disk.img",
        "pause      possible",
        "start      not possible: the machine is running",
    ):
        assert line in lines


def test_the_machine_is_printed_as_json(daemon: Daemon, capsys: Capture) -> None:
    assert main(["vm", "info", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["memory"], told["maximum_cpus"]) == ("running", 1 << 30, None)
    assert set(told["capabilities"]) == {capability.value for capability in Capability}
    assert told["capabilities"]["pause"] == {"possible": True, "reason": None}


def test_every_switch_is_worked(daemon: Daemon) -> None:
    switches = ["shut-down", "power-off", "reset", "pause", "resume", "start"]
    for switch in switches:
        assert main(["vm", switch]) == 0
    assert main(["vm", "set-memory", "2G"]) == 0
    assert main(["vm", "set-cpus", "4"]) == 0
    assert daemon.machine.done == [*switches, f"memory {2 << 30}", "cpus 4"]


def test_what_the_machine_refuses_is_one_line(daemon: Daemon, capsys: Capture) -> None:
    daemon.machine.reasons[Capability.PAUSE] = "the machine is paused"
    assert main(["vm", "pause"]) == 1
    assert capsys.readouterr().err == "vdi-sidecar: the machine is paused\n"
    assert main(["vm", "set-memory", "4G"]) == 1
    assert capsys.readouterr().err == "vdi-sidecar: the machine can have at most 2 GiB\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["set-memory"], "set-memory needs a size, such as 2G"),
        (["pause", "now"], "pause takes no value"),
        (["set-memory", "much"], "'much' is not a size"),
        (["set-cpus", "-1"], "No such option"),
        (["set-cpus", "two"], "set-cpus needs a number"),
        (["reset", "--json"], "--json is for info"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], error: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDI_SIDECAR_RUN_DIR", str(tmp_path))
    assert main(["vm", *arguments]) == 2
    assert error.lower() in capsys.readouterr().err.lower()
