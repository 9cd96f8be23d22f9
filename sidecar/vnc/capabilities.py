"""What a client's list of encodings means, and what the server owes for a new list."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto

from sidecar.encode.form import Encoding
from sidecar.vnc.wire import (
    COMPRESSION_LEVELS,
    COPY_RECT,
    JPEG_FINE_QUALITY_LEVELS,
    JPEG_QUALITY_LEVELS,
    JPEG_SUBSAMPLING_LEVELS,
    PseudoEncoding,
    Subsampling,
)


class Extension(Flag):
    """Parts of the protocol that both sides must name before they are used."""

    COPY_RECT = auto()
    DESKTOP_SIZE = auto()
    EXTENDED_DESKTOP_SIZE = auto()
    DESKTOP_NAME = auto()
    LAST_RECT = auto()
    POINTER_MODE = auto()
    QEMU_KEYS = auto()
    EXTENDED_MOUSE_BUTTONS = auto()
    FENCE = auto()
    CONTINUOUS_UPDATES = auto()
    EXTENDED_CLIPBOARD = auto()
    XVP = auto()
    QEMU_AUDIO = auto()
    STREAMS = auto()


ALWAYS_OFFERED = ~(Extension.XVP | Extension.QEMU_AUDIO | Extension.EXTENDED_CLIPBOARD | Extension.STREAMS)
"""Extensions that need nothing of the guest; the others are offered where there is something behind them."""


class CursorKind(Enum):
    """The ways to send a cursor, best first.

    VMware's comes first for noVNC, which swaps red and blue of the plain one (facts: RFB section 3).
    """

    VMWARE = PseudoEncoding.VMWARE_CURSOR
    ALPHA = PseudoEncoding.CURSOR_WITH_ALPHA
    PLAIN = PseudoEncoding.CURSOR


class LedKind(Enum):
    """The ways to send the keyboard's lights, best first."""

    QEMU = PseudoEncoding.QEMU_LED_STATE
    VMWARE = PseudoEncoding.VMWARE_LED_STATE
    LIBVNC = PseudoEncoding.LIBVNC_LED_STATE


class Owed(Flag):
    """What the server sends once because of a new list."""

    QEMU_KEYS_ACK = auto()
    EXTENDED_MOUSE_BUTTONS_ACK = auto()
    QEMU_AUDIO_ACK = auto()
    FENCE = auto()
    END_OF_CONTINUOUS_UPDATES = auto()
    XVP_INIT = auto()
    CLIPBOARD_CAPS = auto()
    STREAMS_ACK = auto()
    EXTENDED_DESKTOP_SIZE = auto()
    DESKTOP_NAME = auto()
    POINTER_MODE = auto()
    CURSOR = auto()
    LEDS = auto()


NO_EXTENSIONS = Extension(0)

_EXTENSIONS = {
    COPY_RECT: Extension.COPY_RECT,
    int(PseudoEncoding.DESKTOP_SIZE): Extension.DESKTOP_SIZE,
    int(PseudoEncoding.EXTENDED_DESKTOP_SIZE): Extension.EXTENDED_DESKTOP_SIZE,
    int(PseudoEncoding.DESKTOP_NAME): Extension.DESKTOP_NAME,
    int(PseudoEncoding.LAST_RECT): Extension.LAST_RECT,
    int(PseudoEncoding.QEMU_POINTER_MOTION_CHANGE): Extension.POINTER_MODE,
    int(PseudoEncoding.QEMU_EXTENDED_KEY_EVENT): Extension.QEMU_KEYS,
    int(PseudoEncoding.EXTENDED_MOUSE_BUTTONS): Extension.EXTENDED_MOUSE_BUTTONS,
    int(PseudoEncoding.FENCE): Extension.FENCE,
    int(PseudoEncoding.CONTINUOUS_UPDATES): Extension.CONTINUOUS_UPDATES,
    int(PseudoEncoding.EXTENDED_CLIPBOARD): Extension.EXTENDED_CLIPBOARD,
    int(PseudoEncoding.XVP): Extension.XVP,
    int(PseudoEncoding.QEMU_AUDIO): Extension.QEMU_AUDIO,
    int(PseudoEncoding.STREAMS): Extension.STREAMS,
}

