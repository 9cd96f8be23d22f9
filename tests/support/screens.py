"""Pictures of what screens show, several kinds of it side by side, for the tests of encoders."""

import numpy as np
from hypothesis import strategies as st

KINDS = ("solid", "text", "soft text", "rows", "columns", "shades", "dither", "few", "noise")
SIZES = (*range(1, 10), 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 66, 95, 127, 128, 129, 130, 193, 260)


def content(random, kind: str, width: int, height: int) -> np.ndarray:
    """`height` x `width` pixels of one kind."""
    y, x = np.mgrid[0:height, 0:width]
    ground, ink = random.integers(0, 1 << 24, 2, dtype=np.uint32)
    if kind == "solid":
        return np.full((height, width), ground)
    if kind == "text":
        return np.where(_letters(random, width, height) > 0.5, ink, ground)
    if kind == "soft text":
        cover = np.round(_letters(random, width, height) * 15) / 15
        channels = [(ground >> s & 255) * (1 - cover) + (ink >> s & 255) * cover for s in (16, 8, 0)]
        return _joined(*channels)
    if kind == "rows":
        return _joined(y * 2, 255 - y, y // 3)
    if kind == "columns":
        return _joined(x // 5, 255 - x, x)
    if kind == "shades":
        return _joined(x * 3 // 4, y * 2 // 3, (x + y) // 2)
    if kind == "dither":
        return np.where((x + y) % 2, ink, ground)
    if kind == "few":
        colours = random.integers(0, 1 << 24, int(random.integers(3, 140)), dtype=np.uint32)
        return colours[random.integers(0, colours.size, (height, width))]
    return random.integers(0, 1 << 24, (height, width), dtype=np.uint32)


def _letters(random, width, height):
    """How much ink each pixel has."""
    shapes = random.random((30, 12, 8))
    shapes[shapes < 0.6] = 0
    placed = shapes[random.integers(0, 30, (height // 12 + 1, width // 8 + 1))]
    return placed.transpose(0, 2, 1, 3).reshape(len(placed) * 12, -1)[:height, :width]


def _joined(red, green, blue):
    channels = [np.asarray(channel).astype(np.uint32) & 255 for channel in (red, green, blue)]
    return channels[0] << 16 | channels[1] << 8 | channels[2]


def screen(random, width: int, height: int, kinds) -> np.ndarray:
    """The first of `kinds` all over, the others somewhere on it."""
    pixels = np.ascontiguousarray(content(random, kinds[0], width, height).astype(np.uint32))
    for kind in kinds[1:]:
        left, top = int(random.integers(0, width)), int(random.integers(0, height))
        part = pixels[top : top + int(random.integers(1, 150)), left : left + int(random.integers(1, 200))]
        part[:] = content(random, kind, part.shape[1], part.shape[0])
    return pixels


@st.composite
def screens(draw: st.DrawFn, largest: int = 260) -> np.ndarray:
    sizes = st.sampled_from([size for size in SIZES if size <= largest])
    width, height = draw(sizes), draw(sizes)
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    return screen(np.random.default_rng(draw(st.integers(0, 1 << 32))), width, height, kinds)
