"""ZRLE (RFB section 7.7.9): tiles of 64x64, each solid, packed, run-length encoded or raw; then deflated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import distinct, lengths_of_runs, starts_of_runs
from sidecar.encode.deflate import deflate
from sidecar.encode.form import Form
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.tiles import TileGroup, tile_count, tile_groups
from sidecar.screen.surface import Pixels

EDGE: Final = 64

RAW: Final = b"\x00"
SOLID: Final = b"\x01"
TWO_COLOURS: Final = b"\x02"
PALETTE_RUNS: Final = 128

MAX_PACKED: Final = 16
MAX_PALETTE: Final = 127

NOISE: Final = 0.45
"""A tile with more runs than this share of its pixels is not searched for colours."""

MAX_COLOURS: Final = 4096
"""A group of tiles with more colours than this in its runs is not searched further."""


def encode(pixels: Pixels, form: Form) -> bytes:
    """The deflate part of the body, to be appended to a connection's stream."""
    return deflate(tile_bytes(pixels, form.pixel_form), form.effort)


def tile_bytes(pixels: Pixels, form: PixelForm) -> bytes:
    """The body before it is deflated: every tile's subencoding and data, row by row."""
    tiles = [b""] * tile_count(pixels, EDGE)
    for group in tile_groups(pixels, EDGE):
        busy = []
        for number, (place, tile) in enumerate(zip(group.places.tolist(), _simple(group, form), strict=True)):
            if tile is None:
                busy.append(number)
            else:
                tiles[place] = tile
        if busy:
            rows, columns = np.divmod(np.array(busy), group.pixels.shape[2])
            rest = group.pixels[rows, :, columns, :]
            for number, tile in zip(busy, _coloured(rest, form), strict=True):
                tiles[group.places[number]] = tile
    return b"".join(tiles)


