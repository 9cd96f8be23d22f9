"""JPEG (JFIF, baseline) by libjpeg-turbo."""

from typing import Final

import numpy as np

from sidecar.screen.surface import Pixels

FULL_COLOUR_QUALITY: Final = 70
"""From this quality on colour is kept at full resolution: coloured text is readable."""


def encode(pixels: Pixels, quality: int) -> bytes:
    """A JPEG file of contiguous `pixels`; `quality` 1..100."""
    # 5 MB that a client without JPEG need not cost
    import simplejpeg

    height, width = pixels.shape
    return bytes(
        simplejpeg.encode_jpeg(
            pixels.view(np.uint8).reshape(height, width, 4),
            quality=quality,
            colorspace="BGRX",
            colorsubsampling="444" if quality >= FULL_COLOUR_QUALITY else "420",
            fastdct=True,
        )
    )
