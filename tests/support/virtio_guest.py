"""The guest that takes every size (`tests/guest/virtio.asm`), assembled, and what it shows."""

import subprocess
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).parent.parent / "guest" / "virtio.asm"

FIRST_SIZE = (1280, 800)
"""What QEMU's device asks for at the start."""

SECOND_HEAD = b"\x14"
"""What COM1 takes to give the second head its size without being asked for it."""

SECOND_SIZE = (1024, 768)


class Pointer(IntEnum):
    """The cursor that the guest gives its display device; the value plus 0x10 on COM1 chooses it."""

    TRIANGLE = 1
    SQUARE = 2
    NONE = 3

    @property
    def command(self) -> bytes:
        """The byte that COM1 takes."""
        return bytes([0x10 + self])


HOT_SPOTS = {Pointer.TRIANGLE: (3, 5), Pointer.SQUARE: (32, 32)}


def assemble(target: Path) -> Path:
    """Writes the kernel to `target`."""
    subprocess.run(["nasm", "-f", "bin", "-o", str(target), str(SOURCE)], check=True)
    return target


def picture(width: int, height: int, head: int = 0) -> NDArray[np.uint32]:
    """What a head of that size shows: (height, width), 0x00RRGGBB."""
    x = np.arange(width, dtype=np.uint32)[np.newaxis, :]
    y = np.arange(height, dtype=np.uint32)[:, np.newaxis]
    red = x >> 2 & 255
    green = (y >> 2) + ((x ^ y) & 32) * 4 & 255
    blue = width + 3 * height + 85 * head & 255
    return np.asarray(red << 16 | green << 8 | np.uint32(blue), np.uint32)


def pointer_picture(pointer: Pointer) -> NDArray[np.uint32]:
    """64x64 pixels, 0xAARRGGBB, each either opaque or 0."""
    x = np.arange(64, dtype=np.uint32)[np.newaxis, :]
    y = np.arange(64, dtype=np.uint32)[:, np.newaxis]
    if pointer is Pointer.TRIANGLE:
        return np.asarray(np.where(x + y < 64, 0xFF000080 | x << 18 | y << 10, 0), np.uint32)
    inside = (x >= 16) & (x < 48) & (y >= 16) & (y < 48)
    return np.asarray(np.where(inside, 0xFFFF8000, 0), np.uint32)
