"""ZRLE tiles of a picture of at most 16 colours, made from one byte a pixel instead of four."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import sampled
from sidecar.encode.palette import candidates, find_palette, two_colours
from sidecar.encode.pixel_form import PixelForm
from sidecar.encode.scratch import scratch
from sidecar.encode.tiles import tile_groups
from sidecar.screen.surface import Pixels

SOLID: Final = b"\x01"
TWO_COLOURS: Final = b"\x02"
MAX_PACKED: Final = 16

Indices = NDArray[np.uint8]


def indexed(pixels: Pixels) -> tuple[Pixels, Indices] | None:
    """The colours of `pixels` ((height, width), contiguous), and their indices; None above 16 colours."""
    sample = sampled(pixels.reshape(-1))
    if len(sample) <= 2 and (two := two_colours(pixels)) is not None:
        return two[0], two[1].view(np.uint8)
    if len(sample) > MAX_PACKED:
        return None
    palette = find_palette(sample, candidates(pixels), MAX_PACKED)
    if palette is None:
        return None
    colours, indices = palette.compact(palette.index(pixels), MAX_PACKED)
    return colours, indices.reshape(pixels.shape)


def write(written: list[bytes], colours: Pixels, indices: Indices, edge: int, form: PixelForm) -> None:
    """Puts every tile's bytes into its place among those `written`."""
    cpixels = form.cpixels(colours).tobytes()
    size = form.cpixel_size
    palette = [cpixels[begin : begin + size] for begin in range(0, len(cpixels), size)]
    for group in tile_groups(indices, edge):
        rows, height, columns, width = group.pixels.shape
        tiles = scratch("index tiles", (rows, columns, height, width), np.uint8)
        np.copyto(tiles, group.pixels.transpose(0, 2, 1, 3))
        for place, tile in zip(
            group.places.tolist(), _tiles(tiles.reshape(-1, height, width), palette), strict=True
        ):
            written[place] = tile


def _tiles(tiles: Indices, palette: list[bytes]) -> list[bytes]:
    """Every tile (count, height, width): solid, of two colours, or packed with the whole palette."""
    count = len(tiles)
    firsts = tiles[:, 0, 0]
    # differences from a tile's first pixel: 0, and for two colours one other value
    differences = np.bitwise_xor(
        tiles, firsts[:, np.newaxis, np.newaxis], out=scratch("differences", tiles.shape, np.uint8)
    )
    largest = differences.reshape(count, -1).max(axis=1)
    written = [SOLID + palette[first] for first in firsts.tolist()]
    if not largest.any():
        return written
    mask = scratch("mask", tiles.shape, np.bool_)
    bits = packed_bits(np.not_equal(differences, 0, out=mask))
    has_two = largest != 0
    if len(palette) > 2:
        same = bits == packed_bits(np.equal(differences, largest[:, np.newaxis, np.newaxis], out=mask))
        has_two &= same.reshape(count, -1).all(axis=1)
    for tile in np.flatnonzero(has_two).tolist():
        first = int(firsts[tile])
        colours = palette[first] + palette[first ^ int(largest[tile])]
        written[tile] = TWO_COLOURS + colours + bits[tile].tobytes()
    others = np.flatnonzero((largest != 0) & ~has_two)
    if others.size:
        head = bytes((len(palette),)) + b"".join(palette)
        selected = tiles
        if others.size < count:
            selected = scratch("selected", (others.size, *tiles.shape[1:]), np.uint8)
            tiles.take(others, axis=0, out=selected, mode="clip")
        rows = packed_indices(selected, 2 if len(palette) <= 4 else 4)
        for tile, row in zip(others.tolist(), rows, strict=True):
            written[tile] = head + row
    return written


def packed_bits(mask: NDArray[np.bool_]) -> Indices:
    """(count, height, width) to one bit a pixel, the first in the highest; rows begin on a byte."""
    if mask.shape[2] % 8:
        return np.packbits(mask, axis=2)
    return np.packbits(mask).reshape(*mask.shape[:2], -1)


def packed_indices(indices: NDArray[np.uint8], bits: int) -> list[bytes]:
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
    shifted = scratch("shifted", words.shape, word)
    packed = np.left_shift(words, word(8 - bits), out=scratch("packed", words.shape, word))
    for place in range(1, per_byte):
        shift = 8 - bits * (place + 1) - 8 * place
        if shift > 0:
            packed |= np.left_shift(words, word(shift), out=shifted)
        else:
            packed |= np.right_shift(words, word(-shift), out=shifted)
    return [tile.tobytes() for tile in packed.astype(np.uint8)]
