"""The bodies of share data PDUs, but for input, updates and errors: the client's read, the server's made."""

import struct
from enum import IntEnum

from sidecar.guest import Led
from sidecar.rdp.events import FrameAcknowledged, RefreshRect, SuppressOutput
from sidecar.rdp.mcs import SERVER_CHANNEL
from sidecar.rdp.wire import Reader
from sidecar.screen.rectangle import Rectangle

_SYNCHRONIZE = struct.Struct("<HH")
_SYNCMSGTYPE_SYNC = 1
_CONTROL = struct.Struct("<HHI")
_FONT_MAP = struct.Struct("<HHHH")
_FIRST_AND_LAST = 0x0003
_FONT_ENTRY_SIZE = 4
_KEYBOARD_INDICATORS = struct.Struct("<HH")
_ALLOW_DISPLAY_UPDATES = 1


class ControlAction(IntEnum):
    """action of TS_CONTROL_PDU; the names have CTRLACTION_ in front in the specification."""

    REQUEST_CONTROL = 1
    GRANTED_CONTROL = 2
    DETACH = 3
    COOPERATE = 4


def parse_synchronize(body: Reader) -> int:
    """TS_SYNCHRONIZE_PDU, 2.2.1.14: the target user, which is of no interest."""
    if body.u16() != _SYNCMSGTYPE_SYNC:
        raise body.malformed("a Synchronize PDU of another type")
    target = body.u16()
    body.end()
    return target


def parse_control(body: Reader) -> int:
    """TS_CONTROL_PDU, 2.2.1.15 and 2.2.1.16: a ControlAction, or a number that is none."""
    action = body.u16()
    body.skip(6)
    body.end()
    return action


def parse_refresh_rect(body: Reader) -> RefreshRect:
    """TS_REFRESH_RECT_PDU, 2.2.11.2. Areas that are empty are left out."""
    count = body.u8()
    body.skip(3)
    areas = []
    for _ in range(count):
        area = _inclusive_rectangle(body)
        if area.width > 0 and area.height > 0:
            areas.append(area)
    body.end()
    return RefreshRect(tuple(areas))


def parse_suppress_output(body: Reader) -> SuppressOutput:
    """TS_SUPPRESS_OUTPUT_PDU, 2.2.11.3; the area that may come with it is of no interest."""
    allowed = body.u8() == _ALLOW_DISPLAY_UPDATES
    body.skip(3)
    if body.remaining:
        _inclusive_rectangle(body)
    body.end()
    return SuppressOutput(allowed)


def parse_frame_acknowledge(body: Reader) -> FrameAcknowledged:
    """TS_FRAME_ACKNOWLEDGE_PDU, MS-RDPRFX 2.2.3.1."""
    frame_id = body.u32()
    body.end()
    return FrameAcknowledged(frame_id)


def synchronize(target_user: int) -> bytes:
    """TS_SYNCHRONIZE_PDU, 2.2.1.19. `target_user`: the client's MCS user channel."""
    return _SYNCHRONIZE.pack(_SYNCMSGTYPE_SYNC, target_user)


def cooperate() -> bytes:
    """TS_CONTROL_PDU that cooperates, 2.2.1.20."""
    return _CONTROL.pack(ControlAction.COOPERATE, 0, 0)


def granted_control(user: int) -> bytes:
    """TS_CONTROL_PDU that grants control, 2.2.1.21. `user`: the client's MCS user channel."""
    return _CONTROL.pack(ControlAction.GRANTED_CONTROL, user, SERVER_CHANNEL)


def font_map() -> bytes:
    """TS_FONT_MAP_PDU, 2.2.1.22, without fonts."""
    return _FONT_MAP.pack(0, 0, _FIRST_AND_LAST, _FONT_ENTRY_SIZE)


def shutdown_denied() -> bytes:
    """TS_SHUTDOWN_DENIED_PDU, 2.2.2.3: nothing; the client then asks its user, or disconnects."""
    return b""


def keyboard_indicators(leds: Led, *, kana: bool = False) -> bytes:
    """TS_SET_KEYBOARD_INDICATORS_PDU, 2.2.8.2.1.1: which lights are on."""
    return _KEYBOARD_INDICATORS.pack(0, leds.value | (0x8 if kana else 0))


def _inclusive_rectangle(reader: Reader) -> Rectangle:
    """TS_RECTANGLE16, 2.2.11.1: the last column and row are inside."""
    left, top, right, bottom = reader.u16(), reader.u16(), reader.u16(), reader.u16()
    return Rectangle(left, top, right + 1 - left, bottom + 1 - top)
