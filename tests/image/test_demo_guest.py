"""The demo's guest as a containerDisk."""

import os
from pathlib import Path

import numpy as np
import pytest
from support.buildah import QEMU_USER, Container, Storage
from support.guest_image import Mode, desktop
from support.qemu import Qemu

from sidecar.demo.machine import BOX_IMAGE

pytestmark = pytest.mark.timeout(900)


def test_the_disk_in_it_boots_and_shows_the_known_picture(
    storage: Storage, demo_guest_image: str, short_dir: Path
) -> None:
    container = Container(storage, demo_guest_image)
    # a containerDisk holds one disk, in /disk, readable by KubeVirt's QEMU
    assert [path.name for path in container.root.iterdir()] == ["disk"]
    (disk,) = (container.root / "disk").iterdir()
    assert disk.stat().st_uid == disk.stat().st_gid == QEMU_USER
    assert disk.read_bytes() == BOX_IMAGE.read_bytes()
    assert os.path.getsize(disk) % 512 == 0
    qemu = Qemu(short_dir, ("-display", "none"), disk)
    try:
        qemu.show(Mode.DESKTOP)
        assert np.array_equal(qemu.screendump(), desktop())
    finally:
        qemu.close()
