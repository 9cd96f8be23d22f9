"""Decoders for RFB rectangles, written from the specification only, with Pillow for JPEG.

Each is a generator that yields how many bytes it needs next, is sent exactly those, and returns the pixel
values of its rectangle: (height, width), uint32, as the pixel format in use has them.
"""

import io
import struct
import zlib
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.rfb_wire import PixelFormat

Values = NDArray[np.uint32]
Needs = Generator[int, bytes, Values]


class Broken(Exception):
    """The server sent what the specification does not allow."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise Broken(what)


def pixels_of(data: bytes, pixel_format: PixelFormat) -> Values:
    """Whole PIXELs."""
    return np.frombuffer(data, pixel_format.dtype).astype(np.uint32)


def compact_pixels_of(data: bytes, pixel_format: PixelFormat) -> Values:
    """ZRLE's CPIXELs."""
    kept = pixel_format.compact_bytes
    if kept is None:
        return pixels_of(data, pixel_format)
    whole = np.zeros((len(data) // 3, 4), np.uint8)
    whole[:, kept] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return pixels_of(whole.tobytes(), pixel_format)


def tight_pixels_of(data: bytes, pixel_format: PixelFormat) -> Values:
    """Tight's TPIXELs."""
    if not pixel_format.has_rgb_bytes:
        return pixels_of(data, pixel_format)
    rgb = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.uint32)
    return pixel_format.from_rgb(rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2])


def unpack_indices(data: bytes, width: int, height: int, bits: int) -> NDArray[np.uint8]:
    """Palette indices of `bits` bits, rows padded to whole bytes, most significant bits first."""
    rows = np.frombuffer(data, np.uint8).reshape(height, -1)
    if bits == 8:
        return rows[:, :width]
    single = np.unpackbits(rows, axis=1).reshape(height, -1, bits)
    weights = 1 << np.arange(bits - 1, -1, -1)
    return np.asarray((single * weights).sum(axis=2)[:, :width], np.uint8)


def raw(width: int, height: int, pixel_format: PixelFormat) -> Needs:
    data = yield width * height * pixel_format.bytes_per_pixel
    return pixels_of(data, pixel_format).reshape(height, width)


def hextile(width: int, height: int, pixel_format: PixelFormat) -> Needs:
    area = np.zeros((height, width), np.uint32)
    size = pixel_format.bytes_per_pixel
    background = foreground = None
    for y in range(0, height, 16):
        for x in range(0, width, 16):
            tile = area[y : y + 16, x : x + 16]
            (mask,) = yield 1
            require(mask < 32, f"hextile mask {mask}")
            if mask & 1:
                data = yield tile.size * size
                tile[:] = pixels_of(data, pixel_format).reshape(tile.shape)
                background = foreground = None
                continue
            if mask & 2:
                background = pixels_of((yield size), pixel_format)[0]
            require(background is not None, "hextile background is undefined")
            tile[:] = background
            if mask & 4:
                foreground = pixels_of((yield size), pixel_format)[0]
            if not mask & 8:
                continue
            (count,) = yield 1
            coloured = bool(mask & 16)
            data = yield count * (2 + size * coloured)
            step = 2 + size * coloured
            for start in range(0, len(data), step):
                if coloured:
                    colour = pixels_of(data[start : start + size], pixel_format)[0]
                else:
                    require(foreground is not None, "hextile foreground is undefined")
                    colour = foreground
                position, extent = data[start + step - 2], data[start + step - 1]
                left, top = position >> 4, position & 15
                right, bottom = left + (extent >> 4) + 1, top + (extent & 15) + 1
                require(right <= tile.shape[1] and bottom <= tile.shape[0], "hextile subrectangle outside")
                tile[top:bottom, left:right] = colour
            if coloured:
                foreground = None
    return area


