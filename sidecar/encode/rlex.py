"""RLEX (MS-RDPEGFX 2.2.4.1.1.3.1.1): runs of palette indices.

A segment is a run of one colour, then a suite: one pixel of each of the colours that follow it in the
palette. Suites pay where a palette holds a colour several times. With two colours it holds them in turn, so a
suite is what single pixels follow a run. With more it holds the ground (the colour with the most runs)
between all others, so a run takes a single pixel along wherever one of the two is ground.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.clear_layers import with_lengths
from sidecar.encode.colours import distinct, lengths_of_runs, starts_of_runs
from sidecar.encode.pixel_form import CANONICAL
from sidecar.screen.surface import RGB_MASK, Pixels

MAX_COLOURS: Final = 127
"""Entries of a palette, at most."""

MAX_GROUNDED: Final = 64
"""Colours of a palette that has the ground between all others, at most."""

MAX_TILES: Final = 128
"""Tiles that are coded in one go, at most: their numbers stand above the 24 bits of a colour."""

TILE_SHIFT: Final = 24

MAX_DEPTH: Final = 14
"""Single pixels after a run of one of two colours: four bits say how many, four where they end."""

MAX_CHAIN: Final = 4
"""Of single pixels in a row so many pairs are joined, and what follows is left as it is."""

SAMPLE_STEP: Final = 8
"""Which of the runs are counted to find the ground."""

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


def of_two_colours(colours: Pixels, is_second: Flags) -> bytes:
    """The bitmap data for pixels of two `colours`, the first of which is the first pixel's.

    `is_second`: contiguous, where the second is.
    """
    flat = is_second.reshape(-1)
    starts = np.concatenate((np.zeros(1, np.intp), np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = lengths_of_runs(starts, flat.size)
    heads = np.flatnonzero(lengths != 1)
    if not heads.size or heads[0]:
        heads = np.concatenate((np.zeros(1, np.intp), heads))
    depths = lengths_of_runs(heads, starts.size) - 1
    deepest = int(depths.max())
    if deepest > MAX_DEPTH:
        deepest = MAX_DEPTH
        within = np.arange(starts.size) - np.repeat(heads, depths + 1)
        heads = np.flatnonzero(within % (MAX_DEPTH + 1) == 0)
        depths = lengths_of_runs(heads, starts.size) - 1
    entries = deepest + 2
    # the colours take turns, so every other run begins with the second
    first_bytes = (heads & 1) + depths | depths << (entries - 1).bit_length()
    written, _ = with_lengths(first_bytes.astype(np.uint16), lengths.take(heads) - 1)
    return bytes((entries,)) + CANONICAL.cpixels(np.resize(colours, entries)).tobytes() + written.tobytes()


@dataclass(frozen=True, slots=True)
class CodedTiles:
    """Tiles in RLEX.

    `data`: each one's bitmap data, empty where it has more than 127 colours. `run_counts`: (tiles,).
    """

    data: list[bytes]
    run_counts: Places


def of_tiles(tiles: Pixels) -> CodedTiles:
    """Every tile of `tiles` ((count, height, width), up to 128 of them) with a palette of its own.

    Where they have more than 127 colours each on average, none has any data.
    """
    count, height, width = tiles.shape
    area = height * width
    starts = starts_of_runs(tiles, area)
    bounds = np.searchsorted(starts, np.arange(0, tiles.size + 1, area))
    run_counts = np.diff(bounds)
    keys = tiles.reshape(-1).take(starts, mode="clip")
    if count > 1:
        keys |= np.repeat(np.arange(count, dtype=np.uint32) << np.uint32(TILE_SHIFT), run_counts)
    found = distinct(keys, MAX_COLOURS * count)
    if found is None:
        return CodedTiles([b""] * count, run_counts)
    keys, index = found
    palettes = _Palettes.of(keys, index, count)
    local = palettes.ranks.take(index, mode="clip")
    beyond = lengths_of_runs(starts, tiles.size)
    beyond -= 1
    joins = _joins(local == 0, beyond == 0, bounds)
    joined = np.add.reduceat(joins, bounds[:-1], dtype=np.intp)
    # an entry of ground costs three bytes, a run that joins saves two
    is_grounded = (2 * joined > 3 * (palettes.counts - 1)) & (palettes.counts <= MAX_GROUNDED)
    joined[~is_grounded] = 0
    entry_counts = palettes.counts + is_grounded * (palettes.counts - 1)
    bits = _BIT_LENGTHS.take(entry_counts - 1, mode="clip")
    joins &= np.repeat(is_grounded, run_counts)
    first_bytes = _first_bytes(
        local, joins, np.repeat(is_grounded.view(np.uint8), run_counts), np.repeat(bits, run_counts)
    )
    heads = np.flatnonzero(~joins)
    written, longs = with_lengths(first_bytes.take(heads).astype(np.uint16), beyond.take(heads))
    head_bounds = np.zeros(count + 1, np.intp)
    np.cumsum(run_counts - joined, out=head_bounds[1:])
    data_bounds = 2 * (head_bounds + np.searchsorted(longs, head_bounds))
    data_bounds[-1] = written.nbytes
    segments = written.tobytes()
    colours = CANONICAL.cpixels(palettes.entries(is_grounded, entry_counts)).tobytes()
    colour_bounds = (3 * np.cumsum(entry_counts)).tolist()
    data = []
    for number, (entries, begin, end) in enumerate(
        zip(entry_counts.tolist(), data_bounds[:-1].tolist(), data_bounds[1:].tolist(), strict=True)
    ):
        if entries > MAX_COLOURS:
            data.append(b"")
            continue
        stop = colour_bounds[number]
        data.append(bytes((entries,)) + colours[stop - 3 * entries : stop] + segments[begin:end])
    return CodedTiles(data, run_counts)


@dataclass(frozen=True, slots=True)
class _Palettes:
    """The colours of some tiles.

    `colours`: all tiles' colours, one tile's after the other's; each tile begins with its ground. `counts`:
    (tiles,). `ranks`: for each entry found in the pixels its place in its tile's palette (rubbish above 255).
    """

    colours: Pixels
    counts: Places
    ranks: Bytes

    @classmethod
    def of(cls, keys: Pixels, index: Places, tiles: int) -> "_Palettes":
        """`keys`: tile and colour of each entry. `index`: for each run its entry."""
        owners = (keys >> np.uint32(TILE_SHIFT)).astype(np.intp)
        runs = np.bincount(index[::SAMPLE_STEP], minlength=keys.size)
        order = np.argsort((owners << 32) - runs)
        counts = np.bincount(owners, minlength=tiles)
        ranks = np.empty(keys.size, np.uint8)
        ranks[order] = (np.arange(keys.size) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.uint8)
        return cls(keys[order] & RGB_MASK, counts, ranks)

    def entries(self, is_grounded: Flags, entry_counts: Places) -> Pixels:
        """All tiles' entries, where `is_grounded` with the ground between the others."""
        firsts = np.cumsum(self.counts) - self.counts
        entries = np.repeat(self.colours[firsts], entry_counts)
        ranks = np.arange(self.colours.size) - np.repeat(firsts, self.counts)
        grounded = np.repeat(is_grounded.view(np.uint8), self.counts)
        places = np.repeat(np.cumsum(entry_counts) - entry_counts, self.counts)
        places += np.maximum(ranks + grounded * (ranks - 1), 0)
        entries[places] = self.colours
        return entries


