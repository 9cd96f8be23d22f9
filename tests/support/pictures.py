"""Pictures as arrays: (height, width), uint32, 0x00RRGGBB."""

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
