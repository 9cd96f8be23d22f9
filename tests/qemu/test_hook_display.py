"""A machine whose domain went through `vdi-sidecar hook`: what viewers see, and how they are counted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from support.domain_samples import DIRECTORY, QEMU, sample
from support.guest_image import Mode, desktop
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.qemu import Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

from sidecar.hook.api.session_status_pb2 import GetRequest, Status, WatchRequest

NAME = "amd64-default-vnc"

StartQemu = Callable[..., Qemu]


@pytest.fixture
def sidecar(short_dir: Path) -> Iterator[HookSidecar]:
    sidecar = HookSidecar(short_dir)
    yield sidecar
    sidecar.process.kill()


@pytest.fixture
def launcher(sidecar: HookSidecar) -> Iterator[Launcher]:
    with launcher_of(sidecar) as launcher:
        yield launcher


def vmi(**annotations: str) -> bytes:
    document = json.loads((DIRECTORY / f"{NAME}.vmi.json").read_bytes())
    document["metadata"]["annotations"] = {
        f"vdi-sidecar/{name}": value for name, value in annotations.items()
    }
    return json.dumps(document).encode()


def wait_until_attached(launcher: Launcher) -> Status:
    def attached() -> Status | None:
        status: Status = launcher.status.Get(GetRequest(), timeout=30)
        return status if status.vm.state == "attached" else None

    status = wait_until(attached, "the machine is attached")
    assert status is not None
    return status


def assert_exact_picture(sidecar: HookSidecar, qemu: Qemu) -> None:
    qemu.show(Mode.DESKTOP)
    # the sidecar may still be about to attach, and show a notice in another size
    with RfbClient(sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE)) as viewer:
        viewer.until_shown(desktop())
        assert np.array_equal(viewer.rgb, qemu.screendump())


def test_viewers_see_the_machine_that_uses_the_address_of_its_domain(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: StartQemu
) -> None:
    launcher.info()
    domain = launcher.define(sample(NAME), vmi())
    qemu = start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))
    assert_exact_picture(sidecar, qemu)
    status = wait_until_attached(launcher)
    assert status.vm.uuid == "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    assert [(console.width, console.height) for console in status.vm.consoles] == [(1024, 768)]


def test_viewers_may_be_there_before_the_machine(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: StartQemu
) -> None:
    with RfbClient(sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE)) as viewer:
        viewer.refresh()
        domain = launcher.define(sample(NAME), vmi())
        qemu = start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))
        qemu.show(Mode.STILL)
        viewer.until_shown(qemu.screendump())


def test_a_machine_that_keeps_vnc_is_seen_both_ways(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: StartQemu, short_dir: Path
) -> None:
    domain = launcher.define(sample(NAME), vmi(graphics="keep-vnc"))
    assert etree.fromstring(domain).xpath("devices/graphics/@type") == ["vnc", "dbus"]
    display = dbus_display(sidecar.as_seen_here(bus_of(domain)))
    qemu = start_qemu((*display, "-vnc", f"unix:{short_dir}/vnc"))
    assert_exact_picture(sidecar, qemu)
    with RfbClient(f"{short_dir}/vnc") as viewer:
        viewer.until_shown(desktop())


def test_qemu_takes_the_arguments_of_the_commandline_mode(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: StartQemu, short_dir: Path
) -> None:
    domain = launcher.define(sample(NAME), vmi(graphics="commandline"))
    arguments = [argument.get("value") for argument in etree.fromstring(domain).iter(f"{QEMU}arg")]
    option, display = arguments
    # libvirt's own come first
    qemu = start_qemu(("-vnc", f"unix:{short_dir}/vnc", option, sidecar.as_seen_here(display)))
    assert_exact_picture(sidecar, qemu)


def test_the_status_counts_viewers_as_they_come_and_go(
    sidecar: HookSidecar, launcher: Launcher, start_qemu: StartQemu
) -> None:
    domain = launcher.define(sample(NAME), vmi())
    start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))
    wait_until_attached(launcher)
    watch = launcher.status.Watch(WatchRequest(), timeout=60)
    watched: list[Status] = []

    def expect(count: int) -> None:
        while not watched or watched[-1].service.vnc.sessions != count:
            watched.append(next(watch))
        now = launcher.status.Get(GetRequest(), timeout=30)
        assert now.service.vnc.sessions == count
        assert len(now.sessions) == count
        assert now.service.rdp.sessions == 0

    expect(0)
    with RfbClient(sidecar.address):
        expect(1)
        with RfbClient(sidecar.address):
            expect(2)
        expect(1)
    expect(0)
    generations = [status.generation for status in watched]
    assert generations == sorted(set(generations))
    watch.cancel()
