"""Pictures and pixel forms for the tests of encoders."""

import numpy as np
from hypothesis import strategies as st
from rfb_decoders import Wire

from sidecar.encode.pixel_form import PixelForm

WIRES = {
    "server's own": Wire(32, 24, False, True, (255, 255, 255), (16, 8, 0)),
    "noVNC": Wire(32, 24, False, True, (255, 255, 255), (0, 8, 16)),
    "big-endian": Wire(32, 24, True, True, (255, 255, 255), (16, 8, 0)),
    "big-endian swapped": Wire(32, 24, True, True, (255, 255, 255), (0, 8, 16)),
    "depth 32": Wire(32, 32, False, True, (255, 255, 255), (16, 8, 0)),
    "upper bytes": Wire(32, 24, False, True, (255, 255, 255), (24, 16, 8)),
    "upper bytes big-endian": Wire(32, 24, True, True, (255, 255, 255), (24, 16, 8)),
    "green first": Wire(32, 24, False, True, (255, 255, 255), (8, 16, 0)),
    "first and last byte": Wire(32, 24, False, True, (255, 255, 255), (24, 8, 0)),
    "10 bits": Wire(32, 30, False, True, (1023, 1023, 1023), (20, 10, 0)),
    "odd maxima": Wire(32, 24, False, True, (100, 3, 254), (1, 9, 16)),
    "RGB565": Wire(16, 16, False, True, (31, 63, 31), (11, 5, 0)),
    "BGR555 big-endian": Wire(16, 15, True, True, (31, 31, 31), (0, 5, 10)),
    "BGR233": Wire(8, 8, False, True, (7, 7, 3), (0, 3, 6)),
    "6 bits": Wire(8, 6, False, True, (3, 3, 3), (4, 2, 0)),
    "1 bit": Wire(8, 3, True, True, (1, 1, 1), (2, 1, 0)),
    "colour map": Wire(8, 8, False, False, (7, 7, 3), (0, 3, 6)),
    "wide colour map": Wire(32, 8, True, False, (7, 7, 3), (0, 3, 6)),
}


def form_of(wire: Wire) -> PixelForm:
    return PixelForm(wire.bits, wire.depth, wire.big_endian, wire.true_colour, *wire.maxima, *wire.shifts)


EDGES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 70, 127, 128, 130]


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Solid, of few colours, or noise; in single pixels, in runs, or with few pixels off the ground."""
    width, height = draw(st.sampled_from(EDGES)), draw(st.sampled_from(EDGES))
    colour_count = draw(st.sampled_from([1, 2, 3, 4, 5, 15, 16, 17, 24, 25, 100, 127, 128, 256, 300, 0]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    return picture(random, width, height, colour_count, draw(st.sampled_from(["pixels", "runs", "sparse"])))


def picture(random, width: int, height: int, colour_count: int, layout: str) -> np.ndarray:
    """`colour_count` 0: noise."""
    area = width * height
    if not colour_count:
        return random.integers(0, 1 << 24, (height, width), dtype=np.uint32)
    colours = random.integers(0, 1 << 24, colour_count, dtype=np.uint32)
    if random.random() < 0.5:
        colours[0] = 0
    if layout == "sparse":
        index = np.where(random.random(area) < 0.03, random.integers(0, colour_count, area), 0)
    else:
        index = random.integers(0, colour_count, area)
        if layout == "runs":
            index = np.repeat(index, random.integers(1, 400, area))[:area]
    return colours[index].reshape(height, width)
