"""The pointer's picture and place, as clients take them (MS-RDPBCGR 2.2.9.1.1.4, 2.2.9.1.2.1.5 to 11).

Pictures go from the bottom up: a XOR mask of colours and an AND mask of one bit for each pixel, set where the
screen shows through. Where a picture is transparent its colour is 0, so that nothing is inverted.
"""

import struct
from collections import OrderedDict
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.rdp import share_data
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.fast_path import MAX_FRAGMENT, UpdateCode
from sidecar.screen.cursor import Cursor

SMALL_EDGE: Final = 32
"""Pixels of a picture's edges that every client takes; smaller ones are padded, as servers do."""

NEW_EDGE: Final = 96
"""Pixels of the edges of a new-style or colour pointer, at most."""

LARGE_EDGE: Final = 384
"""Pixels of the edges of a large pointer, at most."""

MAX_SLOTS: Final = 20
"""Slots of a client's cache that are used: as many as the usual clients have."""

_ALIGNMENT = 16
"""With edges of a multiple of this the rows of both masks end where the specification wants them to."""

_NEW = struct.Struct("<H")
_ATTRIBUTE = struct.Struct("<7H")
_LARGE_ATTRIBUTE = struct.Struct("<6H2I")
_POSITION = struct.Struct("<HH")
_INDEX = struct.Struct("<H")
_LARGEST_HEADER = max(_NEW.size + _ATTRIBUTE.size, _LARGE_ATTRIBUTE.size)
_SLOW_PATH_HEADER = 4
_FRAGMENT_HEADER = 3

_HALF_OPAQUE = np.uint32(0x80000000)
_COLOUR = np.uint32(0x00FFFFFF)

Words = NDArray[np.uint32]


class PointerUpdate(NamedTuple):
    """One update: `fast_path.update` and `slow_path.update` make PDUs of it."""

    code: UpdateCode
    payload: bytes


class PointerCache:
    """What one client shows as its pointer: pictures are sent once, as long as the client keeps them.

    Pictures are told apart by their pixels and hot spot, so that a guest may define the same one again.
    Those that are larger than the client takes are scaled down.
    """

    __slots__ = ("_edge", "_is_new_style", "_slots", "_used")

    def __init__(self, capabilities: ClientCapabilities) -> None:
        self._is_new_style = capabilities.pointer_cache_size > 0
        self._edge = _largest_edge(capabilities)
        size = capabilities.pointer_cache_size or capabilities.colour_pointer_cache_size
        self._slots = min(size, MAX_SLOTS)
        self._used: OrderedDict[bytes, int] = OrderedDict()
        """Picture -> slot, the one that was shown last at the end."""

    def update(self, cursor: Cursor | None) -> PointerUpdate:
        """What shows `cursor` from now on; None hides the pointer."""
        if cursor is None or not cursor.pixels.size:
            return hidden()
        key = _key(cursor)
        slot = self._used.get(key)
        if slot is not None:
            self._used.move_to_end(key)
            return cached(slot)
        if len(self._used) < self._slots:
            slot = len(self._used)
        else:
            slot = self._used.popitem(last=False)[1] if self._used else 0
        if self._slots:
            self._used[key] = slot
        fitting = fitted(cursor, self._edge)
        if not self._is_new_style:
            return colour_pointer(fitting, slot)
        if max(fitting.width, fitting.height) > NEW_EDGE:
            return large_pointer(fitting, slot)
        return new_pointer(fitting, slot)


def hidden() -> PointerUpdate:
    """No pointer at all."""
    return PointerUpdate(UpdateCode.PTR_NULL, b"")


def default() -> PointerUpdate:
    """The client's own arrow."""
    return PointerUpdate(UpdateCode.PTR_DEFAULT, b"")


def position(x: int, y: int) -> PointerUpdate:
    """The pointer is moved by the server. Pixels, U16."""
    return PointerUpdate(UpdateCode.PTR_POSITION, _POSITION.pack(x, y))


def cached(slot: int) -> PointerUpdate:
    """A picture that the client has."""
    return PointerUpdate(UpdateCode.CACHED, _INDEX.pack(slot))


def colour_pointer(cursor: Cursor, slot: int) -> PointerUpdate:
    """TS_COLORPOINTERATTRIBUTE: 24 bits per pixel; what is less than half opaque is transparent.

    `cursor`: edges of at most 96 pixels.
    """
    pixels = _padded(cursor)
    shown = pixels >= _HALF_OPAQUE
    colours = np.where(shown, pixels & _COLOUR, np.uint32(0))
    xor_mask = colours.astype("<u4").view(np.uint8).reshape(*colours.shape, 4)[:, :, :3].tobytes()
    return PointerUpdate(UpdateCode.COLOR, _attribute(cursor, slot, pixels, xor_mask, ~shown))


