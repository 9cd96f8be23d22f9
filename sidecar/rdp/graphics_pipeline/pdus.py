"""The PDUs of the graphics pipeline: the server's as bytes, the client's taken apart (MS-RDPEGFX 2.2.2)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

from sidecar.encode.form import Codec, Encoding
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Monitor
from sidecar.rdp.graphics_pipeline.capability_sets import CapabilitySet
from sidecar.rdp.wire import Reader
from sidecar.screen.rectangle import Rectangle

MAX_MONITORS = 16
"""Monitors of a reset, at most (MS-RDPEGFX 2.2.2.14)."""

MAX_SIZE = 32766
"""Pixels of the graphics output buffer's edges, at most."""

MAX_CAPABILITY_SETS = 64
"""More than any client has; eleven are known."""

SUSPEND_FRAME_ACKNOWLEDGEMENT = 0xFFFFFFFF
"""queueDepth of a client that acknowledges no more frames."""


class CommandId(IntEnum):
    """cmdId of the PDUs that are sent or read, MS-RDPEGFX 2.2.1.5."""

    WIRETOSURFACE_1 = 0x0001
    SOLIDFILL = 0x0004
    SURFACETOSURFACE = 0x0005
    CREATESURFACE = 0x0009
    DELETESURFACE = 0x000A
    STARTFRAME = 0x000B
    ENDFRAME = 0x000C
    FRAMEACKNOWLEDGE = 0x000D
    RESETGRAPHICS = 0x000E
    MAPSURFACETOOUTPUT = 0x000F
    CACHEIMPORTOFFER = 0x0010
    CACHEIMPORTREPLY = 0x0011
    CAPSADVERTISE = 0x0012
    CAPSCONFIRM = 0x0013
    QOEFRAMEACKNOWLEDGE = 0x0016
    MAPSURFACETOSCALEDOUTPUT = 0x0017


class CodecId(IntEnum):
    """codecId of a wire-to-surface PDU, MS-RDPEGFX 2.2.2.1."""

    UNCOMPRESSED = 0x0000
    CLEARCODEC = 0x0008
    PLANAR = 0x000A
    AVC420 = 0x000B


class PixelFormat(IntEnum):
    """RDPGFX_PIXELFORMAT, MS-RDPEGFX 2.2.1.4."""

    XRGB_8888 = 0x20
    ARGB_8888 = 0x21


CODEC_IDS: dict[Encoding | Codec, CodecId] = {
    Codec.CLEARCODEC: CodecId.CLEARCODEC,
    Codec.PLANAR: CodecId.PLANAR,
    Codec.UNCOMPRESSED: CodecId.UNCOMPRESSED,
    Codec.AVC420: CodecId.AVC420,
}
"""The codecs that the graphics pipeline has."""

_HEADER = struct.Struct("<HHI")
_CAPS_CONFIRM = struct.Struct("<HHIII")
_RESET_GRAPHICS = struct.Struct("<HHIIII")
_MONITOR = struct.Struct("<iiiiI")
_RESET_LENGTH = 340
_CREATE_SURFACE = struct.Struct("<HHIHHHB")
_DELETE_SURFACE = struct.Struct("<HHIH")
_MAP_TO_OUTPUT = struct.Struct("<HHIHHII")
_MAP_TO_SCALED_OUTPUT = struct.Struct("<HHIHHIIII")
_START_FRAME = struct.Struct("<HHIII")
_END_FRAME = struct.Struct("<HHII")
_WIRE_TO_SURFACE_1 = struct.Struct("<HHIHHBHHHHI")
_SOLID_FILL = struct.Struct("<HHIHBBBBH")
_SURFACE_TO_SURFACE = struct.Struct("<HHIHHHHHHH")
_CACHE_IMPORT_REPLY = struct.Struct("<HHIH")
_RECTANGLE = struct.Struct("<HHHH")
_POINT = struct.Struct("<HH")


