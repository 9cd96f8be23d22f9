"""RDP 6.0 bitmap compression (MS-RDPEGDI 2.2.2.5.1): planes of red, green and blue, raw or run-length coded.

In a plane that is run-length coded all rows but the first are differences from the row above. Each row is
segments of up to 15 raw values and a run of the last one (where the row begins: of 0) of 3 and more, or none.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.form import Form
from sidecar.encode.raw_bitmap import bottom_up
from sidecar.encode.scratch import scratch
from sidecar.encode.stretches import of_three
from sidecar.screen.surface import Pixels

RLE: Final = 0x10
NO_ALPHA: Final = 0x20
WITH_ALPHA: Final = 32
"""Bits of a pixel."""

PAD: Final = b"\0"
"""Follows raw planes."""

SHORTEST_RUN: Final = 3
MAX_RAW: Final = 15
FULL_SEGMENT: Final = MAX_RAW << 4
"""The first byte of a segment of 15 raw values without a run."""

LONG_RUN: Final = 47
"""The longest run of one segment; above 15 it has no raw values."""

WORTHWHILE: Final = 8
"""Where fewer than one value in so many repeats the one before, planes stay raw."""

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


def encode(pixels: Pixels, form: Form) -> bytes:
    """An RDP6_BITMAP_STREAM from the top down without alpha, as the graphics pipeline has it.

    It takes 3 bytes a pixel and 2 more at most.
    """
    return _encoded(pixels, False)


def encode_bitmap(pixels: Pixels, form: Form) -> bytes:
    """An RDP6_BITMAP_STREAM from the bottom up, as bitmap updates have it; `padded_width` pixels in a row.

    Where the form's pixels have a depth of 32 it has an alpha plane, which clients must be sent that do not
    say DRAW_ALLOW_SKIP_ALPHA; and all planes are run-length coded, since rdesktop takes no others. 64x64
    pixels take less than 13400 bytes.
    """
    return _encoded(bottom_up(pixels), form.pixel_form.depth == WITH_ALPHA)


def _encoded(pixels: Pixels, has_alpha: bool) -> bytes:
    first = pixels[0, 0]
    if pixels[-1, -1] == first and (pixels == first).all():
        return _of_one_colour(int(first), *pixels.shape, has_alpha)
    return _of_planes(_split(pixels), has_alpha)


@lru_cache(maxsize=64)
def _of_one_colour(colour: int, height: int, width: int, has_alpha: bool) -> bytes:
    return _of_planes(_split(np.full((height, width), colour, np.uint32)), has_alpha)


def _split(pixels: Pixels) -> Bytes:
    """Red, green and blue: (3, height, width), in scratch."""
    planes = scratch("planes", (3, *pixels.shape), np.uint8)
    for plane, shift in zip(planes, (16, 8, 0), strict=True):
        np.right_shift(pixels, np.uint32(shift), out=plane, casting="unsafe")
    return planes


def _of_planes(planes: Bytes, has_alpha: bool) -> bytes:
    is_grey = np.array_equal(planes[0], planes[1]) and np.array_equal(planes[0], planes[2])
    coded = _coded(planes[:1] if is_grey else planes, may_grow=has_alpha)
    if coded is None:
        return bytes((NO_ALPHA,)) + planes.tobytes() + PAD
    if is_grey:
        coded *= len(planes)
    if has_alpha:
        return bytes((RLE,)) + _opaque(*planes.shape[1:]) + coded
    return bytes((RLE | NO_ALPHA,)) + coded


@lru_cache(maxsize=64)
def _opaque(height: int, width: int) -> bytes:
    """An alpha plane that hides nothing."""
    return _coded(np.full((1, height, width), 0xFF, np.uint8), may_grow=True) or b""


def _coded(planes: Bytes, may_grow: bool) -> bytes | None:
    """The planes ((count, height, width)) run-length coded, in their order; None where raw is shorter.

    But where it `may_grow` never None.
    """
    values = scratch("values", planes.shape, np.uint8)
    values[:, 0] = planes[:, 0]
    differences = values[:, 1:]
    np.subtract(planes[:, 1:], planes[:, :-1], out=differences)
    # the sign goes to the lowest bit: 0, -1, 1, -2 become 0, 1, 2, 3
    signs = differences.view(np.int8) >> np.int8(7)
    differences += differences
    differences ^= signs.view(np.uint8)
    rows = values.reshape(-1, planes.shape[2])
    repeats = scratch("repeats", rows.shape, np.bool_)
    np.equal(rows[:, 0], 0, out=repeats[:, 0])
    np.equal(rows[:, 1:], rows[:, :-1], out=repeats[:, 1:])
    if not may_grow and np.count_nonzero(repeats) * WORTHWHILE < repeats.size:
        return None
    coded = _segments(rows, of_three(repeats))
    return coded if may_grow or len(coded) <= planes.size else None


def _segments(rows: Bytes, is_run: Flags) -> bytes:
    """All rows as segments.

    A unit is some raw values and the run that follows them; either may be missing. It is written as segments
    of 15 raw values, one of what is left of them and the run's beginning, and segments of more of the run.
    """
    lengths, run_lengths = _units(is_run)
    raw_lengths = lengths - run_lengths
    raw_segments = -(-raw_lengths // MAX_RAW)
    # the last segment of raw values takes 15 of a longer run; or 12, where only 1 or 2 would be left
    begun = np.minimum(run_lengths, MAX_RAW)
    begun[raw_lengths == 0] = 0
    rest = run_lengths - begun
    is_short = (rest > 0) & (rest < SHORTEST_RUN)
    begun[is_short] -= SHORTEST_RUN
    rest[is_short] += SHORTEST_RUN
    run_segments = -(-rest // LONG_RUN)
    sizes = raw_lengths + raw_segments + run_segments
    ends = np.cumsum(sizes)
    written = np.empty(int(ends[-1]), np.uint8)
    is_value = np.ones(written.size, np.bool_)

    def put(places: Places, controls: Bytes | int) -> None:
        written[places] = controls
        is_value[places] = False

    begins = ends - sizes
    some = np.flatnonzero(raw_segments)
    full = raw_segments[some] - 1
    lasts = begins[some] + (MAX_RAW + 1) * full
    put(lasts, (raw_lengths[some] - MAX_RAW * full << 4 | begun[some]).astype(np.uint8))
    units, numbers = _repeated(full)
    put(begins[some[units]] + (MAX_RAW + 1) * numbers, FULL_SEGMENT)
    units, numbers = _repeated(run_segments)
    put(ends[units] - run_segments[units] + numbers, _RUN_SEGMENTS.take(_run_sizes(rest, run_segments)))
    written[np.flatnonzero(is_value)] = rows.reshape(-1).take(np.flatnonzero(~is_run))
    return written.tobytes()


def _units(is_run: Flags) -> tuple[Places, Places]:
    """How many values each unit has, and how many of them are its run."""
    ends_unit = np.empty(is_run.shape, np.bool_)
    np.greater(is_run[:, :-1], is_run[:, 1:], out=ends_unit[:, :-1])
    ends_unit[:, -1] = True
    begins_run = is_run.copy()
    np.greater(is_run[:, 1:], is_run[:, :-1], out=begins_run[:, 1:])
    ends = np.flatnonzero(ends_unit) + 1
    lengths = ends.copy()
    lengths[1:] -= ends[:-1]
    run_lengths = np.zeros_like(ends)
    with_run = np.flatnonzero(is_run.reshape(-1).take(ends - 1))
    run_lengths[with_run] = ends[with_run] - np.flatnonzero(begins_run)
    return lengths, run_lengths


def _run_sizes(lengths: Places, segments: Places) -> Places:
    """How long the runs are that runs of these `lengths` are cut into, for all one after the other.

    All are of 47 but the last one; where 1 or 2 are left for that, it has 3 more, and the one before 3 less.
    """
    ends = np.cumsum(segments)
    sizes = np.full(int(ends[-1]), LONG_RUN)
    some = np.flatnonzero(segments)
    lasts = ends[some] - 1
    left = lengths[some] - LONG_RUN * (segments[some] - 1)
    short = np.flatnonzero(left < SHORTEST_RUN)
    left[short] += SHORTEST_RUN
    sizes[lasts] = left
    sizes[lasts[short] - 1] -= SHORTEST_RUN
    return sizes


def _repeated(counts: Places) -> tuple[Places, Places]:
    """Each place in `counts` so many times, and for each time how many there were before."""
    places = np.repeat(np.arange(counts.size), counts)
    return places, np.arange(places.size) - np.repeat(np.cumsum(counts) - counts, counts)


_RUN_SEGMENTS: Final = np.array(
    [length if length < 16 else length % 16 << 4 | length // 16 for length in range(LONG_RUN + 1)], np.uint8
)
"""A segment that is a run of so many values and nothing else."""
