"""ClearCodec (MS-RDPEGFX 2.2.4.1): runs of colours, runs of palette indices, and raw pixels.

Nothing of it depends on what was sent before. So neither glyphs nor bands are used: what they save comes from
the client's caches, which are the connection's. (Bands whose bars repeat within one segment only take more
bytes than runs do, but for letters that stand in rows of one height and are few.)
"""

from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode import rlex
from sidecar.encode.clear_layers import PART, SubCodec, composed, part, raw, residual, residual_of
from sidecar.encode.colours import sampled
from sidecar.encode.form import Form
from sidecar.encode.palette import two_colours
from sidecar.encode.scratch import scratch
from sidecar.encode.tiles import tile_count, tile_groups
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels

EDGE: Final = 64
"""Of the tiles that a picture of too many colours for one palette is cut into."""

PICTURE_SAMPLES: Final = 6144
TILE_SAMPLES: Final = 1366
FIRST_SAMPLES: Final = 256
"""Pixels that are looked at to tell how many colours a picture or a tile has; of a tile few at first."""

RUN: Final = 4
PIXEL: Final = 3
"""Bytes of a run in the residual layer and of a raw pixel."""

WORTHWHILE: Final = 512
"""Where palettes take fewer bytes than this for all that could be left to a residual layer, none is made."""

Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


def encode(pixels: Pixels, form: Form) -> bytes:
    """The composite payload of a CLEARCODEC_BITMAP_STREAM: all that follows its flags and sequence number.

    At most 65535 pixels wide and high. It takes 3 bytes a pixel and 25 more at most.
    """
    below, parts = _layers(pixels)
    if len(below) + sum(map(len, parts)) > PART.size + PIXEL * pixels.size:
        below, parts = b"", [raw(_bounds(pixels), pixels)]
    return composed(below, parts)


def _layers(pixels: Pixels) -> tuple[bytes, list[bytes]]:
    """The residual layer, which may be empty, and the parts that are drawn over it."""
    data = b""
    flat = pixels.reshape(-1)
    if len(sampled(flat)) <= 2 and (two := two_colours(pixels)) is not None:
        colours, is_second = two
        if colours.size == 1:
            return residual_of(colours, np.full(1, pixels.size)), []
        data = rlex.of_two_colours(colours, is_second)
    elif _estimated_colours(flat[np.newaxis], PICTURE_SAMPLES)[0] <= rlex.MAX_COLOURS:
        coded = rlex.of_tiles(pixels[np.newaxis])
        data = coded.data[0]
        if RUN * coded.run_counts[0] < len(data):
            return residual(pixels), []
    if data:
        return b"", [part(_bounds(pixels), SubCodec.RLEX, data)]
    return _mixed(pixels)


