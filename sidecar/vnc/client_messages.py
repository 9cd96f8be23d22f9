"""Client to server messages, rfbproto 7.5: how long each is, and what it says (facts: RFB section 3)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.screen.rectangle import Rectangle
from sidecar.vnc import clipboard, pixel_format, stream_messages
from sidecar.vnc.capabilities import ClientCapabilities, Extension
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import (
    ClientCutText,
    ClientFence,
    CutTextTooLong,
    EnableContinuousUpdates,
    Event,
    FramebufferUpdateRequest,
    KeyEvent,
    PointerEvent,
    QemuAudioFormat,
    QemuAudioSwitch,
    QemuKeyEvent,
    Screen,
    SetDesktopSize,
    SetEncodings,
    SetPixelFormat,
    Xvp,
)
from sidecar.vnc.wire import (
    MAX_FENCE_PAYLOAD,
    ClientMessage,
    FenceFlag,
    PointerButton,
    QemuAudioOperation,
    QemuClientMessage,
    SampleFormat,
)

MAX_ENCODINGS = 1024
"""Numbers in one SetEncodings; known clients send at most some forty."""

MAX_FREQUENCY = 48000
"""Hertz of audio, as in QEMU."""

XVP_VERSION = 1

_FENCE_FLAGS = FenceFlag.BLOCK_BEFORE | FenceFlag.BLOCK_AFTER | FenceFlag.SYNC_NEXT | FenceFlag.REQUEST
_EXTENDED_BUTTONS = 0x80
"""The bit of a pointer event's mask that says that one more byte follows, where that was agreed on."""

_PIXEL_FORMAT_AT = 4
_COUNT = struct.Struct(">2xH")
_SWITCH_AND_AREA = struct.Struct(">xBHHHH")
_KEY = struct.Struct(">xB2xI")
_POINTER = struct.Struct(">xBHH")
_CUT_TEXT = struct.Struct(">4xi")
_FENCE = struct.Struct(">4xIB")
_XVP = struct.Struct(">2xBB")
_DESKTOP_SIZE = struct.Struct(">2xHHBx")
_SCREEN = struct.Struct(">IHHHHI")
_QEMU = struct.Struct(">xBH")
_QEMU_KEY = struct.Struct(">2xHII")
_QEMU_AUDIO_FORMAT = struct.Struct(">4xBBI")


