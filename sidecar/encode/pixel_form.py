"""How a client wants its pixels (RFB PIXEL_FORMAT), and canonical pixels turned into that.

Canonical pixels are uint32, 0x00RRGGBB, in the machine's own (little-endian) order.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.surface import Pixels

Bytes = NDArray[np.uint8]
Wire = NDArray[np.unsignedinteger[Any]]

BITS_PER_PIXEL: Final = (8, 16, 32)
CANONICAL_SHIFTS: Final = (16, 8, 0)
SWAPPED_SHIFTS: Final = (0, 8, 16)
FULL: Final = (255, 255, 255)


class PixelFormError(ValueError):
    """A pixel form that no pixel can be written in."""


@dataclass(frozen=True, slots=True)
class PixelForm:
    """One client's pixels (RFB section 7.4). Raises PixelFormError when a channel does not fit.

    Where `true_colour` is false a pixel is an index: it is made of the channels all the same, and
    `colour_map` says what each index looks like.
    """

    bits_per_pixel: int = 32
    depth: int = 24
    big_endian: bool = False
    true_colour: bool = True
    red_max: int = 255
    green_max: int = 255
    blue_max: int = 255
    red_shift: int = 16
    green_shift: int = 8
    blue_shift: int = 0

    def __post_init__(self) -> None:
        if self.bits_per_pixel not in BITS_PER_PIXEL:
            raise PixelFormError(f"a pixel of {self.bits_per_pixel} bits is neither 8, 16 nor 32")
        for maximum, shift in zip(self.maxima, self.shifts, strict=True):
            if not 1 <= maximum <= 0xFFFF or shift < 0 or maximum.bit_length() + shift > self.bits_per_pixel:
                raise PixelFormError(
                    f"a channel up to {maximum} shifted by {shift} does not fit {self.bits_per_pixel} bits"
                )

    @classmethod
    def indexed(cls, bits_per_pixel: int = 8, big_endian: bool = False) -> "PixelForm":
        """The form for a client that wants a colour map: 3 bits of red, 3 of green, 2 of blue."""
        return cls(bits_per_pixel, 8, big_endian, False, 7, 7, 3, 0, 3, 6)

    @property
    def maxima(self) -> tuple[int, int, int]:
        """The largest value of red, green and blue."""
        return self.red_max, self.green_max, self.blue_max

    @property
    def shifts(self) -> tuple[int, int, int]:
        """How far red, green and blue are shifted to the left."""
        return self.red_shift, self.green_shift, self.blue_shift

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of a PIXEL: 1, 2 or 4."""
        return self.bits_per_pixel // 8

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The numpy type of a PIXEL."""
        return np.dtype(f"{'>' if self.big_endian else '<'}u{self.bytes_per_pixel}")

    @property
    def is_canonical(self) -> bool:
        """Whether a PIXEL is a canonical pixel as it lies in memory."""
        return (
            self.bits_per_pixel == 32
            and not self.big_endian
            and (self.maxima, self.shifts) == (FULL, CANONICAL_SHIFTS)
        )

    @property
    def cpixel_size(self) -> int:
        """Bytes of a CPIXEL (RFB ZRLE): 3 or those of a PIXEL."""
        return 3 if self._compact_shift is not None else self.bytes_per_pixel

    @property
    def has_rgb_tpixel(self) -> bool:
        """Whether a TPIXEL (RFB Tight) is the three bytes red, green, blue; else it is a PIXEL."""
        return self.true_colour and (self.bits_per_pixel, self.depth, self.maxima) == (32, 24, FULL)

    @property
    def tpixel_size(self) -> int:
        """Bytes of a TPIXEL: 3 or those of a PIXEL."""
        return 3 if self.has_rgb_tpixel else self.bytes_per_pixel

    @property
    def colour_map(self) -> list[tuple[int, int, int]]:
        """Red, green and blue (0..65535) of every index of an `indexed` form, in order."""
        return [
            (
                (index >> self.red_shift & self.red_max) * 65535 // self.red_max,
                (index >> self.green_shift & self.green_max) * 65535 // self.green_max,
                (index >> self.blue_shift & self.blue_max) * 65535 // self.blue_max,
            )
            for index in range(1 << self.depth)
        ]

    def pixels(self, canonical: Pixels) -> Wire:
        """PIXELs: the same shape, contiguous, `dtype`; the array itself where nothing is to be done."""
        if self.is_canonical:
            return canonical
        if self.bits_per_pixel == 32 and self.maxima == FULL:
            if self.shifts == CANONICAL_SHIFTS:
                return canonical.astype(self.dtype)
            if self.shifts == SWAPPED_SHIFTS:
                if self.big_endian:
                    return (canonical << np.uint32(8)).view(self.dtype)
                return _swapped(canonical)
        return _channelled(self, canonical).astype(self.dtype, copy=False)

    def cpixels(self, canonical: Pixels) -> Bytes:
        """CPIXELs of all pixels in order; flat, uint8."""
        shift = self._compact_shift
        if shift is None:
            return self.pixels(np.ascontiguousarray(canonical)).reshape(-1).view(np.uint8)
        if self.maxima == FULL and shift == 0 and self.shifts == CANONICAL_SHIFTS:
            return _three_bytes(canonical, self.big_endian)
        if self.maxima == FULL and shift == 0 and self.shifts == SWAPPED_SHIFTS:
            return _three_bytes(canonical, not self.big_endian)
        return _three_bytes(_channelled(self, canonical) >> np.uint32(shift), self.big_endian)

    def tpixels(self, canonical: Pixels) -> Bytes:
        """TPIXELs of all pixels in order; flat, uint8."""
        if self.has_rgb_tpixel:
            return _three_bytes(canonical, True)
        return self.pixels(np.ascontiguousarray(canonical)).reshape(-1).view(np.uint8)

    @property
    def _compact_shift(self) -> int | None:
        """0 or 8: how far the three bytes of a CPIXEL are from the right; None: it has as many as a PIXEL."""
        if not self.true_colour or self.bits_per_pixel != 32 or self.depth > 24:
            return None
        used = 0
        for maximum, shift in zip(self.maxima, self.shifts, strict=True):
            used |= maximum << shift
        if used < 1 << 24:
            return 0
        return 8 if used & 0xFF == 0 else None


CANONICAL: Final = PixelForm()
"""The server's own form, in which pixels need no work: B, G, R, 0 in memory."""

