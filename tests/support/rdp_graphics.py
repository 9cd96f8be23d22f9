"""A client's side of drdynvc and of the graphics pipeline, written from MS-RDPEDYC and MS-RDPEGFX only.

It takes what the server sends apart, from static channel messages down to pixels, and is strict: what the
specifications do not allow raises Broken.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint32]
"""(height, width), 0x00RRGGBB."""

Area = tuple[int, int, int, int]
"""left, top, right, bottom, the latter two exclusive."""

Decoder = Callable[[bytes, Picture, Area], None]
"""Paints bitmapData into a surface, in an area of it."""

MAX_DVC_PDU = 1600


class Broken(Exception):
    """The server sent what the specification does not allow."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise Broken(what)


class Fields:
    """Little-endian fields from the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        require(0 <= count <= self.left, f"{count} bytes wanted where {self.left} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def of(self, layout: str) -> tuple[int, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def end(self) -> None:
        require(self.left == 0, f"{self.left} bytes too many")


@dataclass
class ChunkCollector:
    """A ChannelSender that keeps the messages of the static channel, one by one."""

    messages: list[bytes] = field(default_factory=list)

    def send(self, message: bytes) -> None:
        self.messages.append(bytes(message))

    def send_slices(self, header: bytes, payload: bytes | memoryview, size: int) -> None:
        payload = bytes(payload)
        self.messages += [header + payload[at : at + size] for at in range(0, len(payload), size)]

    def taken(self) -> list[bytes]:
        messages, self.messages = self.messages, []
        return messages


class DynamicChannelReader:
    """Puts the messages of dynamic channels together; remembers what was asked for and closed."""

    def __init__(self, max_pdu: int = MAX_DVC_PDU) -> None:
        self.max_pdu = max_pdu
        self.version: int | None = None
        self.asked: dict[int, str] = {}
        """Names by number, as the server asked for them."""
        self.closed: set[int] = set()
        self._partial: dict[int, tuple[int, bytearray]] = {}

    def feed(self, message: bytes) -> tuple[int, bytes] | None:
        """Takes a message of the static channel; the number and the message of a dynamic one, when whole."""
        require(len(message) <= self.max_pdu, f"a DVC PDU of {len(message)} bytes")
        pdu = Fields(message)
        (first,) = pdu.of("B")
        command, extra, size = first >> 4, first >> 2 & 3, first & 3
        if command == 5:
            _, self.version = pdu.of("BH")
            pdu.of("4H" if self.version > 1 else "")
            pdu.end()
            return None
        number = self._sized(pdu, size)
        if command == 1:
            name = pdu.rest()
            require(name[-1:] == b"\0" and b"\0" not in name[:-1], f"a channel name {name!r}")
            require(number not in self.asked, f"number {number} is used twice")
            self.asked[number] = name[:-1].decode("ascii")
        elif command == 2:
            require(number not in self._partial, "a message begins inside another")
            self._partial[number] = self._sized(pdu, extra), bytearray(pdu.rest())
            return self._whole(number)
        elif command == 3:
            if number not in self._partial:
                return number, pdu.rest()
            self._partial[number][1].extend(pdu.rest())
            return self._whole(number)
        else:
            require(command == 4, f"command {command}")
            pdu.end()
            self.closed.add(number)
        return None

    def _whole(self, number: int) -> tuple[int, bytes] | None:
        length, data = self._partial[number]
        require(len(data) <= length, "a message is longer than it says")
        if len(data) < length:
            return None
        del self._partial[number]
        return number, bytes(data)

    @staticmethod
    def _sized(pdu: Fields, size: int) -> int:
        require(size < 3, "a field length of 3")
        return pdu.of("BHI"[size])[0]


def unwrap(message: bytes) -> bytes:
    """RDP_SEGMENTED_DATA with segments that are not compressed (MS-RDPEGFX 2.2.5)."""
    fields = Fields(message)
    (descriptor,) = fields.of("B")
    if descriptor == 0xE0:
        return _segment(fields.rest())
    require(descriptor == 0xE1, f"descriptor {descriptor:#x}")
    count, total = fields.of("HI")
    data = b"".join(_segment(fields.take(fields.of("I")[0])) for _ in range(count))
    fields.end()
    require(len(data) == total, f"{len(data)} bytes where {total} are promised")
    return data


def _segment(data: bytes) -> bytes:
    require(data[:1] == b"\x04", f"a segment with header {data[:1]!r}")
    require(len(data) <= 65536, f"a segment of {len(data) - 1} bytes")
    return data[1:]


def pdus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """cmdId and body of each PDU."""
    fields = Fields(data)
    while fields.left:
        command, flags, length = fields.of("HHI")
        require(flags == 0, f"flags {flags:#x}")
        yield command, fields.take(length - 8)


@dataclass(frozen=True)
class Place:
    """Where a surface is shown, and in which size."""

    x: int
    y: int
    width: int
    height: int


def uncompressed(data: bytes, surface: Picture, area: Area) -> None:
    """A Decoder for codec 0: 32 bits per pixel from the top down."""
    left, top, right, bottom = area
    pixels = np.frombuffer(data, "<u4").reshape(bottom - top, right - left)
    surface[top:bottom, left:right] = pixels & 0xFFFFFF


def painting(decode: Callable[[bytes, int, int], Picture]) -> Decoder:
    """A Decoder of a function that makes a picture of data, width and height."""

    def paint(data: bytes, surface: Picture, area: Area) -> None:
        left, top, right, bottom = area
        surface[top:bottom, left:right] = decode(data, right - left, bottom - top)

    return paint


class Screen:
    """What a client shows. `decoders`: by codecId; uncompressed pixels are understood without one.

    The ClearCodec decoder gets the whole CLEARCODEC_BITMAP_STREAM; the order of its sequence numbers is
    checked here.
    """

    def __init__(self, decoders: Mapping[int, Decoder] | None = None) -> None:
        self.decoders: dict[int, Decoder] = {0: uncompressed, **(decoders or {})}
        self.confirmed: tuple[int, bytes] | None = None
        """Version and data of the confirmed capability set."""
        self.size: tuple[int, int] | None = None
        self.monitors: list[tuple[int, int, int, int, int]] = []
        """left, top, right, bottom (inclusive) and flags."""
        self.surfaces: dict[int, Picture] = {}
        self.mappings: dict[int, Place] = {}
        self.frames: list[int] = []
        """The frames that have ended and are not acknowledged."""
        self.codecs: list[int] = []
        """codecId of every wire-to-surface PDU."""
        self.cache_replies = 0
        self._frame: int | None = None
        self._sequence = 0

    def receive(self, message: bytes) -> None:
        """Takes one message of the graphics channel."""
        for command, body in pdus(unwrap(message)):
            fields = Fields(body)
            handler = self._HANDLERS.get(command)
            require(handler is not None, f"PDU {command:#x}")
            assert handler is not None
            handler(self, fields)
            fields.end()

    def acknowledge(self, queue_depth: int = 0) -> bytes:
        """The acknowledgements of all frames that have ended, as one message."""
        done = len(self.frames)
        answers = [
            struct.pack("<HHIIII", 0x0D, 0, 20, queue_depth, frame, number)
            for number, frame in enumerate(self.frames, 1)
        ]
        del self.frames[:done]
        return b"".join(answers)

    def picture(self) -> Picture:
        """The graphics output buffer; a scaled surface takes the nearest pixels."""
        assert self.size is not None
        width, height = self.size
        output = np.zeros((height, width), np.uint32)
        for number, place in self.mappings.items():
            surface = self.surfaces[number]
            rows = np.arange(place.height) * surface.shape[0] // place.height
            columns = np.arange(place.width) * surface.shape[1] // place.width
            shown = surface[rows][:, columns]
            target = output[place.y : place.y + place.height, place.x : place.x + place.width]
            target[:] = shown[: target.shape[0], : target.shape[1]]
        return output

    def _surface(self, number: int) -> Picture:
        require(number in self.surfaces, f"there is no surface {number}")
        return self.surfaces[number]

    def _area(self, surface: Picture, area: Area) -> Area:
        left, top, right, bottom = area
        height, width = surface.shape
        require(left < right <= width and top < bottom <= height, f"area {area} on {width}x{height}")
        return area

    def _caps_confirm(self, fields: Fields) -> None:
        version, length = fields.of("II")
        self.confirmed = version, fields.take(length)
        self.surfaces.clear()
        self.mappings.clear()
        self._sequence = 0

    def _reset_graphics(self, fields: Fields) -> None:
        require(fields.left == 332, f"a reset of {fields.left + 8} bytes")
        width, height, count = fields.of("III")
        require(0 < width <= 32766 and 0 < height <= 32766, f"an output of {width}x{height}")
        require(count <= 16, f"{count} monitors")
        self.size = width, height
        self.monitors = []
        for _ in range(count):
            left, top, right, bottom, flags = fields.of("iiiiI")
            self.monitors.append((left, top, right, bottom, flags))
        require(not any(fields.rest()), "padding that is not zero")

    def _create_surface(self, fields: Fields) -> None:
        number, width, height, pixel_format = fields.of("HHHB")
        require(number not in self.surfaces, f"surface {number} is there already")
        require(width and height, f"a surface of {width}x{height}")
        require(pixel_format == 0x20, f"pixel format {pixel_format:#x}")
        self.surfaces[number] = np.zeros((height, width), np.uint32)

    def _delete_surface(self, fields: Fields) -> None:
        (number,) = fields.of("H")
        self._surface(number)
        del self.surfaces[number]
        self.mappings.pop(number, None)

    def _map_to_output(self, fields: Fields) -> None:
        number, reserved, x, y = fields.of("HHII")
        require(reserved == 0, "reserved bytes")
        height, width = self._surface(number).shape
        self.mappings[number] = Place(x, y, width, height)

    def _map_to_scaled_output(self, fields: Fields) -> None:
        number, reserved, x, y, width, height = fields.of("HHIIII")
        require(reserved == 0, "reserved bytes")
        self._surface(number)
        self.mappings[number] = Place(x, y, width, height)

    def _start_frame(self, fields: Fields) -> None:
        require(self._frame is None, "a frame begins inside another")
        _, self._frame = fields.of("II")

    def _end_frame(self, fields: Fields) -> None:
        (frame,) = fields.of("I")
        require(frame == self._frame, f"frame {frame} ends inside frame {self._frame}")
        self._frame = None
        self.frames.append(frame)

    def _wire_to_surface(self, fields: Fields) -> None:
        require(self._frame is not None, "pixels outside of a frame")
        number, codec, pixel_format, left, top, right, bottom, length = fields.of("HHBHHHHI")
        require(pixel_format == 0x20, f"pixel format {pixel_format:#x}")
        data = fields.take(length)
        surface = self._surface(number)
        area = self._area(surface, (left, top, right, bottom))
        if codec == 8:
            require(data[1] == self._sequence, f"sequence number {data[1]} where {self._sequence} is due")
            self._sequence = (self._sequence + 1) % 256
        require(codec in self.decoders, f"codec {codec}")
        self.codecs.append(codec)
        self.decoders[codec](data, surface, area)

    def _solid_fill(self, fields: Fields) -> None:
        number, blue, green, red, _, count = fields.of("HBBBBH")
        surface = self._surface(number)
        for _ in range(count):
            left, top, right, bottom = self._area(surface, fields.of("HHHH"))  # type: ignore[arg-type]
            surface[top:bottom, left:right] = red << 16 | green << 8 | blue

    def _surface_to_surface(self, fields: Fields) -> None:
        source_number, number, left, top, right, bottom, count = fields.of("HHHHHHH")
        source = self._surface(source_number)
        self._area(source, (left, top, right, bottom))
        copy = source[top:bottom, left:right].copy()
        surface = self._surface(number)
        for _ in range(count):
            x, y = fields.of("HH")
            self._area(surface, (x, y, x + right - left, y + bottom - top))
            surface[y : y + bottom - top, x : x + right - left] = copy

    def _cache_import_reply(self, fields: Fields) -> None:
        (count,) = fields.of("H")
        require(count == 0, f"{count} cache entries, none of which was offered")
        self.cache_replies += 1

    _HANDLERS: ClassVar = {
        0x01: _wire_to_surface,
        0x04: _solid_fill,
        0x05: _surface_to_surface,
        0x09: _create_surface,
        0x0A: _delete_surface,
        0x0B: _start_frame,
        0x0C: _end_frame,
        0x0E: _reset_graphics,
        0x0F: _map_to_output,
        0x11: _cache_import_reply,
        0x13: _caps_confirm,
        0x17: _map_to_scaled_output,
    }


def caps_advertise(*sets: tuple[int, bytes]) -> bytes:
    """A client's first message on the graphics channel: version and data of each capability set."""
    body = struct.pack("<H", len(sets)) + b"".join(
        struct.pack("<II", version, len(data)) + data for version, data in sets
    )
    return client_pdu(0x12, body)


def client_pdu(command: int, body: bytes = b"") -> bytes:
    """Any PDU of the graphics channel; clients send them without the wrapper."""
    return struct.pack("<HHI", command, 0, 8 + len(body)) + body
