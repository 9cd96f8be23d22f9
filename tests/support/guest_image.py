"""The deterministic guest (`tests/guest/screen.asm`), assembled, and what it draws."""

import subprocess
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).parent.parent / "guest" / "screen.asm"

TYPED_LEFT, TYPED_TOP = 128, 128
TYPED_COLUMNS, TYPED_CELLS = 64, 1024


class Mode(IntEnum):
    """What the guest shows. The value plus 0x10 on COM1 chooses it, as does that function key."""

    BOX = 1
    REPAINT = 2
    STILL = 3
    TEXT = 4
    VIDEO = 5
    TYPING = 6
    DESKTOP = 7
    SIZE_800X600 = 9
    SIZE_1024X768 = 10

    @property
    def command(self) -> bytes:
        """The byte that COM1 takes."""
        return bytes([0x10 + self])


def assemble(target: Path, vbe_mode: int = 0x144) -> Path:
    """Writes the bootable image to `target`."""
    command = ["nasm", "-f", "bin", f"-DMODE={vbe_mode:#x}", "-o", str(target), str(SOURCE)]
    subprocess.run(command, check=True)
    return target


def background(width: int = 1024, height: int = 768) -> NDArray[np.uint32]:
    """The gradient behind the modes box, video, typing and desktop; (height, width), 0x00RRGGBB."""
    red = (np.arange(width, dtype=np.uint32) // 4 & 255) << 16
    green = (np.arange(height, dtype=np.uint32) // 4 & 255) << 8
    return np.asarray(red[np.newaxis, :] | green[:, np.newaxis] | np.uint32(0x40), np.uint32)


def desktop() -> NDArray[np.uint32]:
    """The picture of the mode desktop, 1024x768; also that of typing before the first key."""
    pixels = background()
    pixels[88:120, 112:656] = 0x004080
    pixels[120:392, 112:656] = 0xFFFFFF
    return pixels


def typed_cell(number: int) -> tuple[int, int, int, int]:
    """Where the character `number` (from 0) of the mode typing stands: x, y, width, height."""
    number %= TYPED_CELLS
    return TYPED_LEFT + 8 * (number % TYPED_COLUMNS), TYPED_TOP + 16 * (number // TYPED_COLUMNS), 8, 16
