"""ZRLE (RFB section 7.7.9): tiles of 64x64, each solid, packed, run-length encoded or raw; then deflated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import distinct, lengths_of_runs, sampled, starts_of_runs
from sidecar.encode.deflate import deflate
from sidecar.encode.form import Form
from sidecar.encode.palette import Palette, candidates, find_palette
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.scratch import scratch
from sidecar.encode.tiles import tile_count, tile_groups
from sidecar.encode.zrle_indexed import (
    MAX_PACKED,
    SOLID,
    TWO_COLOURS,
    indexed,
    packed_bits,
    packed_indices,
    write,
)
from sidecar.screen.surface import Pixels

EDGE: Final = 64

RAW: Final = b"\x00"
PALETTE_RUNS: Final = 128

MAX_PALETTE: Final = 127

SHORT_RUN: Final = 128
"""Runs are cut at every so many pixels: then each takes two bytes at most and is written without a loop."""

SAMPLES: Final = 64
"""Pixels of a tile that are looked at first."""

NOISE: Final = 32
"""A tile with more colours than this among them is not searched for a palette."""

MAX_COLOURS: Final = 4096
"""A group of tiles with more colours than this in its runs is not searched further."""


def encode(pixels: Pixels, form: Form) -> bytes:
    """The deflate part of the body, to be appended to a connection's stream."""
    return deflate(tile_bytes(pixels, form.pixel_form), form.effort)


def tile_bytes(pixels: Pixels, form: PixelForm) -> bytes:
    """The body before it is deflated: every tile's subencoding and data, row by row."""
    written = [b""] * tile_count(pixels, EDGE)
    found = indexed(pixels)
    if found is not None:
        write(written, *found, EDGE, form)
        return b"".join(written)
    for group in tile_groups(pixels, EDGE):
        rows, height, columns, width = group.pixels.shape
        room = scratch("tiles", (rows, columns, height, width), np.uint32)
        np.copyto(room, group.pixels.transpose(0, 2, 1, 3))
        tiles = room.reshape(-1, height, width)
        places = group.places.tolist()
        colours = _sampled_colours(tiles)
        is_noise = colours > NOISE
        is_simple = colours <= 2
        _fill(written, places, tiles, is_simple, partial(_simple, form=form))
        _fill(written, places, tiles, ~(is_simple | is_noise), partial(_paletted, form=form))
        unwritten = np.array([not written[place] for place in places])
        _fill(written, places, tiles, unwritten, partial(_raw, form=form))
    return b"".join(written)


def _fill(
    written: list[bytes],
    places: list[int],
    tiles: Pixels,
    chosen: NDArray[np.bool_],
    writer: Callable[[Pixels], list[bytes]],
) -> None:
    """Has `writer` write the `chosen` ones of `tiles`, each into its place among those `written`."""
    numbers = np.flatnonzero(chosen)
    if not numbers.size:
        return
    selected = tiles if numbers.size == len(tiles) else tiles[numbers]
    for number, tile in zip(numbers.tolist(), writer(selected), strict=True):
        written[places[number]] = tile


