"""Palettes in which a colour's place is computed: pixels become indices without a search for each."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import MULTIPLIERS, distinct, lengths_of_runs, starts_of_runs
from sidecar.encode.scratch import scratch
from sidecar.screen.surface import RGB_MASK, Pixels

MAX_COLOURS: Final = 256
"""Most colours of a palette; an index is a byte."""

GAP_BITS: Final = 8
"""Up to so many bits a hash is an index itself, and the palette has gaps; above, a table makes it one."""

HASH_BITS: Final = 16

TRIALS: Final = 8192
TRIED_VALUES: Final = 65536
"""How many multipliers, and how many products of colours with them, are tried at most for one table."""

NO_COLOUR: Final = np.uint32(0xFFFFFFFF)
"""Stands in a gap. No canonical pixel equals it."""

PIECE: Final = 24576
"""Pixels looked at in one go, so that what lies between two steps stays in the processor's cache."""

HASHED_PIXELS: Final = 4096
"""Smaller pictures are indexed without a hash: looking for one takes longer."""

SMALL: Final = 65536
"""A picture of so few pixels is searched in one go."""

TRIED_ROWS: Final = 16
"""Rows that are searched for a third colour first."""

RECENT: Final = 8
"""Palettes that are tried before a new one is looked for: the next picture mostly has the same colours."""


def candidates(pixels: Pixels) -> Pixels:
    """Some of `pixels` (contiguous, at least two-dimensional, the last axis a row), flat; all colours occur.

    Left out are pairs of pixels that equal the pair on their left or above it: a colour's first pair
    equals no pair before it, so it stays. The result may be in scratch.
    """
    width = pixels.shape[-1]
    flat = pixels.reshape(-1)
    pairs = flat[: flat.size & ~1].view(np.uint64)
    above = width if width % 2 else width // 2
    if pairs.size <= above:
        return flat
    found = [flat[: 2 * above], flat[-1:]]
    for begin in range(above, pairs.size, PIECE):
        piece = pairs[begin : begin + PIECE]
        is_new = piece != pairs[begin - above : begin - above + piece.size]
        is_new &= piece != pairs[begin - 1 : begin - 1 + piece.size]
        found.append(piece[np.flatnonzero(is_new)].view(np.uint32))
    count = sum(map(len, found))
    return np.concatenate(found, out=scratch("candidates", (count,), np.uint32))


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """Colours, each in the place that a hash gives it, no two in one.

    `entries`: the colour in each place of the hash's table, NO_COLOUR in gaps. `numbers`: for each place
    the index of its colour, where that is not the place itself. `colours`: by index, what a client is told
    (at most 256; a gap is white). `members`: the colours that it was made for.
    """

    members: frozenset[int]
    entries: Pixels
    multiplier: np.uint32
    shift: np.uint32
    colours: Pixels = field(init=False)
    numbers: NDArray[np.uint8] | None = field(init=False)

    def __post_init__(self) -> None:
        numbers, colours = None, self.entries
        if self.entries.size > 1 << GAP_BITS:
            is_taken = self.entries != NO_COLOUR
            numbers = (is_taken.cumsum() - 1).astype(np.uint8)
            colours = self.entries[is_taken]
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "colours", colours & RGB_MASK)

    def missing(self, values: Pixels) -> Pixels:
        """Those of `values` (flat) that it does not hold."""
        found = []
        for begin in range(0, values.size, PIECE):
            piece = values[begin : begin + PIECE]
            found.append(piece[self.entries.take(self._places(piece), mode="clip") != piece])
        return np.concatenate(found)

    def index(self, values: Pixels) -> NDArray[np.uint8]:
        """The indices of `values` (contiguous, any shape), all of which it must hold; flat, in scratch."""
        flat = values.reshape(-1)
        indices = scratch("indices", (flat.size,), np.uint8)
        places = np.empty(min(flat.size, PIECE), np.uint32)
        for begin in range(0, flat.size, PIECE):
            piece = flat[begin : begin + PIECE]
            hashed = np.multiply(piece, self.multiplier, out=places[: piece.size])
            hashed >>= self.shift
            if self.numbers is None:
                indices[begin : begin + PIECE] = hashed
            else:
                self.numbers.take(hashed, out=indices[begin : begin + PIECE], mode="clip")
        return indices

    def compact(self, indices: NDArray[np.uint8], most: int) -> tuple[Pixels, NDArray[np.uint8]]:
        """The colours, without gaps if more than `most` entries, and `indices` (flat, contiguous) of them."""
        if self.colours.size <= most:
            return self.colours, indices
        is_taken = self.entries != NO_COLOUR
        table = np.zeros(256, np.uint8)
        table[: is_taken.size] = is_taken.cumsum() - 1
        return self.colours[is_taken], np.frombuffer(indices.tobytes().translate(table.tobytes()), np.uint8)

    def _places(self, values: Pixels) -> Pixels:
        places = values * self.multiplier
        places >>= self.shift
        return places


