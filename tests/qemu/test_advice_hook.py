"""The hook, called as by virt-launcher, tells what stands in viewers' way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.domain_samples import DIRECTORY, sample
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.qemu import Qemu, dbus_display
from support.waiting import wait_until

from sidecar.hook.api.session_status_pb2 import GetRequest

NAME = "amd64-default-vnc"


@pytest.fixture
def sidecar(short_dir: Path) -> Iterator[HookSidecar]:
    sidecar = HookSidecar(short_dir)
    yield sidecar
    sidecar.process.kill()


@pytest.fixture
def launcher(sidecar: HookSidecar) -> Iterator[Launcher]:
    with launcher_of(sidecar) as launcher:
        yield launcher


def vmi(*ports: int, graphics: bool = True) -> bytes:
    document = json.loads((DIRECTORY / f"{NAME}.vmi.json").read_bytes())
    devices = document["spec"]["domain"]["devices"]
    devices["interfaces"][0]["ports"] = [{"port": port} for port in ports]
    devices["autoattachGraphicsDevice"] = graphics
    return json.dumps(document).encode()


def codes(launcher: Launcher) -> set[str]:
    """Without those of the machine that the tests run on: its limits."""
    problems = launcher.status.Get(GetRequest(), timeout=30).health.problems
    return {problem.code for problem in problems} - {
        "MemoryLimit",
        "MemoryNearlyFull",
        "OutOfMemory",
        "CpuLimit",
    }


def test_a_definition_tells_which_ports_go_to_the_guest(sidecar: HookSidecar, launcher: Launcher) -> None:
    assert codes(launcher) == set()
    launcher.define(sample(NAME), vmi())
    assert codes(launcher) == {"MasqueradeWithoutPorts"}
    assert "code=MasqueradeWithoutPorts" in sidecar.process.output
    assert f"VNC ({sidecar.port})" in sidecar.process.output
    launcher.define(sample(NAME), vmi(sidecar.port))
    assert codes(launcher) == {"PortGoesToGuest"}
    launcher.define(sample(NAME), vmi(22))
    assert codes(launcher) == set()


def test_a_machine_without_a_screen_is_told(launcher: Launcher) -> None:
    launcher.define(sample("amd64-no-graphics"), vmi(22, graphics=False))
    assert codes(launcher) == {"NoScreen"}


def test_a_machine_that_comes_leaves_no_problem(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: Callable[..., Qemu]
) -> None:
    domain = launcher.define(sample(NAME), vmi(22))
    start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))
    wait_until(
        lambda: launcher.status.Get(GetRequest(), timeout=30).vm.state == "attached",
        "the machine is attached",
    )
    assert codes(launcher) == set()
    launcher.shut_down()
    sidecar.assert_ends_well()
