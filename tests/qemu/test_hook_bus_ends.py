"""A bus that dies beside virt-launcher and QEMU: what is told, and how the machine's next start fares."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from support.domain_samples import DIRECTORY, options, sample
from support.guest_image import Mode, desktop
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.qemu import Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

from sidecar.domain.rewrite import rewrite
from sidecar.hook.api.session_status_pb2 import GetRequest, Status

NAME = "amd64-default-vnc"
VMI = (DIRECTORY / f"{NAME}.vmi.json").read_bytes()


@pytest.fixture
def programs(short_dir: Path) -> Path:
    """All that the sidecar finds to run: dbus-daemon."""
    programs = short_dir / "bin"
    programs.mkdir()
    found = shutil.which("dbus-daemon")
    assert found
    (programs / "dbus-daemon").symlink_to(found)
    return programs


@pytest.fixture
def sidecar(short_dir: Path, programs: Path) -> Iterator[HookSidecar]:
    sidecar = HookSidecar(short_dir, environment={"PATH": str(programs)})
    yield sidecar
    sidecar.process.kill()


@pytest.fixture
def launcher(sidecar: HookSidecar) -> Iterator[Launcher]:
    with launcher_of(sidecar) as launcher:
        yield launcher


def kill_bus(sidecar: HookSidecar) -> None:
    (pid,) = sidecar.bus_daemons()
    os.kill(pid, signal.SIGKILL)


def status_of(launcher: Launcher) -> Status:
    status: Status = launcher.status.Get(GetRequest(), timeout=30)
    return status


def told(launcher: Launcher) -> str:
    """What it says of the bus, or an empty string."""
    return "".join(found.message for found in status_of(launcher).health.problems if found.code == "BusEnded")


def define_and_start(sidecar: HookSidecar, launcher: Launcher, start_qemu: Callable[..., Qemu]) -> Qemu:
    """What virt-launcher does, and at once."""
    domain = launcher.define(sample(NAME), VMI)
    assert domain == rewrite(sample(NAME), options())
    return start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))


def assert_shown(sidecar: HookSidecar, qemu: Qemu) -> None:
    qemu.show(Mode.DESKTOP)
    with RfbClient(sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE)) as viewer:
        viewer.until_shown(desktop())


def test_a_machine_that_is_defined_in_the_moment_in_which_the_bus_dies_starts(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: Callable[..., Qemu]
) -> None:
    kill_bus(sidecar)
    assert_shown(sidecar, define_and_start(sidecar, launcher, start_qemu))
    wait_until(lambda: told(launcher) == "", "all is well")


def test_a_machine_that_is_left_behind_is_told_until_it_is_started_again(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: Callable[..., Qemu]
) -> None:
    qemu = define_and_start(sidecar, launcher, start_qemu)
    assert_shown(sidecar, qemu)
    kill_bus(sidecar)
    wait_until(lambda: "no screen until it is shut down and started again" in told(launcher), "it is told")
    # another bus is there, and no machine on it
    wait_until(lambda: sidecar.process.output.count("the private bus listens") == 2, "the bus is back")
    wait_until(lambda: status_of(launcher).vm.state == "lost", "the machine is missed")
    assert status_of(launcher).health.state == "degraded"
    assert qemu.process.is_running
    qemu.close()
    assert_shown(sidecar, define_and_start(sidecar, launcher, start_qemu))
    wait_until(lambda: told(launcher) == "", "all is well")
    assert status_of(launcher).health.state != "degraded"


def test_without_a_bus_no_domain_is_handed_out_and_the_next_one_is_whole(
    sidecar: HookSidecar, launcher: Launcher, programs: Path, start_qemu: Callable[..., Qemu]
) -> None:
    (programs / "dbus-daemon").rename(programs / "not-there")
    kill_bus(sidecar)
    with pytest.raises(grpc.RpcError) as refused:
        launcher.define(sample(NAME), VMI)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "cannot be started again: dbus-daemon is not installed" in refused.value.details()
    assert "\n" not in refused.value.details()
    assert "not installed" in told(launcher)
    assert "call refused" in sidecar.process.output
    (programs / "not-there").rename(programs / "dbus-daemon")
    assert_shown(sidecar, define_and_start(sidecar, launcher, start_qemu))
    wait_until(lambda: told(launcher) == "", "all is well")
