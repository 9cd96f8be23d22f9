"""Which colours a picture has, found without sorting it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.surface import Pixels

PRESENT: Final = np.uint32(1 << 31)
"""Set in every entry of a hash table that is taken, so that black is not taken for empty."""

MULTIPLIERS: Final = tuple(
    np.uint32(multiplier)
    for multiplier in (
        0x9E3779B1,
        0x85EBCA6B,
        0xC2B2AE35,
        0x27D4EB2F,
        0x165667B1,
        0xD3A2646D,
        0xFD7046C5,
        0xB55A4F09,
        0x7FEB352D,
        0x846CA68B,
        0x2C1B3C6D,
        0x297A2D39,
    )
)
"""Odd numbers whose bits look random: the upper bits of a product with one are a good hash."""

SMALL_TABLE: Final = 12
LARGE_TABLE: Final = 16
"""Bits of a hash: the larger table, which takes longer to clear, is for many colours."""

SAMPLES: Final = 512
"""How many pixels of a large picture are looked at to see that it has too many colours."""

SAMPLE_STEP: Final = 17
"""Of a small picture every 17th pixel is looked at; odd, so as not to fall into step with letters."""


def starts_of_runs(pixels: Pixels, line: int) -> NDArray[np.intp]:
    """Where runs of equal pixels begin in `pixels` (contiguous, any shape); each ends with its `line`."""
    flat = pixels.reshape(-1)
    begins = np.empty(flat.size, np.bool_)
    begins[0] = True
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins.reshape(-1, line)[:, 0] = True
    return np.flatnonzero(begins)


def lengths_of_runs(starts: NDArray[np.intp], end: int) -> NDArray[np.intp]:
    """How long the runs are that begin at `starts`; the last one lasts until `end`."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = end - starts[-1]
    return lengths


def distinct(values: Pixels, limit: int) -> tuple[Pixels, NDArray[np.intp]] | None:
    """The colours in `values` (flat), and for each value the index of its colour; None above `limit` colours.

    Anything below 2**31 may be a colour. Values are scattered into a table at the place that a hash gives;
    who finds itself there is done, the others (they lost the place to another colour) go on with the next
    hash. The order of the colours is the same for the same values.
    """
    bits = SMALL_TABLE
    colours: list[Pixels] = []
    count = 0
    index = np.empty(values.size, np.intp)
    rest = values | PRESENT
    places: NDArray[np.intp] | None = None
    for multiplier in MULTIPLIERS:
        shift, table_size = np.uint32(32 - bits), 1 << bits
        slots = ((rest * multiplier) >> shift).astype(np.intp)
        table = np.zeros(table_size, np.uint32)
        table[slots] = rest
        taken = np.flatnonzero(table != 0)
        if count + taken.size > limit:
            return None
        numbers = np.empty(table_size, np.intp)
        numbers[taken] = np.arange(count, count + taken.size)
        colours.append(table[taken])
        count += taken.size
        found = numbers[slots]
        lost = np.flatnonzero(table[slots] != rest)
        if places is None:
            index = found
            places = lost
        else:
            # the losers' entries are put right by a later turn
            index[places] = found
            places = places[lost]
        if not lost.size:
            return np.concatenate(colours) & ~PRESENT, index
        if lost.size * 4 > rest.size:
            bits = LARGE_TABLE
        rest = rest[lost]
    remaining, found = np.unique(rest, return_inverse=True)
    if count + remaining.size > limit:
        return None
    index[places] = found + count
    return np.concatenate([*colours, remaining]) & ~PRESENT, index


def sampled(pixels: Pixels) -> set[int]:
    """Some of the colours of `pixels` (flat), at least one: enough to tell a drawing from a photo."""
    return set(pixels[:: max(pixels.size // SAMPLES | 1, SAMPLE_STEP)].tolist())


def is_busy(pixels: Pixels) -> bool:
    """Whether more than half of `pixels` (flat) differ from the one before, judged by some: a photo's do."""
    step = max(pixels.size // SAMPLES | 1, SAMPLE_STEP)
    changes = pixels[1::step] != pixels[:-1:step]
    return 2 * int(np.count_nonzero(changes)) > int(changes.size)
