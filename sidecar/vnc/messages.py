"""Server to client messages, rfbproto 7.6 and 7.8, as bytes (facts: RFB section 3)."""

import struct
from collections.abc import Sequence

from sidecar.encode.form import ZLIB_HEADER, Segment
from sidecar.encode.pixel_form import PixelForm
from sidecar.guest import Led
from sidecar.screen.rectangle import Rectangle
from sidecar.vnc.capabilities import LedKind
from sidecar.vnc.events import Screen
from sidecar.vnc.wire import (
    COPY_RECT,
    MAX_FENCE_PAYLOAD,
    FenceFlag,
    PseudoEncoding,
    QemuAudioEvent,
    QemuServerMessage,
    ResizeReason,
    ResizeStatus,
    ServerMessage,
    XvpCode,
    reason_string,
)

UNTIL_LAST_RECT = 0xFFFF
"""The number of rectangles that says: until a LastRect."""

MAX_AUDIO_DATA = 1 << 20
"""Bytes of one audio data message; TigerVNC takes no longer ones."""

_MAX_RECTANGLES = UNTIL_LAST_RECT - 1

_UPDATE = struct.Struct(">BxH")
_RECTANGLE = struct.Struct(">HHHHi")
_STREAMED = struct.Struct(">HHHHiI")
_COPY = struct.Struct(">HHHHiHH")
_SCREENS = struct.Struct(">B3x")
_SCREEN = struct.Struct(">IHHHHI")
_COLOURS = struct.Struct(">BxHH")
_CUT_TEXT = struct.Struct(">B3xi")
_FENCE = struct.Struct(">B3xIB")
_XVP = struct.Struct(">BxBB")
_AUDIO = struct.Struct(">BBH")
_AUDIO_DATA = struct.Struct(">BBHI")


def update_header(rectangles: int) -> bytes:
    """FramebufferUpdate up to its first rectangle. `rectangles`: 0..65534, or UNTIL_LAST_RECT."""
    return _UPDATE.pack(ServerMessage.FRAMEBUFFER_UPDATE, rectangles)


def update_message(segments: Sequence[Segment], *, stream_begun: bool) -> bytes:
    """A whole FramebufferUpdate (several where one cannot count the rectangles).

    `stream_begun`: whether the connection's Zlib or ZRLE stream has had its header already.
    """
    parts = []
    for start in range(0, len(segments), _MAX_RECTANGLES):
        together = segments[start : start + _MAX_RECTANGLES]
        parts.append(update_header(len(together)))
        for segment in together:
            parts.append(segment_header(segment, opens_stream=not stream_begun))
            parts.append(segment.body)
            stream_begun = stream_begun or segment.encoding.is_streamed
    return b"".join(parts)


def segment_header(segment: Segment, *, opens_stream: bool) -> bytes:
    """What goes in front of a segment's body: 12 to 18 bytes.

    `opens_stream`: whether this is the first rectangle of its zlib stream on that connection; it has a
    meaning for Zlib and ZRLE only.
    """
    encoding = segment.encoding.value
    if not segment.encoding.is_streamed:
        return _RECTANGLE.pack(*segment.rectangle, encoding)
    if opens_stream:
        length = len(ZLIB_HEADER) + len(segment.body)
        return _STREAMED.pack(*segment.rectangle, encoding, length) + ZLIB_HEADER
    return _STREAMED.pack(*segment.rectangle, encoding, len(segment.body))


def rectangle_header(x: int, y: int, width: int, height: int, encoding: int) -> bytes:
    """A rectangle's header: pixels, each 0..65535, and a signed encoding."""
    return _RECTANGLE.pack(x, y, width, height, encoding)


def copy_rect(area: Rectangle, source_x: int, source_y: int) -> bytes:
    """A CopyRect rectangle, all of it: `area` gets what lies at the source on the client's screen."""
    return _COPY.pack(*area, COPY_RECT, source_x, source_y)


def last_rect() -> bytes:
    """The LastRect rectangle."""
    return _RECTANGLE.pack(0, 0, 0, 0, PseudoEncoding.LAST_RECT)


def desktop_size(width: int, height: int) -> bytes:
    """An update that only says: the framebuffer has this size now."""
    return update_header(1) + _RECTANGLE.pack(0, 0, width, height, PseudoEncoding.DESKTOP_SIZE)