def _mixed(pixels: Pixels) -> tuple[bytes, list[bytes]]:
    """The layers for many colours: each tile has a palette, or is left to the residual layer, or is raw."""
    palettes = [b""] * tile_count(pixels, EDGE)
    is_left = np.zeros(len(palettes), np.bool_)
    for group in tile_groups(pixels, EDGE):
        rows, height, columns, width = group.pixels.shape
        tiles = scratch("tiles", (rows, columns, height, width), np.uint32)
        np.copyto(tiles, group.pixels.transpose(0, 2, 1, 3))
        data, is_left[group.places] = _coded(tiles.reshape(-1, height, width))
        for place, palette in zip(group.places.tolist(), data, strict=True):
            palettes[place] = palette
    left = np.flatnonzero(is_left).tolist()
    if not left and not any(palettes):
        return b"", [raw(_bounds(pixels), pixels)]
    below = b""
    must = any(not palettes[place] for place in left)
    spared = sum(PART.size + len(palettes[place]) for place in left)
    columns = -(-pixels.shape[1] // EDGE)
    if must or spared >= WORTHWHILE:
        below = residual(_continued(pixels, is_left.reshape(-1, columns)))
        # what it takes depends on which tiles are neighbours, so it is known only now
        if not must and len(below) >= spared:
            below = b""
    parts = []
    for place, palette in enumerate(palettes):
        if below and is_left[place]:
            continue
        row, column = divmod(place, columns)
        area = Rectangle(column * EDGE, row * EDGE, EDGE, EDGE).intersect(_bounds(pixels))
        parts.append(part(area, SubCodec.RLEX, palette) if palette else raw(area, pixels))
    return below, parts


def _bounds(pixels: Pixels) -> Rectangle:
    height, width = pixels.shape
    return Rectangle(0, 0, width, height)


def _coded(tiles: Pixels) -> tuple[list[bytes], Flags]:
    """For `tiles` ((count, height, width)): RLEX where they have few colours, and which are better left.

    Left to the residual layer, that is, so far as one tile alone can tell. What has neither is better raw.
    """
    count, height, width = tiles.shape
    data = [b""] * count
    flat = tiles.reshape(count, -1)
    is_left = _have_many_colours(flat)
    few = np.flatnonzero(~is_left)
    if few.size < count:
        is_left &= ~_are_busy(flat)
    for begin in range(0, few.size, rlex.MAX_TILES):
        chosen = few[begin : begin + rlex.MAX_TILES]
        coded = rlex.of_tiles(tiles if chosen.size == count else tiles[chosen])
        for number, palette, runs in zip(chosen.tolist(), coded.data, coded.run_counts.tolist(), strict=True):
            longest = PIXEL * height * width
            if 0 < len(palette) < longest:
                data[number] = palette
                longest = PART.size + len(palette)
            is_left[number] = RUN * runs < longest
    return data, is_left


def _have_many_colours(rows: Pixels) -> Flags:
    """Which rows of pixels are likely to have too many colours for a palette, judged by some of them."""
    # the first look finds too few colours, if anything
    are_many: Flags = _estimated_colours(rows, FIRST_SAMPLES) > rlex.MAX_COLOURS
    rest = np.flatnonzero(~are_many)
    are_many[rest] = _estimated_colours(rows, TILE_SAMPLES, rest) > rlex.MAX_COLOURS
    return are_many


def _estimated_colours(rows: Pixels, samples: int, chosen: Places | slice = slice(None)) -> NDArray[np.int16]:
    """How many colours the `chosen` ones of these rows of pixels have, judged by about so many: a jackknife.

    Those that are seen are counted, and those seen only once again: there are about as many unseen ones.
    """
    step = _step(rows.shape[1], samples)
    in_order = np.sort(rows[:, ::step][chosen], axis=1)
    begins = np.ones((in_order.shape[0], in_order.shape[1] + 1), np.bool_)
    np.not_equal(in_order[:, 1:], in_order[:, :-1], out=begins[:, 1:-1])
    # narrow sums are the fast ones, and there are not more than 16383 samples
    counts: NDArray[np.int16] = begins[:, :-1].sum(axis=1, dtype=np.int16)
    if step > 1:
        counts += (begins[:, 1:] & begins[:, :-1]).sum(axis=1, dtype=np.int16)
    return counts


def _are_busy(rows: Pixels) -> Flags:
    """Which rows of pixels have runs that take more bytes than raw pixels, judged by some of them."""
    step = _step(rows.shape[1], FIRST_SAMPLES)
    changes = rows[:, 1::step] != rows[:, :-1:step]
    are_busy: Flags = RUN * changes.sum(axis=1, dtype=np.int16) > PIXEL * changes.shape[1]
    return are_busy


def _step(pixels: int, samples: int) -> int:
    """Every how manieth pixel is looked at; odd, so as not to fall into step with letters."""
    return pixels // samples | 1


def _continued(pixels: Pixels, is_kept: Flags) -> Pixels:
    """A copy, in scratch, whose tiles that are not kept continue what stands beside them: they add no runs.

    `is_kept`: (tile rows, tile columns).
    """
    filled = scratch("filled", pixels.shape, np.uint32)
    np.copyto(filled, pixels)
    for row, kept in enumerate(is_kept.tolist()):
        band = filled[row * EDGE : (row + 1) * EDGE]
        if True not in kept:
            band[:] = filled[row * EDGE - 1, -1] if row else 0
            continue
        first = kept.index(True) * EDGE
        band[:, :first] = band[:, first : first + 1]
        left = 0
        for keeps, columns in groupby(kept):
            right = left + EDGE * len(list(columns))
            if left and not keeps:
                band[:, left:right] = band[:, left - 1 : left]
            left = right
    return filled
