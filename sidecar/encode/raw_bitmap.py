"""Uncompressed bitmap data of RDP, and what all bitmap data has in common (MS-RDPBCGR 2.2.9.1.1.3.1.2.2).

Bitmap data goes from the bottom up. What is sent here is always a multiple of four pixels wide: then rows
take a multiple of four bytes, as the specification has it, and clients that know nothing of padding read them
too. The width of a TS_BITMAP_DATA is `padded_width`; its destination says how much of that is shown.
"""

from typing import Final

import numpy as np

from sidecar.encode.form import Form
from sidecar.screen.surface import Pixels

ALIGNMENT: Final = 4


def encode(pixels: Pixels, form: Form) -> bytes:
    """The pixels in 15, 16, 24 or 32 bits, from the bottom up, `padded_width` of them in a row."""
    return form.pixel_form.cpixels(bottom_up(pixels)).tobytes()


def padded_width(width: int) -> int:
    """The width of the bitmap data of a rectangle that is `width` pixels wide."""
    return -(-width // ALIGNMENT) * ALIGNMENT


def bottom_up(pixels: Pixels) -> Pixels:
    """`pixels` ((height, width)) with the last row first, `padded_width` wide, contiguous.

    The last pixel of a row is repeated: nobody sees it, and it adds least to what is encoded.
    """
    height, width = pixels.shape
    padded = np.empty((height, padded_width(width)), np.uint32)
    padded[:, :width] = pixels[::-1]
    padded[:, width:] = padded[:, width - 1 : width]
    return padded