def new_pointer(cursor: Cursor, slot: int) -> PointerUpdate:
    """TS_POINTERATTRIBUTE: 32 bits per pixel with alpha. `cursor`: edges of at most 96 pixels."""
    pixels, transparent = _with_alpha(cursor)
    attribute = _attribute(cursor, slot, pixels, pixels.astype("<u4").tobytes(), transparent)
    return PointerUpdate(UpdateCode.POINTER, _NEW.pack(32) + attribute)


def large_pointer(cursor: Cursor, slot: int) -> PointerUpdate:
    """TS_FP_LARGEPOINTERATTRIBUTE: 32 bits per pixel with alpha. `cursor`: edges of at most 384 pixels."""
    pixels, transparent = _with_alpha(cursor)
    height, width = pixels.shape
    xor_mask = pixels.astype("<u4").tobytes()
    and_mask = np.packbits(transparent, axis=1).tobytes()
    header = _LARGE_ATTRIBUTE.pack(
        32, slot, cursor.hot_x, cursor.hot_y, width, height, len(and_mask), len(xor_mask)
    )
    return PointerUpdate(UpdateCode.LARGE_POINTER, header + xor_mask + and_mask)


def fitted(cursor: Cursor, edge: int) -> Cursor:
    """The cursor, scaled down by a whole number where an edge of it has more than `edge` pixels."""
    factor = -(-max(cursor.width, cursor.height) // edge)
    if factor == 1:
        return cursor
    rows, columns = -(-cursor.height // factor), -(-cursor.width // factor)
    whole = np.zeros((rows * factor, columns * factor), np.uint32)
    whole[: cursor.height, : cursor.width] = cursor.pixels
    blocks = whole.reshape(rows, factor, columns, factor)
    alpha = blocks >> np.uint32(24)
    weight = alpha.sum(axis=(1, 3), dtype=np.uint32)
    pixels = (weight // np.uint32(factor * factor)) << np.uint32(24)
    divisor = np.maximum(weight, np.uint32(1))
    for shift in (np.uint32(0), np.uint32(8), np.uint32(16)):
        channel = ((blocks >> shift & np.uint32(255)) * alpha).sum(axis=(1, 3), dtype=np.uint32)
        pixels |= (channel // divisor) << shift
    return Cursor(pixels, cursor.hot_x // factor, cursor.hot_y // factor)


def _attribute(
    cursor: Cursor, slot: int, pixels: Words, xor_mask: bytes, transparent: NDArray[np.bool_]
) -> bytes:
    """TS_COLORPOINTERATTRIBUTE, without the padding that nobody needs."""
    height, width = pixels.shape
    and_mask = np.packbits(transparent, axis=1).tobytes()
    header = _ATTRIBUTE.pack(slot, cursor.hot_x, cursor.hot_y, width, height, len(and_mask), len(xor_mask))
    return header + xor_mask + and_mask


def _padded(cursor: Cursor) -> Words:
    """From the bottom up, with transparent pixels at the right and the bottom."""
    height, width = (max(SMALL_EDGE, -(-edge // _ALIGNMENT) * _ALIGNMENT) for edge in cursor.pixels.shape)
    pixels = np.zeros((height, width), np.uint32)
    pixels[height - cursor.height :, : cursor.width] = cursor.pixels[::-1]
    return pixels


def _with_alpha(cursor: Cursor) -> tuple[Words, NDArray[np.bool_]]:
    """`_padded` with 0 wherever nothing is shown, and where that is."""
    pixels = _padded(cursor)
    transparent = pixels >> np.uint32(24) == 0
    pixels[transparent] = 0
    return pixels, transparent


def _largest_edge(capabilities: ClientCapabilities) -> int:
    """Pixels of the edges of a picture that the client takes in one update."""
    if capabilities.fast_path_output:
        fragments = -(-capabilities.max_request_size // MAX_FRAGMENT)
        room = max(MAX_FRAGMENT, capabilities.max_request_size - fragments * _FRAGMENT_HEADER)
    else:
        room = share_data.MAX_PAYLOAD - _SLOW_PATH_HEADER
    allowed = max(SMALL_EDGE, capabilities.large_pointers)
    if not capabilities.pointer_cache_size:
        allowed = min(allowed, NEW_EDGE)
    # four bytes and one bit for each pixel
    fits = int(((room - _LARGEST_HEADER) * 8 / 33) ** 0.5)
    return min(allowed, LARGE_EDGE, fits // _ALIGNMENT * _ALIGNMENT)


def _key(cursor: Cursor) -> bytes:
    digest = blake2b(struct.pack("<4I", *cursor.pixels.shape, cursor.hot_x, cursor.hot_y), digest_size=16)
    digest.update(np.ascontiguousarray(cursor.pixels).data)
    return digest.digest()