_OWED_FIRST = {
    Extension.QEMU_KEYS: Owed.QEMU_KEYS_ACK,
    Extension.EXTENDED_MOUSE_BUTTONS: Owed.EXTENDED_MOUSE_BUTTONS_ACK,
    Extension.QEMU_AUDIO: Owed.QEMU_AUDIO_ACK,
    Extension.STREAMS: Owed.STREAMS_ACK,
    Extension.FENCE: Owed.FENCE,
    Extension.CONTINUOUS_UPDATES: Owed.END_OF_CONTINUOUS_UPDATES,
    Extension.XVP: Owed.XVP_INIT,
    Extension.EXTENDED_DESKTOP_SIZE: Owed.EXTENDED_DESKTOP_SIZE,
    Extension.DESKTOP_NAME: Owed.DESKTOP_NAME,
    Extension.POINTER_MODE: Owed.POINTER_MODE,
}
"""What is owed when an extension was not in the list before."""

_PIXEL_ENCODINGS = frozenset(Encoding)
_ZLIB_STREAMS = frozenset(encoding for encoding in Encoding if encoding.is_streamed)


@dataclass(frozen=True, slots=True)
class ClientCapabilities:
    """What one client can take, as far as it is offered. `ClientCapabilities()` is a client without a list.

    `encoding`: that of pixels: the client's first that is served. `zlib_stream`: ZRLE or ZLIB once it was
    chosen, for the rest of the connection, since libvncclient inflates both by one stream.
    `quality`: JPEG quality level 0..9, None where no losses are allowed. `fine_quality`: 0..100.
    `compression`: level 0..9. Each is None where the client has not said.
    """

    encoding: Encoding = Encoding.RAW
    zlib_stream: Encoding | None = None
    quality: int | None = None
    fine_quality: int | None = None
    subsampling: Subsampling | None = None
    compression: int | None = None
    cursor: CursorKind | None = None
    leds: LedKind | None = None
    extensions: Extension = NO_EXTENSIONS

    def after(self, numbers: Sequence[int], offered: Extension) -> "ClientCapabilities":
        """What the client can take after it sent another list, which replaces the one before.

        `numbers`: signed, in the client's order; unknown ones are ignored. `offered`: what this server has.
        """
        announced = frozenset(numbers)
        encoding = _choose_encoding(numbers, announced, self.zlib_stream)
        return ClientCapabilities(
            encoding=encoding,
            zlib_stream=encoding if encoding in _ZLIB_STREAMS else self.zlib_stream,
            quality=_level(numbers, JPEG_QUALITY_LEVELS),
            fine_quality=_level(numbers, JPEG_FINE_QUALITY_LEVELS),
            subsampling=_subsampling(numbers),
            compression=_level(numbers, COMPRESSION_LEVELS),
            cursor=next((kind for kind in CursorKind if kind.value in announced), None),
            leds=next((kind for kind in LedKind if kind.value in announced), None),
            extensions=_extensions(announced) & offered,
        )

    def owed_after(self, before: "ClientCapabilities") -> Owed:
        """What the server sends because the list that meant `before` was replaced by this one."""
        owed = Owed(0)
        for extension, first in _OWED_FIRST.items():
            if extension in self.extensions and extension not in before.extensions:
                owed |= first
        if Extension.EXTENDED_CLIPBOARD in self.extensions:
            # after each list that names it, not only the first
            owed |= Owed.CLIPBOARD_CAPS
        if self.cursor is not None and self.cursor is not before.cursor:
            owed |= Owed.CURSOR
        if self.leds is not None and self.leds is not before.leds:
            owed |= Owed.LEDS
        return owed


def _choose_encoding(
    numbers: Sequence[int], announced: frozenset[int], zlib_stream: Encoding | None
) -> Encoding:
    if zlib_stream is not None:
        excluded = _ZLIB_STREAMS - {zlib_stream}
    elif Encoding.ZRLE in announced:
        excluded = frozenset({Encoding.ZLIB})
    else:
        excluded = frozenset()
    wanted = _PIXEL_ENCODINGS - excluded
    return next((Encoding(number) for number in numbers if number in wanted), Encoding.RAW)


def _extensions(announced: frozenset[int]) -> Extension:
    extensions = NO_EXTENSIONS
    for number, extension in _EXTENSIONS.items():
        if number in announced:
            extensions |= extension
    if Extension.FENCE not in extensions:
        # continuous updates are paced by fences; without them nothing would slow the server down
        extensions &= ~Extension.CONTINUOUS_UPDATES
    if Extension.EXTENDED_DESKTOP_SIZE in extensions:
        extensions &= ~Extension.DESKTOP_SIZE
    return extensions


def _level(numbers: Sequence[int], levels: range) -> int | None:
    """The offset in `levels` of the first of its numbers in the list."""
    return next((number - levels.start for number in numbers if number in levels), None)


def _subsampling(numbers: Sequence[int]) -> Subsampling | None:
    level = _level(numbers, JPEG_SUBSAMPLING_LEVELS)
    return None if level is None else Subsampling(level)
