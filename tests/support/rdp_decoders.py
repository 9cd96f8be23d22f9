"""RDP bitmap decoders written from the specifications. They share nothing with the encoders that they check.

They take the bytes and the size of the picture, return canonical pixels ((height, width), 0x00RRGGBB, from
the top down) or, for less than 24 bits per pixel, pixel values, and raise AssertionError for anything that a
strict client may refuse: too few bytes, bytes left over, pixels outside the picture or never drawn.
"""

import struct

import numpy as np

UNDRAWN = -1


class Stream:
    """Bytes that are read from the front; too few are an error."""

    def __init__(self, data):
        self.data = bytes(data)
        self.position = 0

    def take(self, count):
        part = self.data[self.position : self.position + count]
        assert len(part) == count, "the data ends too early"
        self.position += count
        return part

    def unpack(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def byte(self):
        return self.take(1)[0]

    def colour(self):
        """Blue, green, red."""
        return int.from_bytes(self.take(3), "little")

    def length(self):
        """MS-RDPEGFX runLengthFactor1 to 3."""
        length = self.byte()
        if length == 0xFF:
            (length,) = self.unpack("H")
            if length == 0xFFFF:
                (length,) = self.unpack("I")
        return length

    @property
    def is_at_end(self):
        return self.position == len(self.data)

    def finish(self):
        assert self.is_at_end, "bytes are left over"


class ClearCodec:
    """MS-RDPEGFX 3.3.8.1: one connection's decoder, with its caches. Glyphs and NSCodec are not taken."""

    GLYPH_INDEX = 1
    GLYPH_HIT = 2
    CACHE_RESET = 4

    def __init__(self):
        self.next_sequence_number = 0
        self.bars = {}
        self.short_bars = {}
        self.bar_cursor = self.short_bar_cursor = 0

    def decode(self, data, width, height):
        """A whole CLEARCODEC_BITMAP_STREAM."""
        stream = Stream(data)
        flags, number = stream.unpack("BB")
        assert number == self.next_sequence_number
        self.next_sequence_number = (number + 1) % 256
        assert not flags & ~self.CACHE_RESET, "glyphs are not decoded here"
        if flags & self.CACHE_RESET:
            self.bar_cursor = self.short_bar_cursor = 0
        return self.decode_payload(stream.take(len(stream.data) - 2), width, height)

    def decode_payload(self, data, width, height):
        """A CLEARCODEC_COMPOSITE_PAYLOAD."""
        stream = Stream(data)
        residual, bands, subcodecs = stream.unpack("III")
        picture = np.full((height, width), UNDRAWN, np.int64)
        if residual:
            self._residual(Stream(stream.take(residual)), picture)
        if bands:
            self._bands(Stream(stream.take(bands)), picture)
        if subcodecs:
            self._subcodecs(Stream(stream.take(subcodecs)), picture)
        stream.finish()
        assert (picture != UNDRAWN).all(), "pixels are missing"
        return picture

    @staticmethod
    def _residual(stream, picture):
        pixels = []
        while not stream.is_at_end:
            colour = stream.colour()
            length = stream.length()
            assert length, "a run of nothing"
            pixels += [colour] * length
        assert len(pixels) == picture.size, "the residual layer is not as large as the picture"
        picture[:] = np.array(pixels).reshape(picture.shape)

    def _bands(self, stream, picture):
        while not stream.is_at_end:
            left, right, top, bottom = stream.unpack("HHHH")
            background = stream.colour()
            height = bottom - top + 1
            assert left <= right < picture.shape[1]
            assert top <= bottom < picture.shape[0]
            assert height <= 52
            for column in range(left, right + 1):
                picture[top : bottom + 1, column] = self._bar(stream, height, background)

    def _bar(self, stream, height, background):
        (header,) = stream.unpack("H")
        if header & 0x8000:
            bar = self.bars[header & 0x7FFF]
            assert len(bar) == height
            return bar
        if header & 0x4000:
            short = self.short_bars[header & 0x3FFF]
            above = stream.byte()
        else:
            above, below = header & 0xFF, header >> 8 & 0x3F
            assert above <= below <= height
            short = [stream.colour() for _ in range(below - above)]
            self.short_bars[self.short_bar_cursor] = short
            self.short_bar_cursor = (self.short_bar_cursor + 1) % 16384
        assert above + len(short) <= height
        bar = [background] * above + short + [background] * (height - above - len(short))
        self.bars[self.bar_cursor] = bar
        self.bar_cursor = (self.bar_cursor + 1) % 32768
        return bar

    @staticmethod
    def _subcodecs(stream, picture):
        drawn = np.zeros(picture.shape, np.bool_)
        while not stream.is_at_end:
            x, y, width, height, size, subcodec = stream.unpack("HHHHIB")
            assert x + width <= picture.shape[1]
            assert y + height <= picture.shape[0]
            assert 0 < size <= 3 * width * height
            assert not drawn[y : y + height, x : x + width].any(), "parts overlap"
            drawn[y : y + height, x : x + width] = True
            part = Stream(stream.take(size))
            if subcodec == 0:
                pixels = [part.colour() for _ in range(width * height)]
            else:
                assert subcodec == 2
                pixels = _rlex(part, width * height)
            part.finish()
            picture[y : y + height, x : x + width] = np.array(pixels).reshape(height, width)


def _rlex(stream, area):
    """MS-RDPEGFX 2.2.4.1.1.3.1.1."""
    count = stream.byte()
    assert 1 <= count <= 127
    palette = [stream.colour() for _ in range(count)]
    bits = max((count - 1).bit_length(), 1)
    pixels = []
    while not stream.is_at_end:
        first = stream.byte()
        stop, depth = first & (1 << bits) - 1, first >> bits
        start = stop - depth
        assert 0 <= start <= stop < count
        pixels += [palette[start]] * stream.length()
        pixels += palette[start : stop + 1]
    assert len(pixels) == area, "a run leaves the part"
    return pixels


def planar(data, width, height, bottom_up=False):
    """MS-RDPEGDI 2.2.2.5.1 and 3.1.9: RDP6_BITMAP_STREAM of red, green and blue; alpha must be 255."""
    stream = Stream(data)
    header = stream.byte()
    assert not header & ~0x30, "neither colour loss nor subsampling is decoded here"
    is_coded, has_alpha = header & 0x10, not header & 0x20

    def plane():
        if is_coded:
            return _coded_plane(stream, width, height)
        return np.frombuffer(stream.take(width * height), np.uint8).reshape(height, width)

    if has_alpha:
        assert (plane() == 0xFF).all()
    picture = np.zeros((height, width), np.int64)
    for shift in (16, 8, 0):
        picture |= plane().astype(np.int64) << shift
    if not is_coded:
        assert stream.take(1) == b"\0"
    stream.finish()
    return picture[::-1] if bottom_up else picture


def _coded_plane(stream, width, height):
    rows = [_coded_row(stream, width) for _ in range(height)]
    plane = np.array(rows, np.int64)
    # all rows but the first are differences from the one above, with the sign in the lowest bit
    differences = np.where(plane[1:] & 1, -(plane[1:] + 1 >> 1), plane[1:] >> 1)
    plane[1:] = differences
    return plane.cumsum(axis=0) & 0xFF


def _coded_row(stream, width):
    row = []
    last = 0
    while len(row) < width:
        control = stream.byte()
        assert control, "a segment of nothing"
        run, raw = control & 15, control >> 4
        if run in (1, 2):
            run, raw = 16 * run + raw, 0
        if raw:
            values = stream.take(raw)
            last = values[-1]
            row += values
        row += [last] * run
    assert len(row) == width, "a run leaves its row"
    return row


def raw_bitmap(data, width, height, bits):
    """MS-RDPBCGR 2.2.9.1.1.3.1.2.2: uncompressed, from the bottom up, rows padded to four bytes."""
    stream = Stream(data)
    size = (bits + 7) // 8
    rows = []
    for _ in range(height):
        rows.append([int.from_bytes(stream.take(size), "little") for _ in range(width)])
        stream.take(-width * size % 4)
    stream.finish()
    return np.array(rows, np.int64)[::-1]


def interleaved(data, width, height, bits):
    """MS-RDPBCGR 2.2.9.1.1.3.1.2.4 and 3.1.9: RLE_BITMAP_STREAM of 15, 16 or 24 bits per pixel."""
    decoder = _Interleaved(data, width, height, bits)
    decoder.run()
    return np.array(decoder.pixels, np.int64).reshape(height, width)[::-1]


class _Interleaved:
    """Draws order after order; `pixels` are those drawn so far."""

    def __init__(self, data, width, height, bits):
        self.stream = Stream(data)
        self.width = width
        self.area = width * height
        self.size = (bits + 7) // 8
        self.pixels = []
        self.is_first_line = True
        self.foreground = (1 << 8 * self.size) - 1

    def pixel(self):
        return int.from_bytes(self.stream.take(self.size), "little")

    def run(self):
        needs_foreground = False
        while not self.stream.is_at_end:
            if self.is_first_line and len(self.pixels) >= self.width:
                self.is_first_line = needs_foreground = False
            header = self.stream.byte()
            kind, length = self._kind_and_length(header)
            begin = len(self.pixels)
            if kind == "background run":
                if needs_foreground:
                    self.pixels.append(self._above() ^ self.foreground)
                    length -= 1
                for _ in range(length):
                    self.pixels.append(self._above())
            else:
                self._draw(kind, length)
            needs_foreground = kind == "background run"
            assert len(self.pixels) > begin, "an order that draws nothing"
            assert len(self.pixels) <= self.area, "an order leaves the picture"
        assert len(self.pixels) == self.area, "pixels are missing"

    def _above(self):
        return 0 if self.is_first_line else self.pixels[-self.width]

    def _bits(self, mask, count):
        for place in range(count):
            self.pixels.append(self._above() ^ (self.foreground if mask >> place & 1 else 0))

    def _draw(self, kind, length):
        if kind.startswith("set "):
            self.foreground = self.pixel()
            kind = kind.removeprefix("set ")
        if kind == "foreground run":
            for _ in range(length):
                self.pixels.append(self._above() ^ self.foreground)
        elif kind == "colour run":
            self.pixels += [self.pixel()] * length
        elif kind == "colour image":
            self.pixels += [self.pixel() for _ in range(length)]
        elif kind == "dithered run":
            self.pixels += [self.pixel(), self.pixel()] * length
        elif kind == "image":
            for done in range(0, length, 8):
                self._bits(self.stream.byte(), min(8, length - done))
        elif kind == "special":
            self._bits(length, 8)
        else:
            assert kind == "pixel"
            self.pixels.append(length)

    def _kind_and_length(self, header):
        if header >= 0xF0:
            special = {0xF9: ("special", 3), 0xFA: ("special", 5), 0xFE: ("pixel", 0)}
            special[0xFD] = ("pixel", (1 << 8 * self.size) - 1)
            if header in special:
                return special[header]
            kind = {
                0xF0: "background run",
                0xF1: "foreground run",
                0xF2: "image",
                0xF3: "colour run",
                0xF4: "colour image",
                0xF6: "set foreground run",
                0xF7: "set image",
                0xF8: "dithered run",
            }[header]
            return kind, self.stream.unpack("H")[0]
        if header >= 0xC0:
            kind = {0xC: "set foreground run", 0xD: "set image", 0xE: "dithered run"}[header >> 4]
            length, more = header & 15, 16
        else:
            kinds = ("background run", "foreground run", "image", "colour run", "colour image")
            kind = kinds[header >> 5]
            length, more = header & 31, 32
        if kind.endswith("image") and not kind.startswith("colour"):
            return kind, 8 * length if length else self.stream.byte() + 1
        return kind, length or self.stream.byte() + more