def extended_desktop_size(
    width: int,
    height: int,
    screens: Sequence[Screen],
    reason: ResizeReason = ResizeReason.SERVER,
    status: ResizeStatus = ResizeStatus.NO_ERROR,
) -> bytes:
    """An update with the framebuffer's size and layout (1..255 screens), or the answer to SetDesktopSize.

    It stands alone: such an update may hold no pixels (rfbproto 7.8.5).
    """
    layout = b"".join(_SCREEN.pack(screen.id, *screen.area, screen.flags) for screen in screens)
    return (
        update_header(1)
        + _RECTANGLE.pack(reason, status, width, height, PseudoEncoding.EXTENDED_DESKTOP_SIZE)
        + _SCREENS.pack(len(screens))
        + layout
    )


def desktop_name(name: str) -> bytes:
    """An update that only says the desktop's name."""
    return update_header(1) + _RECTANGLE.pack(0, 0, 0, 0, PseudoEncoding.DESKTOP_NAME) + reason_string(name)


def leds(kind: LedKind, state: Led) -> bytes:
    """An update that only says which lights of the keyboard are on."""
    if kind is LedKind.QEMU:
        return update_header(1) + _RECTANGLE.pack(0, 0, 1, 1, kind.value) + bytes((state.value,))
    if kind is LedKind.VMWARE:
        return update_header(1) + _RECTANGLE.pack(0, 0, 0, 0, kind.value) + struct.pack(">I", state.value)
    return update_header(1) + _RECTANGLE.pack(state.value, 0, 0, 0, kind.value)


def pointer_mode(*, is_absolute: bool, width: int, height: int) -> bytes:
    """An update that only says whether pointer events give places or motion; with the framebuffer's size."""
    return update_header(1) + _RECTANGLE.pack(
        is_absolute, 0, width, height, PseudoEncoding.QEMU_POINTER_MOTION_CHANGE
    )


def acknowledgement(encoding: PseudoEncoding) -> bytes:
    """An update with an empty rectangle: the server knows this extension.

    For QEMU_EXTENDED_KEY_EVENT, QEMU_AUDIO and EXTENDED_MOUSE_BUTTONS.
    """
    return update_header(1) + _RECTANGLE.pack(0, 0, 0, 0, encoding)


def fence(flags: FenceFlag, payload: bytes = b"") -> bytes:
    """ServerFence: with REQUEST one that the client answers, else the answer to its own. Up to 64 bytes."""
    if len(payload) > MAX_FENCE_PAYLOAD:
        raise ValueError(f"a fence carries at most {MAX_FENCE_PAYLOAD} bytes")
    return _FENCE.pack(ServerMessage.SERVER_FENCE, flags, len(payload)) + payload


def end_of_continuous_updates() -> bytes:
    """EndOfContinuousUpdates."""
    return bytes((ServerMessage.END_OF_CONTINUOUS_UPDATES,))


def set_colour_map_entries(form: PixelForm) -> bytes:
    """SetColourMapEntries for all colours of an indexed form."""
    colours = form.colour_map
    flat = [channel for colour in colours for channel in colour]
    return _COLOURS.pack(ServerMessage.SET_COLOUR_MAP_ENTRIES, 0, len(colours)) + struct.pack(
        f">{len(flat)}H", *flat
    )


def bell() -> bytes:
    """Bell."""
    return bytes((ServerMessage.BELL,))


def server_cut_text(text: str) -> bytes:
    """ServerCutText: Latin-1 with LF; characters that it does not have become question marks."""
    data = text.replace("\r\n", "\n").encode("latin-1", "replace")
    return _CUT_TEXT.pack(ServerMessage.SERVER_CUT_TEXT, len(data)) + data


def extended_clipboard(body: bytes) -> bytes:
    """ServerCutText with a body of `clipboard.caps`, `request`, `notify` or `provide`."""
    return _CUT_TEXT.pack(ServerMessage.SERVER_CUT_TEXT, -len(body)) + body


def xvp(code: XvpCode) -> bytes:
    """The xvp message: INIT offers the switches, FAIL says that a wish was not met. No other is sent."""
    return _XVP.pack(ServerMessage.XVP, 1, code)


def audio_begin() -> bytes:
    """QEMU audio: a stream begins."""
    return _AUDIO.pack(ServerMessage.QEMU, QemuServerMessage.AUDIO, QemuAudioEvent.BEGIN)


def audio_end() -> bytes:
    """QEMU audio: the stream has ended."""
    return _AUDIO.pack(ServerMessage.QEMU, QemuServerMessage.AUDIO, QemuAudioEvent.END)


def audio_data(samples: bytes) -> bytes:
    """QEMU audio: whole frames of samples, at most MAX_AUDIO_DATA bytes."""
    if len(samples) > MAX_AUDIO_DATA:
        raise ValueError(f"audio data of {len(samples)} bytes are too much for one message")
    return (
        _AUDIO_DATA.pack(ServerMessage.QEMU, QemuServerMessage.AUDIO, QemuAudioEvent.DATA, len(samples))
        + samples
    )