_recent: tuple[Palette, ...] = ()


def find_palette(sample: set[int], values: Pixels, limit: int) -> Palette | None:
    """A palette for all `values` (flat), of which `sample` are some; None above `limit` (1..256) colours.

    It may hold more colours than occur in `values`, up to `limit`. None also where no hash is found. Threads
    may call it at once: the worst that can happen is that a recent palette is forgotten.
    """
    global _recent  # noqa: PLW0603
    if len(sample) > limit:
        return None
    recent = _recent
    for palette in recent:
        if len(palette.members) <= limit and sample <= palette.members and not palette.missing(values).size:
            if palette is not recent[0]:
                _recent = (palette, *(other for other in recent if other is not palette))
            return palette
    occurring = distinct(values, limit)
    if occurring is None:
        return None
    colours = frozenset(occurring[0].tolist())
    if recent:
        # what lies next to each other on a screen shares colours: one palette for all is found again sooner
        both = colours | recent[0].members
        if len(both) <= limit and _bits(len(both)) == _bits(len(colours)):
            colours = both
    found = _hashed(colours)
    if found is not None:
        _recent = (found, *recent[: RECENT - 1])
    return found


def _bits(count: int) -> int:
    """Bits of the smallest index of `count` colours."""
    return max((count - 1).bit_length(), 1)


@lru_cache(maxsize=32)
def _hashed(colours: frozenset[int]) -> Palette | None:
    """The palette with the smallest table that a multiplier gives; None where none does."""
    values = np.array(sorted(colours), np.uint32)
    most = TRIED_VALUES // values.size
    for bits in range(_bits(values.size), HASH_BITS + 1):
        odds = _odds(values.size, 1 << bits)
        if odds * most < 1:
            continue
        trials = min(int(4 / odds), most, TRIALS)
        shift = np.uint32(32 - bits)
        products = values * _multipliers()[:trials, np.newaxis]
        places = np.sort(products >> shift, axis=1)
        is_perfect = (places[:, 1:] != places[:, :-1]).all(axis=1)
        best = int(is_perfect.argmax())
        if is_perfect[best]:
            entries = np.full(1 << bits, NO_COLOUR)
            entries[products[best] >> shift] = values
            return Palette(colours, entries, _multipliers()[best], shift)
    return None


def _odds(count: int, places: int) -> float:
    """How likely it is that `count` colours that fall on `places` at random do not meet."""
    return float(np.prod(1 - np.arange(count) / places))


@lru_cache(maxsize=1)
def _multipliers() -> Pixels:
    """Odd numbers whose bits look random."""
    numbers = np.arange(TRIALS, dtype=np.uint32) * MULTIPLIERS[0]
    numbers ^= numbers >> np.uint32(15)
    numbers *= MULTIPLIERS[1]
    numbers ^= numbers >> np.uint32(13)
    numbers |= np.uint32(1)
    numbers[: len(MULTIPLIERS)] = MULTIPLIERS
    return numbers


def two_colours(pixels: Pixels) -> tuple[Pixels, NDArray[np.bool_]] | None:
    """The colours of `pixels` (contiguous) and, in scratch, where the second is; None above two.

    For a solid picture there is one colour.
    """
    flat = pixels.reshape(-1)
    differs = np.not_equal(pixels, flat[0], out=scratch("differs", pixels.shape, np.bool_))
    second = int(differs.argmax())
    if not differs.reshape(-1)[second]:
        return flat[:1].copy(), differs
    # most large pictures of more colours show it soon
    if pixels.size > SMALL and not _is_where(pixels[:TRIED_ROWS], flat[second], differs[:TRIED_ROWS]):
        return None
    return (flat[[0, second]], differs) if _is_where(pixels, flat[second], differs) else None


def _is_where(pixels: Pixels, colour: np.uint32, mask: NDArray[np.bool_]) -> bool:
    """Whether `colour` is where `mask` is set and nowhere else."""
    equals = np.equal(pixels, colour, out=scratch("equals", pixels.shape, np.bool_))
    equals ^= mask
    return not equals.any()


def few_colours(pixels: Pixels, sample: set[int], limit: int) -> tuple[Pixels, NDArray[np.uint8]] | None:
    """A palette of at most 256 entries, and `pixels` (contiguous, (height, width)) as indices of it, flat.

    `sample`: what `sampled` found in them. `limit`: 1..256 colours; None above. The palette may have unused
    entries.
    """
    if len(sample) > limit:
        return None
    values = candidates(pixels)
    if pixels.size >= HASHED_PIXELS:
        palette = find_palette(sample, values, limit)
        if palette is not None:
            return palette.colours, palette.index(pixels)
    starts = starts_of_runs(pixels, pixels.size)
    found = distinct(pixels.reshape(-1)[starts], limit)
    if found is None:
        return None
    colours, index = found
    lengths = lengths_of_runs(starts, pixels.size)
    return colours, np.repeat(index.astype(np.uint8), lengths)
