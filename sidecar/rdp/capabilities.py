"""Capability sets: what the client can do, and what this server says of itself (MS-RDPBCGR 2.2.7)."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.mcs import SERVER_CHANNEL
from sidecar.rdp.static_channel import CHUNK_LENGTH
from sidecar.rdp.wire import Reader

MAX_SETS = 64
"""Capability sets of a client, at most; some thirty are known."""

MAX_REQUEST_SIZE = 8 * 1024 * 1024
"""What this server says that it puts together of fast-path fragments; some clients answer with the same."""

COLOUR_DEPTHS = (8, 15, 16, 24, 32)
"""Bits per pixel that a session can have."""

UNACKNOWLEDGED_FRAMES = 2
"""Frames of surface commands that this server sends before it waits for the client."""


class CapabilitySetType(IntEnum):
    """capabilitySetType; the names have CAPSTYPE_ or CAPSETTYPE_ in front in the specification."""

    GENERAL = 0x01
    BITMAP = 0x02
    ORDER = 0x03
    BITMAPCACHE = 0x04
    CONTROL = 0x05
    ACTIVATION = 0x07
    POINTER = 0x08
    SHARE = 0x09
    COLORCACHE = 0x0A
    SOUND = 0x0C
    INPUT = 0x0D
    FONT = 0x0E
    BRUSH = 0x0F
    GLYPHCACHE = 0x10
    OFFSCREENCACHE = 0x11
    BITMAPCACHE_HOSTSUPPORT = 0x12
    BITMAPCACHE_REV2 = 0x13
    VIRTUALCHANNEL = 0x14
    MULTIFRAGMENTUPDATE = 0x1A
    LARGE_POINTER = 0x1B
    SURFACE_COMMANDS = 0x1C
    BITMAP_CODECS = 0x1D
    FRAME_ACKNOWLEDGE = 0x1E


class ExtraFlags(IntFlag):
    """extraFlags of TS_GENERAL_CAPABILITYSET."""

    FASTPATH_OUTPUT_SUPPORTED = 0x0001
    LONG_CREDENTIALS_SUPPORTED = 0x0004
    AUTORECONNECT_SUPPORTED = 0x0008
    ENC_SALTED_CHECKSUM = 0x0010
    NO_BITMAP_COMPRESSION_HDR = 0x0400


class DrawingFlags(IntFlag):
    """drawingFlags of TS_BITMAP_CAPABILITYSET."""

    DRAW_ALLOW_DYNAMIC_COLOR_FIDELITY = 0x02
    DRAW_ALLOW_COLOR_SUBSAMPLING = 0x04
    DRAW_ALLOW_SKIP_ALPHA = 0x08


class OrderFlags(IntFlag):
    """orderFlags of TS_ORDER_CAPABILITYSET."""

    NEGOTIATEORDERSUPPORT = 0x0002
    ZEROBOUNDSDELTASSUPPORT = 0x0008
    COLORINDEXSUPPORT = 0x0020


class InputFlags(IntFlag):
    """inputFlags of TS_INPUT_CAPABILITYSET; most names have INPUT_FLAG_ in front in the specification."""

    SCANCODES = 0x0001
    MOUSEX = 0x0004
    FASTPATH_INPUT = 0x0008
    UNICODE = 0x0010
    FASTPATH_INPUT2 = 0x0020
    MOUSE_RELATIVE = 0x0080
    MOUSE_HWHEEL = 0x0100
    QOE_TIMESTAMPS = 0x0200


class LargePointerFlags(IntFlag):
    """largePointerSupportFlags; the names have LARGE_POINTER_FLAG_ in front in the specification."""

    SIZE_96X96 = 0x0001
    SIZE_384X384 = 0x0002


class SurfaceCommandFlags(IntFlag):
    """cmdFlags of TS_SURFCMDS_CAPABILITYSET; the names have SURFCMDS_ in front in the specification."""

    SETSURFACEBITS = 0x02
    FRAMEMARKER = 0x10
    STREAMSURFACEBITS = 0x40


@dataclass(frozen=True, slots=True)
class ClientCapabilities:
    """What a client says that it can do; what it left out has the default of the specification."""

    colour_depth: int = 16
    """preferredBitsPerPixel: one of COLOUR_DEPTHS, the next lower one where a client says another."""
    width: int = 0
    height: int = 0
    resizable: bool = False
    """desktopResizeFlag: whether it follows another size after a reactivation."""
    fast_path_output: bool = False
    compression_header: bool = True
    """Whether compressed bitmap data must have a TS_CD_HEADER in front."""
    pointer_cache_size: int = 0
    """Slots for new-style pointers, 0 where it takes only old ones."""
    colour_pointer_cache_size: int = 0
    large_pointers: int = 0
    """Longest edge of a large pointer: 0, 96 or 384."""
    max_request_size: int = 0
    """Largest reassembled fast-path update in bytes; 0: no fragments."""
    surface_bits: bool = False
    """Whether it takes set or stream surface bits commands."""
    frame_markers: bool = False
    """Whether it takes frame markers among its surface commands."""
    frame_acknowledge: int | None = None
    """How many frames may be unacknowledged as it says; None: it acknowledges none."""
    chunk_size: int = CHUNK_LENGTH
    """Bytes of a virtual channel chunk."""
    planar: bool = False
    """Whether bitmap updates at 32 bits per pixel may be RDP6 planar without an alpha plane."""
    suppress_output: bool = False
    refresh_rect: bool = False
    unicode_input: bool = False


def parse_capability_sets(sets: Reader) -> ClientCapabilities:
    """What the capability sets of a Confirm Active PDU say. `sets`: at numberCapabilities.

    Unknown sets are skipped, and so is what a set has more than it is known to have. Of a set that comes
    twice the last one counts. Raises RemoteError for sets that are cut off, or more than MAX_SETS.
    """
    count = sets.u16()
    sets.skip(2)
    if count > MAX_SETS:
        raise RemoteError(Reason.OVERSIZED, f"A client with {count} capability sets.")
    capabilities = ClientCapabilities()
    for _ in range(count):
        kind, length = sets.u16(), sets.u16()
        if length < _SET_HEADER.size:
            raise sets.malformed(f"capability set {kind:#x} of {length} bytes")
        body = sets.part(length - _SET_HEADER.size, f"capability set {kind:#x}")
        parse = _PARSERS.get(kind)
        if parse is not None:
            capabilities = parse(capabilities, body)
    sets.end()
    return capabilities


def server_capability_sets(
    width: int,
    height: int,
    colour_depth: int,
    *,
    unicode_input: bool = True,
    relative_mouse: bool = False,
) -> list[bytes]:
    """The sets of this server's Demand Active, each whole.

    `width`, `height`: of the desktop in pixels. `colour_depth`: bits per pixel of the session.
    `unicode_input`, `relative_mouse`: whether the client may send such events.
    """
    input_flags = _INPUT
    if unicode_input:
        input_flags |= InputFlags.UNICODE
    if relative_mouse:
        input_flags |= InputFlags.MOUSE_RELATIVE
    kinds = CapabilitySetType
    return [
        _set(kinds.SHARE, struct.pack("<H2x", SERVER_CHANNEL)),
        _set(kinds.GENERAL, _GENERAL.pack(*_WINDOWS_NT, _PROTOCOL_VERSION, 0, _EXTRA, 0, 0, 0, 1, 1)),
        _set(kinds.VIRTUALCHANNEL, struct.pack("<II", 0, CHUNK_LENGTH)),
        _set(kinds.FONT, struct.pack("<H2x", 1)),
        _set(
            kinds.BITMAP,
            _BITMAP.pack(colour_depth, 1, 1, 1, width, height, 1, 1, DrawingFlags.DRAW_ALLOW_SKIP_ALPHA, 1),
        ),
        _set(kinds.ORDER, _ORDER.pack(1, 20, 1, 0, _ORDERS, 480 * 480)),
        _set(kinds.COLORCACHE, struct.pack("<H2x", 6)),
        _set(kinds.POINTER, struct.pack("<HHH", 1, _POINTER_CACHE, _POINTER_CACHE)),
        _set(kinds.INPUT, struct.pack("<H82x", input_flags)),
        _set(kinds.MULTIFRAGMENTUPDATE, struct.pack("<I", MAX_REQUEST_SIZE)),
        _set(kinds.LARGE_POINTER, struct.pack("<H", _LARGE_POINTERS)),
        _set(kinds.SURFACE_COMMANDS, struct.pack("<II", _SURFACE_COMMANDS, 0)),
        _set(kinds.FRAME_ACKNOWLEDGE, struct.pack("<I", UNACKNOWLEDGED_FRAMES)),
    ]


_SET_HEADER = struct.Struct("<HH")
_GENERAL = struct.Struct("<HHH2xHHHHHBB")
_BITMAP = struct.Struct("<HHHHHH2xHHxBH2x")
_ORDER = struct.Struct("<16x4xHH2xHHH32x2x2x4xI4x2x2x")

_WINDOWS_NT = (1, 3)
_PROTOCOL_VERSION = 0x0200
_POINTER_CACHE = 25

_EXTRA = (
    ExtraFlags.FASTPATH_OUTPUT_SUPPORTED
    | ExtraFlags.LONG_CREDENTIALS_SUPPORTED
    | ExtraFlags.NO_BITMAP_COMPRESSION_HDR
)
# no order at all is sent, but clients insist on these
_ORDERS = OrderFlags.NEGOTIATEORDERSUPPORT | OrderFlags.ZEROBOUNDSDELTASSUPPORT | OrderFlags.COLORINDEXSUPPORT
_INPUT = (
    InputFlags.SCANCODES
    | InputFlags.MOUSEX
    | InputFlags.FASTPATH_INPUT
    | InputFlags.FASTPATH_INPUT2
    | InputFlags.MOUSE_HWHEEL
    | InputFlags.QOE_TIMESTAMPS
)
_LARGE_POINTERS = LargePointerFlags.SIZE_96X96 | LargePointerFlags.SIZE_384X384
_SURFACE_COMMANDS = (
    SurfaceCommandFlags.SETSURFACEBITS
    | SurfaceCommandFlags.FRAMEMARKER
    | SurfaceCommandFlags.STREAMSURFACEBITS
)


def _set(kind: CapabilitySetType, body: bytes) -> bytes:
    return _SET_HEADER.pack(kind, _SET_HEADER.size + len(body)) + body


def _general(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    body.skip(10)
    flags = body.u16()
    body.skip(6)
    refresh_rect, suppress_output = body.u8(), body.u8()
    return replace(
        capabilities,
        fast_path_output=bool(flags & ExtraFlags.FASTPATH_OUTPUT_SUPPORTED),
        compression_header=not flags & ExtraFlags.NO_BITMAP_COMPRESSION_HDR,
        refresh_rect=bool(refresh_rect),
        suppress_output=bool(suppress_output),
    )


def _bitmap(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    said = body.u16()
    colour_depth = max((depth for depth in COLOUR_DEPTHS if depth <= said), default=COLOUR_DEPTHS[0])
    body.skip(6)
    width, height = body.u16(), body.u16()
    body.skip(2)
    resizable = bool(body.u16())
    body.skip(3)
    drawing_flags = body.u8()
    body.skip(4)
    return replace(
        capabilities,
        colour_depth=colour_depth,
        width=width,
        height=height,
        resizable=resizable,
        planar=bool(drawing_flags & DrawingFlags.DRAW_ALLOW_SKIP_ALPHA),
    )


def _pointer(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    body.skip(2)
    colour_pointers = body.u16()
    # clients that only take old pointers leave this out
    pointers = body.u16() if body.remaining else 0
    return replace(capabilities, colour_pointer_cache_size=colour_pointers, pointer_cache_size=pointers)


def _input(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    flags = body.u16()
    return replace(capabilities, unicode_input=bool(flags & InputFlags.UNICODE))


def _virtual_channel(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    # the size of chunks is the server's to choose; what a client says of it means nothing
    body.skip(4)
    return capabilities


def _multifragment_update(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    return replace(capabilities, max_request_size=body.u32())


def _large_pointer(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    flags = body.u16()
    edge = 0
    if flags & LargePointerFlags.SIZE_96X96:
        edge = 384 if flags & LargePointerFlags.SIZE_384X384 else 96
    return replace(capabilities, large_pointers=edge)


def _surface_commands(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    flags = body.u32()
    body.skip(4)
    bits = SurfaceCommandFlags.SETSURFACEBITS | SurfaceCommandFlags.STREAMSURFACEBITS
    return replace(
        capabilities,
        surface_bits=bool(flags & bits),
        frame_markers=bool(flags & SurfaceCommandFlags.FRAMEMARKER),
    )


def _frame_acknowledge(capabilities: ClientCapabilities, body: Reader) -> ClientCapabilities:
    return replace(capabilities, frame_acknowledge=body.u32())


_PARSERS: Mapping[int, Callable[[ClientCapabilities, Reader], ClientCapabilities]] = {
    CapabilitySetType.GENERAL: _general,
    CapabilitySetType.BITMAP: _bitmap,
    CapabilitySetType.POINTER: _pointer,
    CapabilitySetType.INPUT: _input,
    CapabilitySetType.VIRTUALCHANNEL: _virtual_channel,
    CapabilitySetType.MULTIFRAGMENTUPDATE: _multifragment_update,
    CapabilitySetType.LARGE_POINTER: _large_pointer,
    CapabilitySetType.SURFACE_COMMANDS: _surface_commands,
    CapabilitySetType.FRAME_ACKNOWLEDGE: _frame_acknowledge,
}
