"""What happens to a machine by libvirt, and what viewers see of it who stay all the time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.domain_samples import sample
from support.guest_image import Mode, desktop, typed
from support.libvirt_daemon import Libvirt
from support.libvirt_machine import NAME, Machine
from support.libvirt_pod import Pod
from support.rdp_viewer import GRAPHICS_PROFILE, RdpViewer
from support.rfb_client import RfbClient
from support.rfb_wire import key_event

from sidecar.domain.options import Graphics

A_KEY = 0x1E


@pytest.fixture
def booted(pod: Pod, machine: Machine) -> Machine:
    """A machine with a sound card that shows the desktop."""
    pod.boot(machine, sample("amd64-sound-ich9"))
    machine.show(Mode.DESKTOP)
    return machine


@pytest.fixture
def viewer(pod: Pod, booted: Machine) -> Iterator[RfbClient]:
    """A VNC client that sees it."""
    with pod.viewer() as viewer:
        viewer.until_shown(desktop())
        yield viewer


@pytest.fixture(scope="module")
def other_pod(other_directory: Path, libvirt: Libvirt) -> Iterator[Pod]:
    """A sidecar with a bus at another address."""
    with Pod(other_directory, libvirt) as pod:
        yield pod


def sees_it_go(viewer: RfbClient) -> None:
    """The machine's picture gives way to a notice."""
    viewer.until(lambda: not viewer.shows(desktop()), "a notice is shown")


def works(viewer: RfbClient, machine: Machine) -> None:
    """The viewer sees what the machine shows from now on, and drives it."""
    machine.show(Mode.TYPING)
    # typing begins with the desktop; what is typed before the sidecar has found the machine is lost
    viewer.until_shown(desktop())
    viewer.send(key_event(ord("a"), True) + key_event(ord("a"), False))
    machine.com1.wait_for(typed(A_KEY))
    picture = machine.screendump()
    assert not np.array_equal(picture, desktop())
    viewer.until_shown(picture)


def test_a_machine_that_is_suspended_stays_on_the_screen_and_goes_on(
    booted: Machine, viewer: RfbClient
) -> None:
    booted.libvirt.virsh("suspend", NAME)
    assert booted.state == "paused"
    viewer.refresh()
    assert viewer.shows(desktop())
    booted.libvirt.virsh("resume", NAME)
    works(viewer, booted)


def test_viewers_see_a_reset(booted: Machine, viewer: RfbClient) -> None:
    booted.com1.forget()
    booted.libvirt.virsh("reset", NAME)
    booted.com1.wait_for("READY")
    works(viewer, booted)


async def test_vnc_and_rdp_stay_while_a_machine_is_saved_and_restored(pod: Pod, booted: Machine) -> None:
    saved = booted.directory / "saved"
    with pod.viewer() as vnc:
        async with await RdpViewer.connect("127.0.0.1", pod.rdp_port, GRAPHICS_PROFILE) as rdp:
            await rdp.until_shown(desktop())
            await asyncio.to_thread(vnc.until_shown, desktop())
            await asyncio.to_thread(booted.save, saved)
            await asyncio.to_thread(sees_it_go, vnc)
            await rdp.until(lambda: not rdp.shows(desktop()), "a notice is shown")
            await asyncio.to_thread(booted.restore, saved)
            await rdp.until_shown(desktop())
            await asyncio.to_thread(vnc.until_shown, desktop())
            await asyncio.to_thread(works, vnc, booted)
            await rdp.until_shown(booted.screendump())


def test_viewers_stay_while_a_machine_is_destroyed_and_started_again(
    booted: Machine, viewer: RfbClient
) -> None:
    booted.destroy()
    sees_it_go(viewer)
    booted.start()
    works(viewer, booted)


def test_viewers_stay_while_libvirt_keeps_the_state_itself(booted: Machine, viewer: RfbClient) -> None:
    booted.hang_up()
    booted.libvirt.virsh("managedsave", NAME)
    sees_it_go(viewer)
    booted.libvirt.virsh("start", "--paused", NAME)
    booted.resume()
    viewer.until_shown(desktop())
    works(viewer, booted)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Graphics.REPLACE, Graphics.REPLACE),
        (Graphics.REPLACE, Graphics.KEEP_VNC),
        (Graphics.KEEP_VNC, Graphics.COMMANDLINE),
        (Graphics.COMMANDLINE, Graphics.COMMANDLINE),
        (Graphics.COMMANDLINE, Graphics.REPLACE),
    ],
)
def test_a_saved_machine_may_find_another_bus(
    pod: Pod, other_pod: Pod, machine: Machine, before: Graphics, after: Graphics
) -> None:
    """As a machine that comes from another node, whose domain went through the hook there."""
    pod.boot(machine, sample("amd64-sound-ich9"), graphics=before)
    machine.show(Mode.DESKTOP)
    with pod.viewer() as old, other_pod.viewer() as new:
        old.until_shown(desktop())
        saved = machine.directory / "saved"
        machine.save(saved)
        domain = machine.libvirt.virsh("save-image-dumpxml", str(saved)).encode()
        machine.restore(saved, other_pod.answer(domain, graphics=after))
        new.until_shown(desktop())
        works(new, machine)
        sees_it_go(old)
