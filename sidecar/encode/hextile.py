"""Hextile (RFB section 7.7.4): tiles of 16x16 as a background and horizontal runs of other colours."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from sidecar.encode.colours import lengths_of_runs, starts_of_runs
from sidecar.encode.form import Form
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.tiles import TileGroup, tile_count, tile_groups
from sidecar.screen.surface import Pixels

EDGE: Final = 16
MAX_RUNS: Final = 255

RAW: Final = 1
BACKGROUND: Final = 2
FOREGROUND: Final = 4
RUNS: Final = 8
COLOURED: Final = 16

Drawn = tuple[int, bytes, bytes, bytes]
"""A tile's flags, its background, its foreground and the rest of its bytes."""


def encode(pixels: Pixels, form: Form) -> bytes:
    """The body: one entry for every tile, row by row."""
    tiles: list[Drawn] = [(0, b"", b"", b"")] * tile_count(pixels, EDGE)
    for group in tile_groups(pixels, EDGE):
        for place, tile in zip(group.places.tolist(), _draw(group, form.pixel_form), strict=True):
            tiles[place] = tile
    return b"".join(_joined(tiles))


def _joined(tiles: list[Drawn]) -> Iterator[bytes]:
    """The tiles' bytes; a background or foreground that the client still has is left out."""
    known_background = known_foreground = b""
    for flags, background, foreground, rest in tiles:
        written = flags
        parts = []
        if flags & RAW:
            known_background = known_foreground = b""
        elif background != known_background:
            written |= BACKGROUND
            parts.append(background)
            known_background = background
        if flags & COLOURED:
            known_foreground = b""
        elif foreground and foreground != known_foreground:
            written |= FOREGROUND
            parts.append(foreground)
            known_foreground = foreground
        yield b"".join((bytes((written,)), *parts, rest))


def _draw(group: TileGroup, form: PixelForm) -> Iterator[Drawn]:
    """Every tile of the group in its shortest way."""
    size = form.bytes_per_pixel
    tiles = np.ascontiguousarray(group.pixels.transpose(0, 2, 1, 3)).reshape(-1, group.height * group.width)
    count, area = tiles.shape
    starts = starts_of_runs(tiles, group.width)
    values = tiles.reshape(-1)[starts]
    lengths = lengths_of_runs(starts, tiles.size)
    owners = starts // area
    backgrounds = tiles[:, 0]
    drawn = np.flatnonzero(values != backgrounds[owners])
    starts, values, lengths, owners = starts[drawn], values[drawn], lengths[drawn], owners[drawn]
    run_counts = np.bincount(owners, minlength=count)
    ends = np.cumsum(run_counts)
    within = starts - owners * area
    geometry = np.empty((drawn.size, 2), np.uint8)
    geometry[:, 0] = within % group.width << 4 | within // group.width
    geometry[:, 1] = lengths - 1 << 4
    wire_values = form.pixels(values).view(np.uint8).reshape(-1, size)
    coloured = np.concatenate((wire_values, geometry), axis=1).tobytes()
    plain = geometry.tobytes()
    wire_backgrounds = form.pixels(np.ascontiguousarray(backgrounds)).tobytes()
    # a tile is of two colours when its runs all have the colour of the first
    firsts = np.minimum(ends - run_counts, max(drawn.size - 1, 0))
    strangers = np.zeros(count, np.intp)
    if drawn.size:
        strangers = np.bincount(owners[values != values[firsts][owners]], minlength=count)
    whole: bytes | None = None
    for tile, (runs, end, odd) in enumerate(
        zip(run_counts.tolist(), ends.tolist(), strangers.tolist(), strict=True)
    ):
        background = wire_backgrounds[tile * size : (tile + 1) * size]
        begin = end - runs
        if not runs:
            yield 0, background, b"", b""
            continue
        length = 1 + runs * (2 + size if odd else 2)
        if runs > MAX_RUNS or length + size >= area * size:
            if whole is None:
                whole = form.pixels(tiles).tobytes()
            yield RAW, b"", b"", whole[tile * area * size : (tile + 1) * area * size]
        elif odd:
            part = coloured[begin * (size + 2) : end * (size + 2)]
            yield RUNS | COLOURED, background, b"", bytes((runs,)) + part
        else:
            foreground = coloured[begin * (size + 2) : begin * (size + 2) + size]
            yield RUNS, background, foreground, bytes((runs,)) + plain[begin * 2 : end * 2]