class ZlibStream:
    """One stream of a connection; a rectangle has to inflate to exactly what it needs."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj()

    def inflate(self, data: bytes, limit: int) -> bytes:
        result = self._inflater.decompress(data, limit + 1)
        require(len(result) <= limit, f"more than {limit} bytes inflated")
        require(not self._inflater.unconsumed_tail and not self._inflater.eof, "the zlib stream has ended")
        return result


def zlib_rectangle(width: int, height: int, pixel_format: PixelFormat, stream: ZlibStream) -> Needs:
    (length,) = struct.unpack(">I", (yield 4))
    expected = width * height * pixel_format.bytes_per_pixel
    data = stream.inflate((yield length), expected)
    require(len(data) == expected, f"{len(data)} bytes inflated, not {expected}")
    return pixels_of(data, pixel_format).reshape(height, width)


class _Reader:
    """Bytes of one inflated ZRLE rectangle."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        self.position += count
        require(self.position <= len(self.data), "ZRLE data end too early")
        return self.data[self.position - count : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def run_length(self) -> int:
        length = 1
        while (part := self.byte()) == 255:
            length += 255
        return length + part


def zrle(width: int, height: int, pixel_format: PixelFormat, stream: ZlibStream) -> Needs:
    (length,) = struct.unpack(">I", (yield 4))
    reader = _Reader(stream.inflate((yield length), width * height * 6 + 65536))
    area = np.zeros((height, width), np.uint32)
    for y in range(0, height, 64):
        for x in range(0, width, 64):
            tile = area[y : y + 64, x : x + 64]
            tile[:] = _zrle_tile(reader, tile.shape[1], tile.shape[0], pixel_format)
    require(reader.position == len(reader.data), "ZRLE data are left over")
    return area


def _zrle_tile(reader: _Reader, width: int, height: int, pixel_format: PixelFormat) -> Values:
    size = 3 if pixel_format.compact_bytes else pixel_format.bytes_per_pixel

    def pixels(count: int) -> Values:
        return compact_pixels_of(reader.take(count * size), pixel_format)

    kind = reader.byte()
    if kind == 0:
        return pixels(width * height).reshape(height, width)
    if kind == 1:
        return np.full((height, width), pixels(1)[0], np.uint32)
    if kind <= 16:
        palette = pixels(kind)
        bits = 1 if kind == 2 else 2 if kind <= 4 else 4
        indices = unpack_indices(reader.take(-(-width * bits // 8) * height), width, height, bits)
        require(indices.max() < kind, "ZRLE palette index outside")
        return palette[indices]
    require(kind == 128 or kind >= 130, f"ZRLE subencoding {kind}")
    values, lengths = [], []
    left = width * height
    palette = pixels(kind - 128)
    while left > 0:
        run = 1
        if kind == 128:
            values.append(pixels(1)[0])
            run = reader.run_length()
        else:
            index = reader.byte()
            require(index & 127 < len(palette), "ZRLE palette index outside")
            values.append(palette[index & 127])
            if index & 128:
                run = reader.run_length()
        lengths.append(run)
        left -= run
    require(left == 0, "ZRLE run leaves its tile")
    return np.repeat(np.array(values, np.uint32), lengths).reshape(height, width)


class TightStreams:
    """The four streams of a connection."""

    def __init__(self) -> None:
        self._streams = [ZlibStream() for _ in range(4)]

    def reset(self, mask: int) -> None:
        for number in range(4):
            if mask >> number & 1:
                self._streams[number] = ZlibStream()

    def __getitem__(self, number: int) -> ZlibStream:
        return self._streams[number]


def _compact_length() -> Generator[int, bytes, int]:
    value = 0
    for shift in (0, 7, 14):
        (byte,) = yield 1
        if shift == 14:
            return value | byte << 14
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return value


def tight(
    width: int, height: int, pixel_format: PixelFormat, streams: TightStreams, jpeg_allowed: bool
) -> Needs:
    (control,) = yield 1
    streams.reset(control & 15)
    kind = control >> 4
    size = 3 if pixel_format.has_rgb_bytes else pixel_format.bytes_per_pixel
    if kind == 8:
        return np.full((height, width), tight_pixels_of((yield size), pixel_format)[0], np.uint32)
    require(width <= 2048, f"Tight rectangle {width} wide")
    if kind == 9:
        require(jpeg_allowed and pixel_format.bits_per_pixel != 8, "JPEG that nobody asked for")
        length = yield from _compact_length()
        return jpeg((yield length), width, height, pixel_format)
    require(kind < 8, f"Tight compression control {control:#x}")
    palette = None
    filter_kind = (yield 1)[0] if kind & 4 else 0
    require(filter_kind < 3, f"Tight filter {filter_kind}")
    bits = size * 8
    if filter_kind == 1:
        count = (yield 1)[0] + 1
        require(count > 1, "Tight palette of one colour")
        palette = tight_pixels_of((yield count * size), pixel_format)
        bits = 1 if count == 2 else 8
    expected = -(-width * bits // 8) * height
    if expected < 12:
        data = yield expected
    else:
        length = yield from _compact_length()
        data = streams[kind & 3].inflate((yield length), expected)
        require(len(data) == expected, f"{len(data)} bytes inflated, not {expected}")
    if palette is not None:
        indices = unpack_indices(data, width, height, bits)
        require(indices.max() < len(palette), "Tight palette index outside")
        return palette[indices]
    if filter_kind == 2:
        return _gradient(data, width, height, pixel_format)
    return tight_pixels_of(data, pixel_format).reshape(height, width)


def _gradient(data: bytes, width: int, height: int, pixel_format: PixelFormat) -> Values:
    maxima = np.array([pixel_format.red_max, pixel_format.green_max, pixel_format.blue_max])
    shifts = (pixel_format.red_shift, pixel_format.green_shift, pixel_format.blue_shift)
    values = tight_pixels_of(data, pixel_format).reshape(height, width)
    difference = np.stack(
        [values >> shift & top for shift, top in zip(shifts, maxima, strict=True)], -1
    ).astype(int)
    result = np.zeros((height + 1, width + 1, 3), int)
    for y in range(height):
        for x in range(width):
            guess = np.clip(result[y + 1, x] + result[y, x + 1] - result[y, x], 0, maxima)
            result[y + 1, x + 1] = (guess + difference[y, x]) & maxima
    channels = result[1:, 1:].astype(np.uint32)
    return np.asarray(sum(channels[..., index] << shift for index, shift in enumerate(shifts)), np.uint32)


def jpeg(data: bytes, width: int, height: int, pixel_format: PixelFormat) -> Values:
    """A whole JFIF picture of exactly that size."""
    with Image.open(io.BytesIO(data)) as picture:
        require(picture.format == "JPEG" and picture.size == (width, height), f"JPEG of {picture.size}")
        rgb = np.asarray(picture.convert("RGB")).astype(np.uint32)
    return pixel_format.from_rgb(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])
