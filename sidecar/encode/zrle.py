"""ZRLE (RFB section 7.7.9): tiles of 64x64, each solid, packed, run-length encoded or raw; then deflated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import (
    DIRECT_COLOURS,
    DirectPalette,
    indexed,
    lengths_of_runs,
    sampled,
    starts_of_runs,
)
from sidecar.encode.deflate import deflate
from sidecar.encode.form import Form
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.tiles import tile_count, tile_groups
from sidecar.screen.surface import Pixels

EDGE: Final = 64

RAW: Final = b"\x00"
SOLID: Final = b"\x01"
TWO_COLOURS: Final = b"\x02"
PALETTE_RUNS: Final = 128

USED_BITS: Final = 64
"""Entries of a palette whose use in a tile can be noted in one word."""

MAX_PACKED: Final = 16
MAX_PALETTE: Final = 127

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
    for group in tile_groups(pixels, EDGE):
        tiles = np.ascontiguousarray(group.pixels.transpose(0, 2, 1, 3))
        tiles = tiles.reshape(-1, group.height, group.width)
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
    bits = _packed_bits(differences != 0)
    same = bits == _packed_bits(differences == largest[:, np.newaxis, np.newaxis])
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


def _packed_bits(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(count, height, width) to one bit a pixel, the first in the highest; rows begin on a byte."""
    if mask.shape[2] % 8:
        return np.packbits(mask, axis=2)
    return np.packbits(mask).reshape(*mask.shape[:2], -1)


def _paletted(tiles: Pixels, form: PixelForm) -> list[bytes]:
    """Tiles (count, height, width) with a palette; empty where raw is shorter."""
    written = _computed(tiles, form)
    if written is None:
        return _from_runs(tiles, form)
    unwritten = np.array([not tile for tile in written])
    _fill(written, list(range(len(tiles))), tiles, unwritten, partial(_from_runs, form=form))
    return written


def _computed(tiles: Pixels, form: PixelForm) -> list[bytes] | None:
    """Every tile packed, the indices being computed; empty above 16 colours. None: all have too many."""
    count, height, width = tiles.shape
    area = height * width
    flat = tiles.reshape(-1)
    sample = sampled(flat)
    if len(sample) > DIRECT_COLOURS:
        return None
    direct = DirectPalette.find(sample, flat[starts_of_runs(flat, flat.size)], DIRECT_COLOURS)
    if direct is None or direct.colours.size > USED_BITS:
        return None
    entries = direct.index(flat).astype(np.uint8)
    word: Any = np.uint32 if direct.colours.size <= 32 else np.uint64
    bits = np.left_shift(word(1), entries.reshape(count, area), dtype=word)
    used = np.bitwise_or.reduce(bits, axis=1)
    places = np.arange(direct.colours.size, dtype=word)
    is_used = (used[:, np.newaxis] >> places & word(1)).astype(np.bool_)
    numbers = np.zeros((count, 256), np.uint8)
    numbers[:, : places.size] = is_used.cumsum(axis=1) - 1
    tables, data = numbers.tobytes(), entries.tobytes()
    palettes = form.cpixels(direct.colours[np.nonzero(is_used)[1]]).tobytes()
    colour_counts = is_used.sum(axis=1)
    palette_ends = (np.cumsum(colour_counts) * form.cpixel_size).tolist()
    written = [b""] * count
    index_bits = _index_bits(colour_counts)
    for packed_bits in (2, 4):
        chosen = np.flatnonzero((index_bits == packed_bits) & (colour_counts <= MAX_PACKED)).tolist()
        local = b"".join(
            data[area * tile : area * (tile + 1)].translate(tables[256 * tile : 256 * (tile + 1)])
            for tile in chosen
        )
        rows = _packed_indices(np.frombuffer(local, np.uint8).reshape(-1, height, width), packed_bits)
        for tile, row in zip(chosen, rows, strict=True):
            colours, end = int(colour_counts[tile]), palette_ends[tile]
            written[tile] = bytes((colours,)) + palettes[end - colours * form.cpixel_size : end] + row
    return written


def _index_bits(colour_counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Bits of a packed index for 3 colours and more; above 16 it has no meaning."""
    return np.where(colour_counts <= 4, 2, 4)


def _packed_indices(indices: NDArray[np.uint8], bits: int) -> list[bytes]:
    """Tiles of indices (count, height, width), `bits` (2 or 4) a pixel; rows begin on a byte."""
    count, height, width = indices.shape
    per_byte = 8 // bits
    if width % per_byte:
        padded = np.zeros((count, height, -(-width // per_byte) * per_byte), np.uint8)
        padded[:, :, :width] = indices
        indices = padded
    # a word holds the pixels of one byte, the first in its lowest bits: each is shifted to its place
    word = np.dtype(f"<u{per_byte}").type
    words: NDArray[Any] = indices.view(word)
    packed = np.zeros_like(words)
    for place in range(per_byte):
        shift = 8 - bits * (place + 1) - 8 * place
        packed |= words << word(shift) if shift > 0 else words >> word(-shift)
    return [tile.tobytes() for tile in packed.astype(np.uint8)]


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
    found = indexed(tiles.reshape(-1)[starts], sampled(tiles.reshape(-1)), MAX_COLOURS)
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
        rows = _packed_indices(indices.reshape(-1, height, width), bits)
        packed.update(zip(tiles.tolist(), rows, strict=True))
    return packed
