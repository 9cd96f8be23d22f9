"""The deterministic guest (`tests/guest/screen.asm`), assembled, and what it draws."""

import re
import subprocess
from enum import IntEnum
from functools import cache
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


VIDEO = (slice(64, 64 + 480), slice(64, 64 + 640))
"""Where the mode video moves."""


def video(ticks: int, chosen: slice = slice(None)) -> NDArray[np.uint32]:
    """What the mode video shows there (480, 640) after so many ticks; it draws at even ones.

    `chosen`: which of the rows.
    """
    gradient, noise = _video_parts()
    rows, columns = np.arange(480)[chosen, np.newaxis], np.arange(640)[np.newaxis, :]
    # no channel overflows: at most 239 + 15
    smooth = gradient[(2 * ticks + rows & 2047) + columns]
    return np.asarray(smooth + noise[(7919 * ticks + 641 * rows & 0xFFFF) + columns], np.uint32)


@cache
def _video_parts() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The gradient's 4096 pixels and the noise."""

    def triangle(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        phase = values % 480
        return np.asarray(np.where(phase < 240, phase, 479 - phase), np.uint32)

    at = np.arange(4096, dtype=np.uint32)
    gradient = triangle(at) << 16 | triangle(2 * at + 100) << 8 | triangle(at >> 1)
    noise, state = np.empty(65536 + 1024, np.uint32), 12345
    for index in range(len(noise)):
        state = state * 1664525 + 1013904223 & 0xFFFFFFFF
        noise[index] = state >> 8 & 0x0F0F0F
    return gradient, noise


def typed_cell(number: int) -> tuple[int, int, int, int]:
    """Where the character `number` (from 0) of the mode typing stands: x, y, width, height."""
    number %= TYPED_CELLS
    return TYPED_LEFT + 8 * (number % TYPED_COLUMNS), TYPED_TOP + 16 * (number // TYPED_COLUMNS), 8, 16


def typed(*codes: int) -> str:
    """A pattern for `Com1.wait_for`: these keys (scan codes, set 1), each pressed and released.

    The pointer may have been reported in between.
    """
    said = (f"K{code:02X}\n(?:M.*\n)*K{code | 0x80:02X}\n" for code in codes)
    return "^" + "(?:M.*\n)*".join(said)


LEFT_BUTTON = 0x20


def was_typed(said: str, code: int) -> bool:
    """Whether a key (scan code, set 1) was pressed and released, by what the guest said on COM1.

    Others may have typed and pointed in between.
    """
    return re.search(rf"^K{code:02X}\n(?:.*\n)*?K{code | 0x80:02X}\n", said, re.MULTILINE) is not None


def was_clicked(said: str, x: int, y: int) -> bool:
    """Whether the left button was pressed there, by what the guest said on COM1.

    Give or take the pixel that QEMU's scaling may lose.
    """
    reports = re.findall(r"^M([0-9A-F]{2}) ([0-9A-F]{4}) ([0-9A-F]{4})\n", said, re.MULTILINE)
    return any(
        int(buttons, 16) == LEFT_BUTTON and abs(int(across, 16) - x) <= 1 and abs(int(down, 16) - y) <= 1
        for buttons, across, down in reports
    )
