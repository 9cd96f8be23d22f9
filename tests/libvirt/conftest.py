"""Tests here have a real libvirt define and start what the hook makes of KubeVirt's domains."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.libvirt_daemon import Libvirt
from support.libvirt_machine import Machine
from support.libvirt_pod import Pod


def _directory() -> Iterator[Path]:
    """A short one that libvirt's user may pass through."""
    path = Path(tempfile.mkdtemp(prefix="vdi-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


shared_directory = pytest.fixture(scope="session")(_directory)
module_directory = pytest.fixture(scope="module")(_directory)
other_directory = pytest.fixture(scope="module")(_directory)


@pytest.fixture(scope="session")
def libvirt(shared_directory: Path) -> Iterator[Libvirt]:
    """The daemon; it takes some seconds to find out what QEMU can do, so there is one."""
    libvirt = Libvirt(shared_directory)
    yield libvirt
    libvirt.close()


@pytest.fixture(scope="module")
def pod(module_directory: Path, libvirt: Libvirt) -> Iterator[Pod]:
    """The sidecar for the machines of a module, one after the other; it must end well."""
    with Pod(module_directory, libvirt) as pod:
        yield pod


@pytest.fixture
def machine(libvirt: Libvirt, guest_image: Path) -> Iterator[Machine]:
    """A machine that has no domain yet."""
    directory = libvirt.directory / "machine"
    machine = Machine(libvirt, directory, guest_image)
    try:
        yield machine
    finally:
        try:
            machine.undefine()
        finally:
            shutil.rmtree(directory)
