"""Fixtures that start QEMU; used by tests/qemu and tests/interop."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import virtio_guest
from support.bus import Bus
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu, dbus_display, vnc_display


@pytest.fixture
def start_qemu(short_dir: Path, guest_image: Path) -> Iterator[Callable[..., Qemu]]:
    """`start_qemu(display, video=..., extra=..., image=...)` -> a running `Qemu`; all end with the test.

    Its guest is the deterministic one unless `image` or `kernel` says otherwise.
    """
    with ExitStack() as stack:

        def start(display: tuple[str, ...], image: Path | None = guest_image, **options: Any) -> Qemu:
            if options.get("kernel"):
                image = None
            directory = short_dir / f"q{len(list(short_dir.glob('q?')))}"
            directory.mkdir()
            qemu = Qemu(directory, display, image, **options)
            stack.callback(qemu.close)
            return qemu

        yield start


@pytest.fixture(scope="session")
def virtio_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest that takes every size, see `tests/guest/virtio.asm`."""
    return virtio_guest.assemble(tmp_path_factory.mktemp("guest") / "virtio.bin")


@pytest.fixture
def virtio_qemu(start_qemu: Callable[..., Qemu], virtio_kernel: Path, bus: Bus) -> Qemu:
    """QEMU with two virtio-gpu heads, of which the first is on, and its D-Bus display on `bus`."""
    return start_qemu(dbus_display(bus.address), video="virtio-vga,max_outputs=2", kernel=virtio_kernel)


@pytest.fixture
def dbus_qemu(start_qemu: Callable[..., Qemu], bus: Bus) -> Qemu:
    """QEMU with its D-Bus display on `bus`."""
    return start_qemu(dbus_display(bus.address))


@pytest.fixture
def p2p_qemu(start_qemu: Callable[..., Qemu]) -> Qemu:
    """QEMU with its D-Bus display for a peer that comes by `add_client`."""
    return start_qemu(PEER_TO_PEER_DISPLAY)


@pytest.fixture
def builtin_vnc_qemu(start_qemu: Callable[..., Qemu], short_dir: Path) -> Qemu:
    """QEMU with its built-in VNC server on the unix socket `vnc` of `short_dir`: the independent oracle."""
    return start_qemu(vnc_display(f"unix:{short_dir}/vnc"))
