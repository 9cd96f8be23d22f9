"""Interleaved RLE (MS-RDPBCGR 2.2.9.1.1.3.1.2.4, RLE_BITMAP_STREAM) for 15, 16 and 24 bits per pixel.

A stream is orders, each of which draws some pixels. Background is what the row above shows (above the first
row: black); foreground is that exclusive-or one value. What is above means another thing in the first row, so
no order goes on from it to the next. And no background run follows another but there: the client would draw a
pixel of foreground between them.
"""

from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import lengths_of_runs
from sidecar.encode.form import Form
from sidecar.encode.pixel_form import CANONICAL
from sidecar.encode.raw_bitmap import bottom_up
from sidecar.encode.stretches import of_three
from sidecar.screen.surface import Pixels

MAX_PIXELS: Final = 0xFFFF
"""What one order can draw."""

DEPTHS: Final = (15, 16, 24)

SHORTEST: Final = 3
"""Pixels that show background, or equal the one before, and are worth an order of their own."""

FEW_BYTES: Final = 4
"""Bytes of a mask that are all background or all foreground and are worth an order of their own."""

REGULAR: Final = 31
SHORT: Final = REGULAR + 256
"""The longest lengths within the first byte of an order, and with one byte more."""

Values = NDArray[np.unsignedinteger[Any]]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


class Order(IntEnum):
    """What an order draws: the upper three bits of a REGULAR order, the lower ones of a MEGA_MEGA order."""

    BACKGROUND_RUN = 0
    FOREGROUND_RUN = 1
    FOREGROUND_BACKGROUND_IMAGE = 2
    COLOUR_RUN = 3
    COLOUR_IMAGE = 4
    SET_FOREGROUND_RUN = 6
    SET_FOREGROUND_BACKGROUND_IMAGE = 7


MEGA_MEGA: Final = 0xF0
"""With an order added: the first byte of one whose length follows in two bytes."""


def encode(pixels: Pixels, form: Form) -> bytes:
    """An RLE_BITMAP_STREAM from the bottom up; `raw_bitmap.padded_width` pixels in a row.

    It takes 3 bytes more than raw pixels at most. Raises ValueError for more than 65535 pixels, and for a
    pixel form of other than 15, 16 or 24 bits per pixel.
    """
    if form.pixel_form.depth not in DEPTHS:
        raise ValueError(f"there is no interleaved RLE of {form.pixel_form.depth} bits per pixel")
    first = pixels[0, 0]
    if pixels[-1, -1] == first and (pixels == first).all():
        return _of_one_colour(int(first), *pixels.shape, form)
    return _encoded(pixels, form)


@lru_cache(maxsize=64)
def _of_one_colour(colour: int, height: int, width: int, form: Form) -> bytes:
    return _encoded(np.full((height, width), colour, np.uint32), form)


def _encoded(pixels: Pixels, form: Form) -> bytes:
    values: Values = form.pixel_form.pixels(bottom_up(pixels))
    if values.size > MAX_PIXELS:
        raise ValueError(f"{values.size} pixels are too many for one bitmap")
    width = values.shape[1]
    flat = values.reshape(-1)
    differences = flat.copy()
    differences[width:] ^= flat[:-width]
    below = differences[width:]
    foreground = below.max(initial=0)
    mask = below == foreground
    if foreground and np.count_nonzero(mask) != np.count_nonzero(below):
        return _orders(flat, differences, width)
    top = _orders(flat[:width], differences[:width], width)
    if foreground:
        return top + _masked(mask, _wire(foreground.reshape(1)))
    return top + _head(Order.BACKGROUND_RUN, below.size)


def _wire(values: Values) -> bytes:
    """Pixels as they are sent: two bytes, or three of blue, green and red."""
    return values.tobytes() if values.itemsize == 2 else CANONICAL.cpixels(values.astype(np.uint32)).tobytes()


