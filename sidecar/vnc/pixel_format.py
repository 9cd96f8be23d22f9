"""PIXEL_FORMAT, rfbproto 7.4: sixteen bytes for a pixel form."""

import struct

from sidecar.encode.pixel_form import PixelForm, PixelFormError
from sidecar.vnc.errors import Reason, RemoteError

_LAYOUT = struct.Struct(">BBBBHHHBBB3x")

PIXEL_FORMAT_SIZE = _LAYOUT.size
"""Bytes of a PIXEL_FORMAT on the wire."""


def parse(data: bytes) -> PixelForm:
    """Reads and checks the 16 bytes. A client without true colour gets the indexed form of its pixel size.

    Raises RemoteError (MALFORMED) where bits per pixel are not 8, 16 or 32, a maximum is 0, or a channel
    reaches beyond the pixel (CVE-2014-7815 was a format taken unchecked).
    """
    bits_per_pixel, depth, big_endian, true_colour, *channels = _LAYOUT.unpack(data)
    try:
        if not true_colour:
            return PixelForm.indexed(bits_per_pixel, bool(big_endian))
        return PixelForm(bits_per_pixel, depth, bool(big_endian), True, *channels)
    except PixelFormError as error:
        raise RemoteError(Reason.MALFORMED, f"This pixel format cannot be served: {error}.") from None


def pack(form: PixelForm) -> bytes:
    """The 16 bytes."""
    return _LAYOUT.pack(
        form.bits_per_pixel, form.depth, form.big_endian, form.true_colour, *form.maxima, *form.shifts
    )
