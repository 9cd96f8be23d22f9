"""Raw (RFB section 7.7.1): the pixels as they are."""

from sidecar.encode.form import Form
from sidecar.screen.surface import Pixels


def encode(pixels: Pixels, form: Form) -> bytes:
    """All pixels, row by row."""
    return form.pixel_form.pixels(pixels).tobytes()