def _head(order: Order, length: int) -> bytes:
    """The beginning of an order that draws `length` pixels; for an order of none nothing."""
    if not length:
        return b""
    if order is Order.FOREGROUND_BACKGROUND_IMAGE and length % 8 == 0 and length <= 8 * REGULAR:
        return bytes((order << 5 | length // 8,))
    if order is Order.FOREGROUND_BACKGROUND_IMAGE and length <= 256:
        return bytes((order << 5, length - 1))
    if order < Order.SET_FOREGROUND_RUN and order is not Order.FOREGROUND_BACKGROUND_IMAGE:
        if length <= REGULAR:
            return bytes((order << 5 | length,))
        if length <= SHORT:
            return bytes((order << 5, length - REGULAR - 1))
    return bytes((MEGA_MEGA | order,)) + length.to_bytes(2, "little")


def _masked(mask: Flags, foreground: bytes) -> bytes:
    """Orders for rows below the first: foreground where `mask` is set, else background."""
    data = np.packbits(mask, bitorder="little")
    bounds = np.concatenate(((0,), np.flatnonzero(data[1:] != data[:-1]) + 1, (data.size,)))
    kinds = data[bounds[:-1]]
    is_run = (bounds[1:] - bounds[:-1] >= FEW_BYTES) & ((kinds == 0) | (kinds == 0xFF))
    runs = np.flatnonzero(is_run)
    masks = data.tobytes()
    written: list[bytes] = []

    def draw(order: Order, begin: int, end: int, content: bytes = b"") -> None:
        """From byte `begin` of the mask to `end`."""
        nonlocal foreground
        length = min(8 * end, mask.size) - 8 * begin
        if order is not Order.BACKGROUND_RUN and foreground:
            # the first order that needs the foreground's colour sets it
            written.append(_head(Order(order + 5), length) + foreground + content)
            foreground = b""
        else:
            written.append(_head(order, length) + content)

    done = 0
    for begin, end, kind in zip(
        bounds[runs].tolist(), bounds[runs + 1].tolist(), kinds[runs].tolist(), strict=True
    ):
        if begin > done:
            draw(Order.FOREGROUND_BACKGROUND_IMAGE, done, begin, masks[done:begin])
        draw(Order.FOREGROUND_RUN if kind else Order.BACKGROUND_RUN, begin, end)
        done = end
    if done < data.size:
        draw(Order.FOREGROUND_BACKGROUND_IMAGE, done, data.size, masks[done:])
    return b"".join(written)


def _orders(values: Values, differences: Values, width: int) -> bytes:
    """Orders for pixels (flat, whole rows from the first on): runs of background and of colours, and images.

    `differences`: from the pixels above.
    """
    is_ground = of_three(differences == 0)
    repeats = np.zeros(values.size, np.bool_)
    np.equal(values[1:], values[:-1], out=repeats[1:])
    repeats[1:] &= ~(is_ground[1:] | is_ground[:-1])
    repeats = of_three(repeats)
    if 16 * (np.count_nonzero(is_ground) + np.count_nonzero(repeats)) < values.size:
        return _whole(values)
    # a run of a colour begins with the pixel that the others repeat
    begins_order = np.empty(values.size, np.bool_)
    np.greater(repeats[1:], repeats[:-1], out=begins_order[:-1])
    begins_order[-1] = False
    is_run = repeats | begins_order
    begins_order[1:] |= is_ground[1:] != is_ground[:-1]
    begins_order[1:] |= is_run[1:] < is_run[:-1]
    begins_order[0] = True
    begins_order[width : width + 1] |= is_ground[width : width + 1]
    starts = np.flatnonzero(begins_order)
    lengths = lengths_of_runs(starts, values.size)
    is_image = ~(is_ground | is_run)[starts]
    orders = is_run[starts] * np.intp(Order.COLOUR_RUN)
    orders[is_image] = Order.COLOUR_IMAGE
    pixels = _wire(values.take(np.flatnonzero(~(is_ground | repeats))))
    pixel_size = len(_wire(values[:1]))
    heads, head_sizes = _heads(orders, lengths)
    sizes = head_sizes + pixel_size * np.where(is_image, lengths, orders != Order.BACKGROUND_RUN)
    if sizes.sum() > pixel_size * values.size:
        return _whole(values)
    ends = np.cumsum(sizes)
    written = np.empty(int(ends[-1]), np.uint8)
    is_pixel = np.ones(written.size, np.bool_)
    for number in range(3):
        some = np.flatnonzero(head_sizes > number)
        places = (ends - sizes)[some] + number
        written[places] = heads[number, some]
        is_pixel[places] = False
    written[np.flatnonzero(is_pixel)] = np.frombuffer(pixels, np.uint8)
    return written.tobytes()


def _whole(values: Values) -> bytes:
    return _head(Order.COLOUR_IMAGE, values.size) + _wire(values)


def _heads(orders: Places, lengths: Places) -> tuple[NDArray[np.uint8], Places]:
    """The beginnings of orders that draw `lengths` pixels: (3, orders), of which so many bytes count."""
    heads = np.empty((3, orders.size), np.uint8)
    heads[0] = orders << 5 | lengths
    heads[1] = lengths - REGULAR - 1
    short = np.flatnonzero(lengths > REGULAR)
    heads[0, short] = orders[short] << 5
    long = np.flatnonzero(lengths > SHORT)
    heads[0, long] = MEGA_MEGA | orders[long]
    heads[1, long] = lengths[long]
    heads[2, long] = lengths[long] >> 8
    return heads, 1 + (lengths > REGULAR) + (lengths > SHORT).astype(np.intp)