def _sampled_colours(tiles: Pixels) -> NDArray[np.intp]:
    """How many colours each tile (count, height, width) has among the samples: at least one, at most all."""
    count, height, width = tiles.shape
    area = height * width
    samples = np.sort(tiles.reshape(count, area)[:, :: area // SAMPLES | 1], axis=1)
    differ: NDArray[np.bool_] = samples[:, 1:] != samples[:, :-1]
    counts: NDArray[np.intp] = differ.sum(axis=1)
    return counts + 1


def _raw(tiles: Pixels, form: PixelForm) -> list[bytes]:
    """Tiles (count, height, width) pixel by pixel."""
    data = form.cpixels(tiles).tobytes()
    size = len(data) // len(tiles)
    return [RAW + data[begin : begin + size] for begin in range(0, len(data), size)]


def _simple(tiles: Pixels, form: PixelForm) -> list[bytes]:
    """Tiles (count, height, width) of one or two colours; those that have more as `_paletted` does."""
    count = len(tiles)
    firsts = tiles[:, 0, 0]
    # differences from a tile's first pixel: 0, and for two colours one other value
    differences = tiles ^ firsts[:, np.newaxis, np.newaxis]
    largest = differences.reshape(count, -1).max(axis=1)
    if not largest.any():
        solid = form.cpixels(firsts).tobytes()
        size = form.cpixel_size
        return [SOLID + solid[size * tile : size * (tile + 1)] for tile in range(count)]
    bits = packed_bits(differences != 0)
    same = bits == packed_bits(differences == largest[:, np.newaxis, np.newaxis])
    is_simple = same.reshape(count, -1).all(axis=1) | (largest == 0)
    palettes = form.cpixels(np.stack((firsts, firsts ^ largest), axis=1)).tobytes()
    packed = bits.tobytes()
    size, bits_size = form.cpixel_size, len(packed) // count
    written = []
    for tile, (simple, second) in enumerate(zip(is_simple.tolist(), largest.tolist(), strict=True)):
        palette = palettes[2 * size * tile : 2 * size * (tile + 1)]
        if not second:
            written.append(SOLID + palette[:size])
        elif simple:
            written.append(TWO_COLOURS + palette + packed[bits_size * tile : bits_size * (tile + 1)])
        else:
            written.append(b"")
    if not is_simple.all():
        _fill(written, list(range(count)), tiles, ~is_simple, partial(_paletted, form=form))
    return written


def _paletted(tiles: Pixels, form: PixelForm) -> list[bytes]:
    """Tiles (count, height, width) with a palette; empty where raw is shorter."""
    flat = tiles.reshape(-1)
    sample = sampled(flat)
    if len(sample) <= MAX_PACKED:
        palette = find_palette(sample, candidates(tiles), MAX_PACKED)
        if palette is not None:
            return _packed_alike(tiles, palette, form)
    if len(sample) <= MAX_PALETTE:
        starts = _starts_of_short_runs(tiles)
        values = flat[starts]
        palette = find_palette(sample, values, MAX_PALETTE)
        if palette is not None:
            return _runs_alike(tiles, starts, *palette.compact(palette.index(values), MAX_PALETTE), form)
    return _from_runs(tiles, form)


def _packed_alike(tiles: Pixels, palette: Palette, form: PixelForm) -> list[bytes]:
    """Every tile packed, all with one palette of at most 16 colours."""
    colours, indices = palette.compact(palette.index(tiles), MAX_PACKED)
    head = bytes((colours.size,)) + form.cpixels(colours).tobytes()
    packed = packed_indices(indices.reshape(tiles.shape), 2 if colours.size <= 4 else 4)
    return [head + row for row in packed]


def _starts_of_short_runs(tiles: Pixels) -> NDArray[np.intp]:
    """Where runs begin in tiles that are cut so often that no run is longer than 256 pixels."""
    _, height, width = tiles.shape
    return starts_of_runs(tiles, SHORT_RUN if height * width % SHORT_RUN == 0 else width)


def _runs_alike(
    tiles: Pixels, starts: NDArray[np.intp], colours: Pixels, indices: NDArray[np.uint8], form: PixelForm
) -> list[bytes]:
    """Every tile as runs, all with one palette of at most 127 `colours`; empty where raw is shorter.

    `starts` and `indices`: where each run begins and the index of its colour.
    """
    area = tiles.shape[1] * tiles.shape[2]
    head = bytes((PALETTE_RUNS + colours.size,)) + form.cpixels(colours).tobytes()
    # a word for each run: its index, with bit 7 set if a length follows, and its length less 1
    beyond = (lengths_of_runs(starts, tiles.size) - 1).astype("<u2")
    is_long = (beyond != 0).astype("<u2")
    words = beyond << np.uint16(8)
    words |= is_long << np.uint16(7)
    words |= indices
    is_written = (is_long << np.uint16(8) | np.uint16(1)).view(np.bool_)
    # numpy selects by places faster than by a mask that changes often
    places = np.flatnonzero(is_written)
    data = words.view(np.uint8).take(places).tobytes()
    firsts = np.searchsorted(starts, np.arange(0, tiles.size + 1, area))
    bounds = np.searchsorted(places, 2 * firsts).tolist()
    longest = form.cpixel_size * area - len(head)
    return [head + data[begin:end] if end - begin < longest else b"" for begin, end in pairwise(bounds)]


def _index_bits(colour_counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Bits of a packed index for 3 colours and more; above 16 it has no meaning."""
    return np.where(colour_counts <= 4, 2, 4)


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of equal pixels of some tiles, one tile's after the other's.

    `bounds`: (tiles + 1,) where each tile's runs begin, with the end as a last entry. `lengths` and
    `local`: for each run its pixels, and the number of its colour in its tile's palette.
    `colour_counts`: for each tile. `palette`: all tiles' palettes, one after the other.
    """

    bounds: NDArray[np.intp]
    lengths: NDArray[np.intp]
    local: NDArray[np.int16]
    colour_counts: NDArray[np.intp]
    palette: Pixels


def _from_runs(tiles: Pixels, form: PixelForm) -> list[bytes]:
    """Every tile with a palette, packed or as runs, whichever is shorter; empty where raw is shorter."""
    count, height, width = tiles.shape
    result = [b""] * count
    runs = _find_runs(tiles)
    if runs is None:
        return result
    size = form.cpixel_size
    palettes = form.cpixels(runs.palette).tobytes()
    palette_ends = np.cumsum(runs.colour_counts).tolist()
    encoded, offsets = _written_runs(runs)
    boundaries = offsets[runs.bounds]
    index_bits = _index_bits(runs.colour_counts)
    packed_sizes = height * -(-width * index_bits // 8)
    is_packed = (runs.colour_counts <= MAX_PACKED) & (packed_sizes <= np.diff(boundaries))
    packed = _packed(runs, np.flatnonzero(is_packed), index_bits, height, width)
    for tile, colours in enumerate(runs.colour_counts.tolist()):
        if colours > MAX_PALETTE:
            continue
        palette = palettes[size * (palette_ends[tile] - colours) : size * palette_ends[tile]]
        if tile in packed:
            result[tile] = bytes((colours,)) + palette + packed[tile]
        else:
            data = encoded[boundaries[tile] : boundaries[tile + 1]]
            if len(palette) + len(data) < size * height * width:
                result[tile] = bytes((PALETTE_RUNS + colours,)) + palette + data
    return result


def _find_runs(tiles: Pixels) -> _Runs | None:
    """The runs of all tiles, which never cross from one to the next; None when they have too many colours."""
    count, height, width = tiles.shape
    area = height * width
    starts = starts_of_runs(tiles, area)
    found = distinct(tiles.reshape(-1)[starts], MAX_COLOURS)
    if found is None:
        return None
    colours, index = found
    owners = starts // area
    used = np.zeros((count, colours.size), np.bool_)
    entries = owners * colours.size + index
    used.reshape(-1)[entries] = True
    numbers = used.cumsum(axis=1, dtype=np.int16)
    return _Runs(
        np.searchsorted(starts, np.arange(0, tiles.size + 1, area)),
        lengths_of_runs(starts, tiles.size),
        numbers.reshape(-1).take(entries) - np.int16(1),
        numbers[:, -1].astype(np.intp),
        colours[np.nonzero(used)[1]],
    )


def _written_runs(runs: _Runs) -> tuple[bytes, NDArray[np.intp]]:
    """Palette run-length encoding of all runs, and where each begins, with the end as a last entry.

    A run of one pixel is its index; a longer one is its index with bit 7 set, then its length less 1 as
    bytes of 255 and a last one below that.
    """
    beyond = runs.lengths - 1
    is_long = beyond > 0
    sizes = is_long + np.intp(1)
    last = beyond.astype(np.uint8)
    huge = np.flatnonzero(beyond >= 255)
    sizes[huge] += beyond[huge] // 255
    last[huge] = beyond[huge] % 255
    offsets = np.zeros(sizes.size + 1, np.intp)
    np.cumsum(sizes, out=offsets[1:])
    written = np.full(int(offsets[-1]), 255, np.uint8)
    written[offsets[1:] - 1] = last
    # in this order: the last byte of a run of one pixel is its index
    written[offsets[:-1]] = runs.local.astype(np.uint8) | is_long.view(np.uint8) << np.uint8(7)
    return written.tobytes(), offsets


def _packed(
    runs: _Runs, chosen: NDArray[np.intp], index_bits: NDArray[np.intp], height: int, width: int
) -> dict[int, bytes]:
    """The indices of the `chosen` tiles, 2 or 4 bits a pixel, rows beginning on a byte."""
    packed: dict[int, bytes] = {}
    for bits in (2, 4):
        tiles = chosen[index_bits[chosen] == bits]
        if not tiles.size:
            continue
        mine = np.concatenate([np.arange(*runs.bounds[tile : tile + 2]) for tile in tiles.tolist()])
        indices = np.repeat(runs.local[mine].astype(np.uint8), runs.lengths[mine])
        rows = packed_indices(indices.reshape(-1, height, width), bits)
        packed.update(zip(tiles.tolist(), rows, strict=True))
    return packed