def caps_confirm(capability_set: CapabilitySet) -> bytes:
    """RDPGFX_CAPS_CONFIRM_PDU, 2.2.2.19."""
    data = capability_set.data
    return (
        _CAPS_CONFIRM.pack(
            CommandId.CAPSCONFIRM, 0, _CAPS_CONFIRM.size + len(data), capability_set.version, len(data)
        )
        + data
    )


def reset_graphics(width: int, height: int, monitors: Sequence[Monitor]) -> bytes:
    """RDPGFX_RESET_GRAPHICS_PDU, 2.2.2.14: the graphics output buffer's size and its monitors, 1..16.

    `width`, `height`: 1..32766 pixels.
    """
    defined = b"".join(
        _MONITOR.pack(
            monitor.area.x, monitor.area.y, monitor.area.right - 1, monitor.area.bottom - 1, monitor.primary
        )
        for monitor in monitors[:MAX_MONITORS]
    )
    header = _RESET_GRAPHICS.pack(
        CommandId.RESETGRAPHICS, 0, _RESET_LENGTH, width, height, min(len(monitors), MAX_MONITORS)
    )
    return (header + defined).ljust(_RESET_LENGTH, b"\0")


def create_surface(surface_id: int, width: int, height: int) -> bytes:
    """RDPGFX_CREATE_SURFACE_PDU, 2.2.2.9: pixels without alpha. All arguments: U16."""
    return _CREATE_SURFACE.pack(
        CommandId.CREATESURFACE, 0, _CREATE_SURFACE.size, surface_id, width, height, PixelFormat.XRGB_8888
    )


def delete_surface(surface_id: int) -> bytes:
    """RDPGFX_DELETE_SURFACE_PDU, 2.2.2.10."""
    return _DELETE_SURFACE.pack(CommandId.DELETESURFACE, 0, _DELETE_SURFACE.size, surface_id)


def map_surface_to_output(surface_id: int, x: int, y: int) -> bytes:
    """RDPGFX_MAP_SURFACE_TO_OUTPUT_PDU, 2.2.2.15. `x`, `y`: pixels in the graphics output buffer."""
    return _MAP_TO_OUTPUT.pack(CommandId.MAPSURFACETOOUTPUT, 0, _MAP_TO_OUTPUT.size, surface_id, 0, x, y)


def map_surface_to_scaled_output(surface_id: int, area: Rectangle) -> bytes:
    """RDPGFX_MAP_SURFACE_TO_SCALED_OUTPUT_PDU, 2.2.2.22. `area`: in the graphics output buffer."""
    return _MAP_TO_SCALED_OUTPUT.pack(
        CommandId.MAPSURFACETOSCALEDOUTPUT, 0, _MAP_TO_SCALED_OUTPUT.size, surface_id, 0, *area
    )


def start_frame(frame_id: int) -> bytes:
    """RDPGFX_START_FRAME_PDU, 2.2.2.11. `frame_id`: U32. The timestamp is 0: no client makes use of it."""
    return _START_FRAME.pack(CommandId.STARTFRAME, 0, _START_FRAME.size, 0, frame_id)


def end_frame(frame_id: int) -> bytes:
    """RDPGFX_END_FRAME_PDU, 2.2.2.12."""
    return _END_FRAME.pack(CommandId.ENDFRAME, 0, _END_FRAME.size, frame_id)


def wire_to_surface_1(surface_id: int, codec: Encoding | Codec, area: Rectangle, length: int) -> bytes:
    """RDPGFX_WIRE_TO_SURFACE_PDU_1, 2.2.2.1, up to its bitmapData of `length` bytes.

    `area`: on the surface. Raises KeyError for a codec that is not in CODEC_IDS.
    """
    left, top, width, height = area
    return _WIRE_TO_SURFACE_1.pack(
        CommandId.WIRETOSURFACE_1,
        0,
        _WIRE_TO_SURFACE_1.size + length,
        surface_id,
        CODEC_IDS[codec],
        PixelFormat.XRGB_8888,
        left,
        top,
        left + width,
        top + height,
        length,
    )


