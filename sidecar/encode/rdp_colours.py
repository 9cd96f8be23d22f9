"""The pixels of RDP's bitmap updates (MS-RDPBCGR 2.2.9.1.1.3.1.2.2) as pixel forms.

A pixel of these forms, as RDP writes it, is a CPIXEL: two bytes, three of blue, green and red, or four. The
depth tells them apart, and is the bitsPerPixel of a TS_BITMAP_DATA. (Planar bitmaps are always of 32 bits per
pixel. There the depth tells whether they have an alpha plane: see `planar.encode_bitmap`.)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sidecar.encode.pixel_form import CANONICAL, PixelForm

RGB555: Final = PixelForm(16, 15, False, True, 31, 31, 31, 10, 5, 0)
RGB565: Final = PixelForm(16, 16, False, True, 31, 63, 31, 11, 5, 0)
RGB888: Final = CANONICAL
XRGB8888: Final = PixelForm(32, 32)

COLOURS: Final[Mapping[int, PixelForm]] = MappingProxyType(
    {form.depth: form for form in (RGB555, RGB565, RGB888, XRGB8888)}
)
"""By bits per pixel: 15, 16, 24 and 32."""