class ClientMessages:
    """Reads the messages of one client, and keeps what they have agreed on so far.

    `offered`: the extensions of this server. `max_cut_text`: bytes of text, or of clipboard contents, above
    which they are thrown away. `capabilities`: what the client's last list of encodings means.
    """

    __slots__ = ("_announced", "_max_cut_text", "_offered", "capabilities", "to_discard")

    def __init__(self, offered: Extension, max_cut_text: int) -> None:
        self._offered = offered
        self._max_cut_text = max_cut_text
        # every extension ever agreed on: what an earlier list allowed may still be on its way
        self._announced = Extension(0)
        self.capabilities = ClientCapabilities()
        self.to_discard = 0
        """Bytes that follow the last message and belong to no other."""

    def read(self, data: bytearray, offset: int) -> tuple[Event, int] | None:
        """The message that begins at `offset` and where it ends; None while part of it is missing.

        Raises RemoteError as soon as what is there cannot become a message.
        """
        layout = _LAYOUTS.get(data[offset])
        if layout is None:
            raise RemoteError(Reason.UNKNOWN_MESSAGE, f"There is no message of type {data[offset]}.")
        if layout.requires is not None:
            self._require(layout.requires)
        available = len(data) - offset
        if available < layout.head:
            return None
        size = layout.head if layout.measure is None else layout.measure(self, data, offset)
        if available < size:
            return None
        return layout.parse(self, data, offset), offset + size

    def _require(self, extension: Extension) -> None:
        if extension not in self._announced:
            name = (extension.name or "").lower().replace("_", " ")
            raise RemoteError(Reason.NOT_NEGOTIATED, f"A message needs {name}, which was not agreed on.")

    def _set_pixel_format(self, data: bytearray, offset: int) -> Event:
        start = offset + _PIXEL_FORMAT_AT
        return SetPixelFormat(pixel_format.parse(bytes(data[start : start + pixel_format.PIXEL_FORMAT_SIZE])))

    def _set_encodings_size(self, data: bytearray, offset: int) -> int:
        (count,) = _COUNT.unpack_from(data, offset)
        if count > MAX_ENCODINGS:
            raise RemoteError(Reason.OVERSIZED, f"A list may have {MAX_ENCODINGS} encodings, not {count}.")
        return _COUNT.size + 4 * int(count)

    def _set_encodings(self, data: bytearray, offset: int) -> Event:
        (count,) = _COUNT.unpack_from(data, offset)
        numbers = struct.unpack_from(f">{count}i", data, offset + _COUNT.size)
        before = self.capabilities
        self.capabilities = before.after(numbers, self._offered)
        self._announced |= self.capabilities.extensions
        return SetEncodings(numbers, self.capabilities, self.capabilities.owed_after(before))

    def _framebuffer_update_request(self, data: bytearray, offset: int) -> Event:
        incremental, *area = _SWITCH_AND_AREA.unpack_from(data, offset)
        return FramebufferUpdateRequest(bool(incremental), Rectangle(*area))

    def _key_event(self, data: bytearray, offset: int) -> Event:
        down, keysym = _KEY.unpack_from(data, offset)
        return KeyEvent(bool(down), keysym)

    def _pointer_event_size(self, data: bytearray, offset: int) -> int:
        return _POINTER.size + self._has_extended_buttons(data[offset + 1])

    def _pointer_event(self, data: bytearray, offset: int) -> Event:
        mask, x, y = _POINTER.unpack_from(data, offset)
        if self._has_extended_buttons(mask):
            # bit 0 is back and bit 1 forward; the rest means nothing yet
            mask = mask & ~_EXTENDED_BUTTONS | (data[offset + _POINTER.size] & 0b11) << 7
        return PointerEvent(PointerButton(mask), x, y)

    def _has_extended_buttons(self, mask: int) -> bool:
        return bool(mask & _EXTENDED_BUTTONS) and Extension.EXTENDED_MOUSE_BUTTONS in self._announced

    def _cut_text_size(self, data: bytearray, offset: int) -> int:
        (length,) = _CUT_TEXT.unpack_from(data, offset)
        if length < 0:
            self._require(Extension.EXTENDED_CLIPBOARD)
            if length > -_FLAGS_SIZE:
                raise RemoteError(Reason.MALFORMED, "A clipboard message has no flags.")
        size = abs(int(length))
        return _CUT_TEXT.size + (0 if size > self._max_cut_text + _FLAGS_SIZE else size)

    def _cut_text(self, data: bytearray, offset: int) -> Event:
        (length,) = _CUT_TEXT.unpack_from(data, offset)
        size = abs(length)
        if size > self._max_cut_text + _FLAGS_SIZE:
            self.to_discard = size
            return CutTextTooLong(size)
        start = offset + _CUT_TEXT.size
        content = bytes(data[start : start + size])
        if length < 0:
            return clipboard.parse(content, self._max_cut_text)
        return ClientCutText(content.decode("latin-1"))

    def _enable_continuous_updates(self, data: bytearray, offset: int) -> Event:
        enable, *area = _SWITCH_AND_AREA.unpack_from(data, offset)
        return EnableContinuousUpdates(bool(enable), Rectangle(*area))

    def _fence_size(self, data: bytearray, offset: int) -> int:
        size = data[offset + _FENCE.size - 1]
        if size > MAX_FENCE_PAYLOAD:
            raise RemoteError(Reason.OVERSIZED, f"A fence may carry {MAX_FENCE_PAYLOAD} bytes, not {size}.")
        return _FENCE.size + size

    def _fence(self, data: bytearray, offset: int) -> Event:
        flags, size = _FENCE.unpack_from(data, offset)
        start = offset + _FENCE.size
        return ClientFence(FenceFlag(flags & _FENCE_FLAGS), bytes(data[start : start + size]))

    def _xvp(self, data: bytearray, offset: int) -> Event:
        version, code = _XVP.unpack_from(data, offset)
        if version != XVP_VERSION:
            raise RemoteError(Reason.MALFORMED, f"There is no version {version} of xvp.")
        return Xvp(code)

    def _set_desktop_size_size(self, data: bytearray, offset: int) -> int:
        return _DESKTOP_SIZE.size + _SCREEN.size * data[offset + _DESKTOP_SIZE.size - 2]

    def _set_desktop_size(self, data: bytearray, offset: int) -> Event:
        width, height, count = _DESKTOP_SIZE.unpack_from(data, offset)
        start = offset + _DESKTOP_SIZE.size
        screens = []
        for number in range(count):
            screen, x, y, w, h, flags = _SCREEN.unpack_from(data, start + number * _SCREEN.size)
            screens.append(Screen(screen, Rectangle(x, y, w, h), flags))
        return SetDesktopSize(width, height, tuple(screens))

    def _qemu_size(self, data: bytearray, offset: int) -> int:
        message, operation = _QEMU.unpack_from(data, offset)
        if message == QemuClientMessage.EXTENDED_KEY_EVENT:
            self._require(Extension.QEMU_KEYS)
            return _QEMU_KEY.size
        if message == QemuClientMessage.AUDIO:
            self._require(Extension.QEMU_AUDIO)
            if operation in (QemuAudioOperation.ENABLE, QemuAudioOperation.DISABLE):
                return _QEMU.size
            if operation == QemuAudioOperation.SET_FORMAT:
                return _QEMU_AUDIO_FORMAT.size
        raise RemoteError(Reason.UNKNOWN_MESSAGE, f"QEMU's message has no part {message}.{operation}.")

    def _qemu(self, data: bytearray, offset: int) -> Event:
        message, operation = _QEMU.unpack_from(data, offset)
        if message == QemuClientMessage.EXTENDED_KEY_EVENT:
            down, keysym, keycode = _QEMU_KEY.unpack_from(data, offset)
            return QemuKeyEvent(bool(down), keysym, keycode)
        if operation != QemuAudioOperation.SET_FORMAT:
            return QemuAudioSwitch(QemuAudioOperation(operation))
        sample_format, channels, frequency = _QEMU_AUDIO_FORMAT.unpack_from(data, offset)
        if sample_format > max(SampleFormat) or channels not in (1, 2) or not 0 < frequency <= MAX_FREQUENCY:
            raise RemoteError(
                Reason.MALFORMED, f"Audio of {channels} channels at {frequency} Hz cannot be served."
            )
        return QemuAudioFormat(SampleFormat(sample_format), channels, frequency)

    def _stream_size(self, data: bytearray, offset: int) -> int:
        _, operation, _, length = stream_messages.HEADER.unpack_from(data, offset)
        stream_messages.check_length(operation, length)
        return stream_messages.HEADER.size + int(length)

    def _stream(self, data: bytearray, offset: int) -> Event:
        _, operation, stream, length = stream_messages.HEADER.unpack_from(data, offset)
        start = offset + stream_messages.HEADER.size
        return stream_messages.parse_client(operation, stream, bytes(data[start : start + length]))