def solid_fill(surface_id: int, colour: tuple[int, int, int], areas: Sequence[Rectangle]) -> bytes:
    """RDPGFX_SOLIDFILL_PDU, 2.2.2.4. `colour`: red, green, blue, each 0..255."""
    red, green, blue = colour
    length = _SOLID_FILL.size + len(areas) * _RECTANGLE.size
    header = _SOLID_FILL.pack(CommandId.SOLIDFILL, 0, length, surface_id, blue, green, red, 0xFF, len(areas))
    return header + b"".join(_RECTANGLE.pack(area.x, area.y, area.right, area.bottom) for area in areas)


def surface_to_surface(
    source_id: int, source: Rectangle, destination_id: int, points: Sequence[tuple[int, int]]
) -> bytes:
    """RDPGFX_SURFACE_TO_SURFACE_PDU, 2.2.2.5: a copy to each of the points (the upper left corners)."""
    length = _SURFACE_TO_SURFACE.size + len(points) * _POINT.size
    header = _SURFACE_TO_SURFACE.pack(
        CommandId.SURFACETOSURFACE,
        0,
        length,
        source_id,
        destination_id,
        source.x,
        source.y,
        source.right,
        source.bottom,
        len(points),
    )
    return header + b"".join(_POINT.pack(*point) for point in points)


def empty_cache_import_reply() -> bytes:
    """RDPGFX_CACHE_IMPORT_REPLY_PDU, 2.2.2.17: none of what the client has kept is used."""
    return _CACHE_IMPORT_REPLY.pack(CommandId.CACHEIMPORTREPLY, 0, _CACHE_IMPORT_REPLY.size, 0)


@dataclass(frozen=True, slots=True)
class CapsAdvertise:
    """RDPGFX_CAPS_ADVERTISE_PDU, 2.2.2.18."""

    capability_sets: tuple[CapabilitySet, ...]


@dataclass(frozen=True, slots=True)
class FrameAcknowledge:
    """RDPGFX_FRAME_ACKNOWLEDGE_PDU, 2.2.2.13."""

    queue_depth: int
    """Bytes that wait in the client; 0: not told; SUSPEND_FRAME_ACKNOWLEDGEMENT."""
    frame_id: int
    total_frames_decoded: int


class CacheImportOffer(Enum):
    """RDPGFX_CACHE_IMPORT_OFFER_PDU, 2.2.2.16; what is offered is of no interest."""

    OFFER = 0


ClientPdu: TypeAlias = CapsAdvertise | FrameAcknowledge | CacheImportOffer


def read_client_pdus(message: bytes) -> Iterator[ClientPdu]:
    """Takes a message of the client apart; PDUs of no interest (QoE among them) are skipped.

    Raises RemoteError while iterating.
    """
    reader = Reader(message, "a message on the graphics channel")
    while reader.remaining:
        command = reader.u16()
        reader.skip(2)
        length = reader.u32() - _HEADER.size
        if length < 0:
            raise reader.malformed("a PDU that is shorter than its header")
        body = reader.part(length, f"graphics PDU {command:#06x}")
        if command == CommandId.FRAMEACKNOWLEDGE:
            yield FrameAcknowledge(body.u32(), body.u32(), body.u32())
            body.end()
        elif command == CommandId.CAPSADVERTISE:
            yield _caps_advertise(body)
        elif command == CommandId.CACHEIMPORTOFFER:
            yield CacheImportOffer.OFFER


def _caps_advertise(body: Reader) -> CapsAdvertise:
    count = body.u16()
    if count > MAX_CAPABILITY_SETS:
        raise RemoteError(Reason.OVERSIZED, f"{count} capability sets for the graphics pipeline")
    sets = []
    for _ in range(count):
        version = body.u32()
        sets.append(CapabilitySet(version, body.take(body.u32())))
    body.end()
    return CapsAdvertise(tuple(sets))