_BIT_LENGTHS: Final = np.array([max(number.bit_length(), 1) for number in range(MAX_COLOURS + 1)], np.uint8)
"""By the largest index of a palette: how many bits of a segment's first byte hold an index."""


def _joins(is_ground: Flags, is_single: Flags, bounds: Places) -> Flags:
    """Which runs join the one before, in a palette with the ground between all others.

    `bounds`: where each tile's runs begin. Of two runs next to each other one joins at most.
    """
    may = np.empty(is_ground.size, np.bool_)
    np.not_equal(is_ground[1:], is_ground[:-1], out=may[1:])
    may &= is_single
    may[bounds[:-1]] = False
    joins = may.copy()
    joins[1:] &= ~may[:-1]
    follows = may[2:] & may[1:-1]
    for _ in range(MAX_CHAIN - 1):
        joins[2:] |= follows & joins[:-2]
    return joins


def _first_bytes(local: Bytes, joins: Flags, is_grounded: Bytes, bits: Bytes) -> Bytes:
    """For every run the first byte of a segment that it begins: what its suite is, and where it stops.

    `local`: its colour's place in the palette without the grounds between. `is_grounded` and `bits`: by
    run, whether the tile's palette has them, and how long an index of it is.
    """
    depths = np.zeros(local.size, np.uint8)
    depths[:-1] = joins[1:]
    # of a run and the one that joins it one is ground, 0: this is the other
    stops = local.copy()
    stops[:-1] += local[1:] * depths[:-1]
    # colour n stands at 2n - 1, the ground that follows it at 2n
    beyond = stops - np.minimum(stops, 1)
    beyond += depths * np.minimum(local, 1)
    stops += beyond * is_grounded
    stops |= depths << bits
    return stops