_FLAGS_SIZE = 4
"""Bytes of the flags that every extended clipboard message begins with."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """`head`: fewest bytes, from the type on, and enough for `measure`, which tells the whole size."""

    head: int
    parse: Callable[[ClientMessages, bytearray, int], Event]
    measure: Callable[[ClientMessages, bytearray, int], int] | None = None
    requires: Extension | None = None


_LAYOUTS: dict[int, _Layout] = {
    ClientMessage.SET_PIXEL_FORMAT: _Layout(
        _PIXEL_FORMAT_AT + pixel_format.PIXEL_FORMAT_SIZE, ClientMessages._set_pixel_format
    ),
    ClientMessage.SET_ENCODINGS: _Layout(
        _COUNT.size, ClientMessages._set_encodings, ClientMessages._set_encodings_size
    ),
    ClientMessage.FRAMEBUFFER_UPDATE_REQUEST: _Layout(
        _SWITCH_AND_AREA.size, ClientMessages._framebuffer_update_request
    ),
    ClientMessage.KEY_EVENT: _Layout(_KEY.size, ClientMessages._key_event),
    ClientMessage.POINTER_EVENT: _Layout(
        _POINTER.size, ClientMessages._pointer_event, ClientMessages._pointer_event_size
    ),
    ClientMessage.CLIENT_CUT_TEXT: _Layout(
        _CUT_TEXT.size, ClientMessages._cut_text, ClientMessages._cut_text_size
    ),
    ClientMessage.ENABLE_CONTINUOUS_UPDATES: _Layout(
        _SWITCH_AND_AREA.size,
        ClientMessages._enable_continuous_updates,
        requires=Extension.CONTINUOUS_UPDATES,
    ),
    ClientMessage.STREAM: _Layout(
        stream_messages.HEADER.size,
        ClientMessages._stream,
        ClientMessages._stream_size,
        Extension.STREAMS,
    ),
    ClientMessage.CLIENT_FENCE: _Layout(
        _FENCE.size, ClientMessages._fence, ClientMessages._fence_size, Extension.FENCE
    ),
    ClientMessage.XVP: _Layout(_XVP.size, ClientMessages._xvp, requires=Extension.XVP),
    ClientMessage.SET_DESKTOP_SIZE: _Layout(
        _DESKTOP_SIZE.size,
        ClientMessages._set_desktop_size,
        ClientMessages._set_desktop_size_size,
        Extension.EXTENDED_DESKTOP_SIZE,
    ),
    ClientMessage.QEMU: _Layout(_QEMU.size, ClientMessages._qemu, ClientMessages._qemu_size),
}