def _simple(group: TileGroup, form: PixelForm) -> Iterator[bytes | None]:
    """Tiles of one or two colours; None for each other."""
    rows, height, columns, width = group.pixels.shape
    firsts = group.pixels[:, :1, :, :1]
    # differences from a tile's first pixel: 0, and for two colours one other value
    differences = group.pixels ^ firsts
    across = differences.reshape(rows, height, columns * width).max(axis=1)
    largest = across.reshape(rows, columns, width).max(axis=2)
    second_bits = _packed_bits(differences != 0)
    same = second_bits == _packed_bits(differences == largest[:, np.newaxis, :, np.newaxis])
    is_simple = (same.all(axis=(1, 3)) | (largest == 0)).reshape(-1).tolist()
    bits = np.ascontiguousarray(second_bits.transpose(0, 2, 1, 3)).tobytes()
    bits_size = height * -(-width // 8)
    pairs = np.empty((rows * columns, 2), np.uint32)
    pairs[:, 0] = firsts.reshape(-1)
    pairs[:, 1] = pairs[:, 0] ^ largest.reshape(-1)
    palettes = form.cpixels(pairs).tobytes()
    size = form.cpixel_size
    for tile, (simple, two) in enumerate(zip(is_simple, largest.reshape(-1).tolist(), strict=True)):
        palette = palettes[2 * size * tile : 2 * size * (tile + 1)]
        if not two:
            yield SOLID + palette[:size]
        elif simple:
            yield TWO_COLOURS + palette + bits[bits_size * tile : bits_size * (tile + 1)]
        else:
            yield None


def _packed_bits(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(tile rows, height, tile columns, width) to one bit a pixel; rows of a tile begin on a byte."""
    *outer, width = mask.shape
    if width % 8:
        return np.packbits(mask, axis=-1)
    return np.packbits(mask).reshape(*outer, width // 8)


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of equal pixels of all tiles that are worth it, in order.

    `owners`: which tile each belongs to; `local`: its colour's number within the tile's palette.
    `colour_counts`, `run_ends`: per tile. `palette_owners`, `palette`: all tiles' palettes one after the
    other.
    """

    owners: NDArray[np.intp]
    lengths: NDArray[np.intp]
    local: NDArray[np.intp]
    colour_counts: NDArray[np.intp]
    palette: Pixels


def _coloured(tiles: Pixels, form: PixelForm) -> list[bytes]:
    """Tiles (count, height, width), contiguous, of more than two colours."""
    count, height, width = tiles.shape
    result = _as_palettes(tiles, form)
    raw_tiles = [tile for tile in range(count) if not result[tile]]
    if raw_tiles:
        size = form.cpixel_size * height * width
        wanted = tiles if len(raw_tiles) == count else tiles[raw_tiles]
        raw = form.cpixels(wanted).tobytes()
        for number, tile in enumerate(raw_tiles):
            result[tile] = RAW + raw[size * number : size * (number + 1)]
    return result


def _as_palettes(tiles: Pixels, form: PixelForm) -> list[bytes]:
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
    boundaries = offsets[np.searchsorted(runs.owners, np.arange(count + 1))].tolist()
    index_bits = np.array([0, 0, 1, 2, 2, *[4] * 12])[np.minimum(runs.colour_counts, MAX_PACKED)]
    packed_sizes = height * -(-width * index_bits // 8)
    run_sizes = np.diff(boundaries)
    is_packed = (runs.colour_counts <= MAX_PACKED) & (runs.colour_counts > 0) & (packed_sizes <= run_sizes)
    packed = _packed(runs, np.flatnonzero(is_packed), index_bits, height, width)
    for tile, colours in enumerate(runs.colour_counts.tolist()):
        if not 2 <= colours <= MAX_PALETTE:
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
    """The runs of all tiles but the noisy ones; None when there are none or they have too many colours."""
    count = len(tiles)
    area = tiles.size // count
    starts = starts_of_runs(tiles, area)
    owners = starts // area
    lengths = lengths_of_runs(starts, tiles.size)
    calm = np.bincount(owners, minlength=count) <= NOISE * area
    if not calm.all():
        kept = calm[owners]
        starts, owners, lengths = starts[kept], owners[kept], lengths[kept]
    if not starts.size:
        return None
    found = distinct(tiles.reshape(-1)[starts], MAX_COLOURS)
    if found is None:
        return None
    colours, index = found
    present = np.zeros((count, colours.size), np.bool_)
    present[owners, index] = True
    numbers = present.cumsum(axis=1) - 1
    return _Runs(
        owners,
        lengths,
        numbers[owners, index],
        np.count_nonzero(present, axis=1),
        colours[np.nonzero(present)[1]],
    )


def _written_runs(runs: _Runs) -> tuple[bytes, NDArray[np.intp]]:
    """Palette run-length encoding of all runs, and where each begins, with the end as a last entry.

    A run of one pixel is its index; a longer one is its index with bit 7 set, then its length less 1 as
    bytes of 255 and a last one below that.
    """
    beyond = runs.lengths - 1
    sizes = np.where(beyond > 0, 2 + beyond // 255, 1)
    offsets = np.zeros(sizes.size + 1, np.intp)
    np.cumsum(sizes, out=offsets[1:])
    written = np.full(int(offsets[-1]), 255, np.uint8)
    long = np.flatnonzero(beyond)
    # the last byte first: for a run of one pixel it would be the index
    written[offsets[long + 1] - 1] = beyond[long] % 255
    written[offsets[:-1]] = runs.local | (beyond > 0).astype(np.intp) << 7
    return written.tobytes(), offsets


def _packed(
    runs: _Runs, chosen: NDArray[np.intp], index_bits: NDArray[np.intp], height: int, width: int
) -> dict[int, bytes]:
    """The indices of the `chosen` tiles, 2 or 4 bits a pixel, rows beginning on a byte."""
    packed: dict[int, bytes] = {}
    for bits in (1, 2, 4):
        tiles = chosen[index_bits[chosen] == bits]
        if not tiles.size:
            continue
        mine = np.flatnonzero(np.isin(runs.owners, tiles))
        indices = np.repeat(runs.local[mine].astype(np.uint8), runs.lengths[mine])
        per_byte = 8 // bits
        padded = np.zeros((tiles.size, height, -(-width // per_byte) * per_byte), np.uint8)
        padded[:, :, :width] = indices.reshape(tiles.size, height, width)
        data = padded[:, :, ::per_byte] << np.uint8(8 - bits)
        for place in range(1, per_byte):
            data |= padded[:, :, place::per_byte] << np.uint8(8 - bits * (place + 1))
        for tile, row in zip(tiles.tolist(), data.reshape(tiles.size, -1), strict=True):
            packed[tile] = row.tobytes()
    return packed
