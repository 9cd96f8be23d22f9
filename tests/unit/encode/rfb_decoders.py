"""RFB decoders written from the specification, to check the encoders against. They return pixel values.

Nothing here is shared with `sidecar.encode`: forms come as plain numbers.
"""

import io
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass
class Wire:
    """A client's PIXEL_FORMAT."""

    bits: int
    depth: int
    big_endian: bool
    true_colour: bool
    maxima: tuple[int, int, int]
    shifts: tuple[int, int, int]

    def expected(self, canonical):
        """What each canonical pixel should be, by plain arithmetic."""
        values = np.zeros(canonical.shape, np.int64)
        for place, maximum, shift in zip((16, 8, 0), self.maxima, self.shifts, strict=True):
            channel = canonical.astype(np.int64) >> place & 255
            # fewer bits keep the upper ones, more bits are stretched to the nearest
            scaled = channel * (maximum + 1) // 256 if maximum < 256 else (channel * maximum * 2 + 255) // 510
            values |= scaled << shift
        return values

    def pixel(self, stream):
        return int.from_bytes(stream.take(self.bits // 8), "big" if self.big_endian else "little")

    def compact(self, stream):
        used = 0
        for maximum, shift in zip(self.maxima, self.shifts, strict=True):
            used |= maximum << shift
        if not self.true_colour or self.bits != 32 or self.depth > 24:
            return self.pixel(stream)
        if used <= 0xFFFFFF:
            return int.from_bytes(stream.take(3), "big" if self.big_endian else "little")
        if used & 0xFF == 0:
            return int.from_bytes(stream.take(3), "big" if self.big_endian else "little") << 8
        return self.pixel(stream)

    def tight(self, stream):
        if not (self.true_colour and self.bits == 32 and self.depth == 24 and self.maxima == (255, 255, 255)):
            return self.pixel(stream)
        red, green, blue = stream.take(3)
        return red << self.shifts[0] | green << self.shifts[1] | blue << self.shifts[2]


class Stream:
    """Bytes that are read from the front; too few are an error."""

    def __init__(self, data):
        self.data = data
        self.position = 0

    def take(self, count):
        part = self.data[self.position : self.position + count]
        assert len(part) == count, "the data ends too early"
        self.position += count
        return part

    def byte(self):
        return self.take(1)[0]

    def finish(self):
        assert self.position == len(self.data), "bytes are left over"


def tiles(width, height, edge):
    for y in range(0, height, edge):
        for x in range(0, width, edge):
            yield x, y, min(edge, width - x), min(edge, height - y)


def raw(data, width, height, wire):
    stream = Stream(data)
    picture = np.array([wire.pixel(stream) for _ in range(width * height)]).reshape(height, width)
    stream.finish()
    return picture


def hextile(data, width, height, wire):
    stream = Stream(data)
    picture = np.full((height, width), -1, np.int64)
    background = foreground = None
    for x, y, w, h in tiles(width, height, 16):
        mask = stream.byte()
        assert mask < 32
        tile = picture[y : y + h, x : x + w]
        if mask & 1:
            assert mask == 1
            tile[:] = np.array([wire.pixel(stream) for _ in range(w * h)]).reshape(h, w)
            background = foreground = None
            continue
        if mask & 2:
            background = wire.pixel(stream)
        if mask & 4:
            assert not mask & 16
            foreground = wire.pixel(stream)
        assert background is not None
        tile[:] = background
        if mask & 8:
            for _ in range(stream.byte()):
                colour = wire.pixel(stream) if mask & 16 else foreground
                assert colour is not None
                place, size = stream.take(2)
                left, top = place >> 4, place & 15
                right, bottom = left + (size >> 4) + 1, top + (size & 15) + 1
                assert right <= w
                assert bottom <= h
                tile[top:bottom, left:right] = colour
        if mask & 16:
            foreground = None
    stream.finish()
    return picture


def zrle(data, width, height, wire):
    """`data`: inflated."""
    stream = Stream(data)
    picture = np.full((height, width), -1, np.int64)
    for x, y, w, h in tiles(width, height, 64):
        picture[y : y + h, x : x + w] = np.array(_zrle_tile(stream, w, h, wire)).reshape(h, w)
    stream.finish()
    return picture


def _zrle_tile(stream, w, h, wire):
    kind = stream.byte()
    assert kind not in (*range(17, 128), 129)
    if kind == 0:
        return [wire.compact(stream) for _ in range(w * h)]
    if kind == 1:
        return [wire.compact(stream)] * (w * h)
    if kind <= 16:
        palette = [wire.compact(stream) for _ in range(kind)]
        bits = 1 if kind == 2 else 2 if kind <= 4 else 4
        pixels = []
        for _ in range(h):
            row = stream.take((w * bits + 7) // 8)
            number = int.from_bytes(row, "big")
            for column in range(w):
                index = number >> (len(row) * 8 - bits * (column + 1)) & (1 << bits) - 1
                pixels.append(palette[index])
        return pixels
    pixels = []
    palette = [wire.compact(stream) for _ in range(kind - 128)]
    while len(pixels) < w * h:
        if kind == 128:
            colour, long = wire.compact(stream), True
        else:
            index = stream.byte()
            colour, long = palette[index & 127], index >= 128
        length = 1
        while long:
            more = stream.byte()
            length += more
            long = more == 255
        pixels += [colour] * length
    assert len(pixels) == w * h, "a run leaves its tile"
    return pixels


class TightClient:
    """The four zlib streams of a connection."""

    def __init__(self):
        self.streams = [None] * 4

    def decode(self, data, width, height, wire):
        """Pixel values; for JPEG (height, width, 3) red, green, blue."""
        stream = Stream(data)
        control = stream.byte()
        for number in range(4):
            if control >> number & 1:
                self.streams[number] = None
        kind = control >> 4
        if kind == 8:
            picture = np.full((height, width), wire.tight(stream))
        elif kind == 9:
            assert wire.bits != 8
            picture = np.array(Image.open(io.BytesIO(stream.take(self._length(stream)))).convert("RGB"))
        else:
            assert kind < 8, "not a compression that was agreed on"
            picture = self._basic(stream, kind, width, height, wire)
        stream.finish()
        return picture

    def _basic(self, stream, kind, width, height, wire):
        filter_number = stream.byte() if kind & 4 else 0
        palette = []
        if filter_number == 1:
            palette = [wire.tight(stream) for _ in range(stream.byte() + 1)]
            assert len(palette) > 1
            row = (width + 7) // 8 if len(palette) == 2 else width
        else:
            assert filter_number == 0
            probe = Stream(bytes(4))
            wire.tight(probe)
            row = width * probe.position
        content = Stream(self._content(stream, kind & 3, row * height))
        if not palette:
            pixels = [wire.tight(content) for _ in range(width * height)]
        elif len(palette) > 2:
            pixels = [palette[index] for index in content.take(width * height)]
        else:
            pixels = []
            for _ in range(height):
                bits = content.take(row)
                pixels += [palette[bits[column // 8] >> (7 - column % 8) & 1] for column in range(width)]
        content.finish()
        return np.array(pixels).reshape(height, width)

    def _content(self, stream, number, size):
        if size < 12:
            return stream.take(size)
        if self.streams[number] is None:
            self.streams[number] = zlib.decompressobj()
        inflater = self.streams[number]
        data = inflater.decompress(stream.take(self._length(stream)))
        assert not inflater.eof, "the stream must not end"
        assert len(data) == size
        return data

    @staticmethod
    def _length(stream):
        length = 0
        for shift in (0, 7, 14):
            byte = stream.byte()
            if shift == 14:
                return length | byte << shift
            length |= (byte & 127) << shift
            if byte < 128:
                break
        return length
