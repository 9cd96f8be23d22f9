"""Pictures as arrays: (height, width), uint32, 0x00RRGGBB."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def from_rgb_bytes(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(height, width, 3 or more) -> 0x00RRGGBB."""
    wide = rgb.astype(np.uint32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], np.uint32)


def read_picture(path: Path) -> NDArray[np.uint32]:
    """A file of any kind that Pillow knows."""
    with Image.open(path) as picture:
        return from_rgb_bytes(np.asarray(picture.convert("RGB")))


def at_depth(picture: NDArray[np.uint32], depth: int, green_spread: int = 4) -> NDArray[np.uint32]:
    """What a client shows of a picture that it got with 32, 24, 16 or 15 bits per pixel.

    `green_spread`: by how many bits a client shifts six bits of green to fill up eight; their lowest bits are
    its own matter.
    """
    if depth > 16:
        return picture
    red, green, blue = (picture >> 19 & 31, picture >> 8 & 255, picture >> 3 & 31)
    red, blue = red << 3 | red >> 2, blue << 3 | blue >> 2
    if depth == 15:
        green = green >> 3 << 3 | green >> 5
    else:
        green = np.minimum((green >> 2 << 2) + (green >> 2 >> green_spread), 255)
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def psnr(shown: NDArray[np.uint32], truth: NDArray[np.uint32]) -> float:
    """How close two pictures of one size are, in dB over red, green and blue; infinite when equal."""
    difference = channels(shown).astype(np.float32) - channels(truth)
    mean = float(np.mean(difference * difference))
    return float("inf") if mean == 0 else 10 * math.log10(255 * 255 / mean)


def channels(picture: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """(height, width, 3): red, green, blue."""
    return np.stack([(picture >> shift).astype(np.uint8) for shift in (16, 8, 0)], axis=-1)
