"""Zlib (RFB section 7.7.8): Raw, deflated."""

import numpy as np

from sidecar.encode.deflate import deflate
from sidecar.encode.form import Form
from sidecar.screen.surface import Pixels


def encode(pixels: Pixels, form: Form) -> bytes:
    """The deflate part of the body, to be appended to a connection's stream."""
    return deflate(form.pixel_form.pixels(pixels).reshape(-1).view(np.uint8), form.effort)
