"""What does not start, and what libvirt then says: docs/kubevirt.md and docs/domain.md quote it."""

import os
import shutil
from pathlib import Path

import pytest
from lxml import etree
from support.domain_samples import sample
from support.hook_sidecar import HookSidecar, launcher_of
from support.libvirt_daemon import LibvirtError
from support.libvirt_machine import NAME, Machine
from support.libvirt_pod import Pod
from support.qemu import PROGRAM

SOUND = "amd64-sound-ich9"


def start_fails(machine: Machine, domain: bytes, says: str) -> None:
    """libvirt takes the domain, and QEMU does not start."""
    machine.define(domain)
    with pytest.raises(LibvirtError, match=says):
        machine.libvirt.virsh("start", NAME)
    assert machine.state == "shut off"


def without(domain: bytes, *paths: str) -> bytes:
    root = etree.fromstring(domain)
    for path in paths:
        (element,) = root.findall(path)
        element.getparent().remove(element)
    return etree.tostring(root)


@pytest.mark.parametrize("graphics", ["replace", "keep-vnc", "commandline"])
def test_a_machine_whose_bus_is_missing_does_not_start(pod: Pod, machine: Machine, graphics: str) -> None:
    domain = pod.answer(machine.cut_down(sample(SOUND)), graphics=graphics)
    missing = domain.replace(b"/hooks/dbus/bus", b"/hooks/dbus/none")
    assert missing != domain
    start_fails(machine, missing, "failed to connect to DBus: .*No such file or directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user than QEMU's")
def test_a_machine_whose_user_may_not_use_the_bus_does_not_start(
    pod: Pod, machine: Machine, other_directory: Path
) -> None:
    """As where the sidecar is root and its /etc/passwd does not know QEMU's user."""
    stranger = HookSidecar(other_directory)
    try:
        with launcher_of(stranger):
            domain = pod.answer(machine.cut_down(sample(SOUND)))
            bus = f"unix:path={other_directory}/hooks/dbus/bus"
            domain = domain.replace(pod.bus.encode(), bus.encode())
            start_fails(machine, domain, "failed to connect to DBus: .*Permission denied")
    finally:
        stranger.process.kill()


def test_a_sound_card_needs_the_audio_that_the_hook_adds(pod: Pod, machine: Machine) -> None:
    domain = pod.answer(machine.cut_down(sample(SOUND)))
    lost = without(domain, "devices/audio", "devices/graphics/audio")
    start_fails(machine, lost, "unable to find audio backend for sound device")


def test_the_commandline_with_sound_does_not_survive_the_loss_of_its_audio(
    pod: Pod, machine: Machine
) -> None:
    """Which is why that mode has no sound unless asked: KubeVirt's plugins lose `<audio>`."""
    domain = pod.answer(machine.cut_down(sample(SOUND)), graphics="commandline", audio="true")
    start_fails(machine, without(domain, "devices/audio"), "Audiodev 'audio1' is not compatible with DBus")


def test_two_dbus_displays_are_refused(pod: Pod, machine: Machine) -> None:
    domain = pod.answer(machine.cut_down(sample(SOUND)))
    double = domain.replace(b"</graphics>", b"</graphics><graphics type='dbus'/>")
    start_fails(machine, double, "only 1 graphics device of each type")


def test_three_dimensions_are_not_carried(pod: Pod, machine: Machine) -> None:
    cut_down = machine.cut_down(sample("amd64-video-virtio"))
    accelerated = cut_down.replace(
        b'<model type="virtio" heads="1" vram="16384"/>',
        b'<model type="virtio" heads="1" vram="16384"><acceleration accel3d="yes"/></model>',
    )
    assert accelerated != cut_down
    start_fails(machine, pod.answer(accelerated), "opengl is not available|does not have OpenGL support")


@pytest.fixture(scope="module")
def module_links(other_directory: Path) -> Path:
    """A folder with links to all of QEMU's modules."""
    folder = other_directory / "modules"
    folder.mkdir()
    for module in installed_modules().glob("*.so"):
        (folder / module.name).symlink_to(module)
    return folder


def installed_modules() -> Path:
    return next(Path("/usr/lib").glob("*/qemu/ui-dbus.so")).parent


@pytest.fixture(scope="module")
def modular_qemu(other_directory: Path, module_links: Path) -> Path:
    """A copy of QEMU that looks for its modules there: the path that is compiled in is another one."""
    compiled_in = bytes(installed_modules())
    path = bytes(module_links)
    assert len(path) <= len(compiled_in)
    installed = Path(shutil.which(PROGRAM) or PROGRAM)
    code = installed.read_bytes()
    assert compiled_in + b"\0" in code
    program = other_directory / "usr" / "bin" / PROGRAM
    program.parent.mkdir(parents=True)
    program.write_bytes(code.replace(compiled_in + b"\0", path.ljust(len(compiled_in) + 1, b"\0")))
    program.chmod(0o755)
    # it may look for its firmware from where it is
    (other_directory / "usr" / "share").symlink_to("/usr/share")
    return program


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("ui-dbus.so", "Display 'dbus' is not available"),
        ("ui-opengl.so", "Display 'dbus' is not available"),
        ("audio-dbus.so", "Unknown audio driver .dbus'"),
    ],
)
def test_a_qemu_without_its_dbus_modules_does_not_start(
    pod: Pod, machine: Machine, modular_qemu: Path, module_links: Path, module: str, says: str
) -> None:
    root = etree.fromstring(pod.answer(machine.cut_down(sample(SOUND))))
    etree.SubElement(root.find("devices"), "emulator").text = str(modular_qemu)
    link = module_links / module
    target = link.readlink()
    link.unlink()
    try:
        start_fails(machine, etree.tostring(root), says)
    finally:
        link.symlink_to(target)
    # with all of them it does
    machine.libvirt.virsh("start", "--paused", NAME)
