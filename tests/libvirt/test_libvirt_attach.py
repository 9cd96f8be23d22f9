"""`vdi-sidecar serve --libvirt`: finds the machine by libvirt, and follows it."""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.guest_image import Mode, desktop, typed
from support.libvirt_daemon import Libvirt
from support.libvirt_machine import NAME, Machine
from support.libvirt_screen import AS_QEMU, BUS, PEER_TO_PEER, UUID, LibvirtSidecar, domain_with
from support.rfb_client import RfbClient
from support.rfb_wire import key_event
from support.waiting import DEADLINE, eventually, wait_until

from sidecar.libvirt_domain.attach import LibvirtAttach

A_KEY = 0x1E

FOREVER = 86400.0

VNC = "<graphics type='vnc'><listen type='none'/></graphics>"


@pytest.fixture(scope="module")
def sidecar_directory(libvirt: Libvirt) -> Iterator[Path]:
    """Where QEMU's user may write."""
    directory = libvirt.directory / "sidecar"
    libvirt.make(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def sidecar(sidecar_directory: Path, libvirt: Libvirt) -> Iterator[LibvirtSidecar]:
    """One for all machines of this name, one after the other; it must end well."""
    sidecar = LibvirtSidecar(sidecar_directory, libvirt.uri)
    try:
        sidecar.wait_for_port()
        yield sidecar
        sidecar.close()
    finally:
        sidecar.process.kill()


@pytest.fixture
def viewer(sidecar: LibvirtSidecar) -> Iterator[RfbClient]:
    """A VNC client that stays."""
    with sidecar.viewer() as viewer:
        yield viewer


@contextmanager
def another(
    folder: Path, name: str, uri: str, domain: str = NAME, as_qemu: Sequence[str] = AS_QEMU
) -> Iterator[LibvirtSidecar]:
    """One more, with a directory of that name; what is left of it at the end is killed."""
    directory = folder / name
    directory.mkdir()
    # whoever it is may write there
    directory.chmod(0o777)
    sidecar = LibvirtSidecar(directory, uri, domain, as_qemu)
    try:
        yield sidecar
    finally:
        sidecar.process.kill()


def sees(viewer: RfbClient, machine: Machine) -> None:
    """The viewer sees exactly what QEMU says that it shows, and drives the machine."""
    machine.show(Mode.TYPING)
    # typing begins with the desktop; what is typed before the sidecar has found the machine is lost
    viewer.until_shown(desktop())
    viewer.send(key_event(ord("a"), True) + key_event(ord("a"), False))
    machine.com1.wait_for(typed(A_KEY))
    picture = machine.screendump()
    assert not np.array_equal(picture, desktop())
    viewer.until_shown(picture)


def sees_it_go(viewer: RfbClient) -> None:
    """The machine's picture gives way to a notice."""
    gone = viewer.rgb.copy()
    viewer.until(lambda: not viewer.shows(gone), "a notice is shown")


@pytest.mark.parametrize("graphics", [BUS, PEER_TO_PEER], ids=["bus", "peer-to-peer"])
def test_a_viewer_stays_while_a_domain_is_defined_started_destroyed_and_started_again(
    viewer: RfbClient, machine: Machine, graphics: str
) -> None:
    machine.define(domain_with(machine, graphics))
    machine.start()
    sees(viewer, machine)
    machine.destroy()
    sees_it_go(viewer)
    machine.start()
    sees(viewer, machine)


def test_a_viewer_stays_while_a_domain_gets_another_kind_of_display_and_libvirt_another_process(
    sidecar: LibvirtSidecar, viewer: RfbClient, machine: Machine
) -> None:
    machine.define(domain_with(machine, BUS))
    machine.start()
    sees(viewer, machine)
    machine.undefine()
    sees_it_go(viewer)
    # as long as viewers wait, a display that is missing is not the end
    machine.define(domain_with(machine, VNC))
    wait_until(lambda: f"{NAME} has no D-Bus display" in sidecar.process.output, "the sidecar says so")
    machine.define(domain_with(machine, PEER_TO_PEER))
    machine.libvirt.restart()
    machine.start()
    sees(viewer, machine)


def test_a_domain_that_runs_already_is_found_by_its_uuid(
    sidecar_directory: Path, libvirt: Libvirt, machine: Machine
) -> None:
    machine.define(domain_with(machine, VNC + BUS))
    machine.start()
    machine.show(Mode.DESKTOP)
    with another(sidecar_directory, "uuid", libvirt.uri, UUID) as sidecar:
        sidecar.wait_for_port()
        with sidecar.viewer() as viewer:
            viewer.until_shown(desktop())
        sidecar.close()


def test_a_domain_that_is_not_there_yet_is_waited_for(sidecar_directory: Path, libvirt: Libvirt) -> None:
    with another(sidecar_directory, "early", libvirt.uri, "nobody-knows") as sidecar:
        wait_until(
            lambda: "has no domain nobody-knows; it may still be defined" in sidecar.process.output,
            "it says so",
        )
        sidecar.close()


def test_a_domain_without_a_d_bus_display_is_refused_with_the_line_to_add(
    sidecar_directory: Path, libvirt: Libvirt, machine: Machine
) -> None:
    machine.define(domain_with(machine, VNC))
    add = f"the domain {NAME} has no D-Bus display: add {BUS} to its devices (virsh edit {NAME})"
    with another(sidecar_directory, "undisplayed", libvirt.uri) as sidecar:
        assert add in sidecar.refusal()


def test_an_address_that_libvirt_does_not_know_is_refused(sidecar_directory: Path, libvirt: Libvirt) -> None:
    uri = libvirt.uri.replace("qemu+unix", "nothing+unix")
    with another(sidecar_directory, "astray", uri) as sidecar:
        assert f"--libvirt {uri}: " in sidecar.refusal()


def test_a_libvirt_that_does_not_answer_keeps_nobody_from_ending(
    sidecar_directory: Path, libvirt: Libvirt
) -> None:
    os.kill(libvirt.pid, signal.SIGSTOP)
    try:
        with another(sidecar_directory, "stuck", libvirt.uri) as sidecar:
            sidecar.wait_for_port()
            sidecar.close()
    finally:
        os.kill(libvirt.pid, signal.SIGCONT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user than its QEMU")
def test_another_user_than_qemus_comes_in_peer_to_peer_and_is_refused_by_the_bus(
    sidecar_directory: Path, libvirt: Libvirt, machine: Machine
) -> None:
    """Root is another one too."""
    machine.define(domain_with(machine, BUS))
    machine.start()
    with another(sidecar_directory, "refused", libvirt.uri, as_qemu=()) as sidecar:
        refusal = sidecar.refusal()
        assert f"the bus of {NAME}'s display takes only the user that its QEMU runs as" in refusal
        assert PEER_TO_PEER in refusal
    machine.destroy()
    machine.define(domain_with(machine, PEER_TO_PEER))
    machine.start()
    with another(sidecar_directory, "root", libvirt.uri, as_qemu=()) as sidecar:
        sidecar.wait_for_port()
        with sidecar.viewer() as viewer:
            sees(viewer, machine)
        sidecar.close()


async def test_who_loses_a_display_that_one_alone_can_have_leaves_it_to_the_other_until_the_next_start(
    libvirt: Libvirt, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """Two that take it from each other would show nothing to anybody."""
    caplog.set_level(logging.INFO)
    machine.define(domain_with(machine, VNC + PEER_TO_PEER))
    machine.start()
    first = LibvirtAttach(libvirt.uri, NAME, returns=(FOREVER, FOREVER))
    async with first.link() as lost, LibvirtAttach(libvirt.uri, NAME).link() as taken:
        await asyncio.wait_for(lost.gone, DEADLINE)
        caplog.clear()
        again = asyncio.create_task(enter(first))
        await eventually(lambda: "another program has taken its display" in causes(caplog), "it is told")
        assert not taken.gone.done()
        await asyncio.to_thread(machine.destroy)
        await asyncio.wait_for(taken.gone, DEADLINE)
    await asyncio.to_thread(machine.start)
    await asyncio.wait_for(again, DEADLINE)


async def test_a_domain_that_gets_the_name_later_is_found(
    libvirt: Libvirt, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    machine.define(domain_with(machine, PEER_TO_PEER))
    libvirt.virsh("domrename", NAME, "other")
    try:
        waiting = asyncio.create_task(enter(LibvirtAttach(libvirt.uri, NAME)))
        await eventually(lambda: f"has no domain {NAME}" in causes(caplog), "it is waited for")
    finally:
        libvirt.virsh("domrename", "other", NAME)
    await asyncio.to_thread(machine.start)
    await asyncio.wait_for(waiting, DEADLINE)


async def enter(attach: LibvirtAttach) -> None:
    """There is a link."""
    async with attach.link():
        return


def causes(caplog: pytest.LogCaptureFixture) -> str:
    """Why it waits, as the log says."""
    return " ".join(str(vars(record)["sidecar_context"].get("cause")) for record in caplog.records)