SWAPPED: Final = PixelForm(red_shift=0, blue_shift=16)
"""What browsers and vncdotool ask for: R, G, B, 0 in memory."""


def _swapped(canonical: Pixels) -> Pixels:
    """0x00BBGGRR."""
    swapped = canonical.byteswap()
    swapped >>= np.uint32(8)
    return swapped


def _three_bytes(values: Pixels, most_significant_first: bool) -> Bytes:
    """The lower three bytes of every value, flat.

    Whole words are written three bytes apart, so that each one's fourth byte is overwritten by the next:
    numpy fills a one-dimensional array from its beginning to its end. Seven times as fast as a copy of
    three bytes out of four.
    """
    values = values.reshape(-1)
    filled = np.empty(3 * values.size + 1, np.uint8)
    words: NDArray[np.uint32] = np.ndarray(
        values.shape, ">u4" if most_significant_first else "<u4", filled.data, 0, (3,)
    )
    words[:] = values << np.uint32(8) if most_significant_first else values
    return filled[:-1]


def _channelled(form: PixelForm, canonical: Pixels) -> Pixels:
    """Pixel values of any form, by tables of what each channel's 256 values become."""
    red, green, blue = _channel_tables(form.maxima, form.shifts)
    values: Pixels = red[canonical >> np.uint32(16) & np.uint32(255)]
    values |= green[canonical >> np.uint32(8) & np.uint32(255)]
    values |= blue[canonical & np.uint32(255)]
    return values


@lru_cache(maxsize=16)
def _channel_tables(maxima: tuple[int, int, int], shifts: tuple[int, int, int]) -> tuple[Pixels, ...]:
    """For red, green and blue: the shifted value for 0..255."""
    return tuple(
        _scaled(np.uint32(maximum)) << np.uint32(shift) for maximum, shift in zip(maxima, shifts, strict=True)
    )


def _scaled(maximum: np.uint32) -> Pixels:
    """What 0..255 become in a channel up to `maximum`.

    Fewer bits keep the upper ones, as QEMU's own server has it, so that both show the same; more bits are
    stretched to the nearest value.
    """
    channel = np.arange(256, dtype=np.uint32)
    if maximum <= FULL[0]:
        return channel * (maximum + np.uint32(1)) >> np.uint32(8)
    return (channel * maximum + np.uint32(127)) // np.uint32(255)
