"""The display control channel: the monitors that the client wants (MS-RDPEDISP)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import combinations
from typing import TypeAlias

from sidecar.rdp.wire import Reader
from sidecar.screen.rectangle import Rectangle

NAME = "Microsoft::Windows::RDS::DisplayControl"
"""The dynamic channel."""

MAX_MESSAGE = 1 << 12
"""Bytes of a message from the client: the 16 monitors that the specification allows have 656."""

MIN_SIZE = 200
MAX_SIZE = 8192
"""Pixels of a monitor's edges (MS-RDPEDISP 2.2.2.2.1)."""

MAX_EXTENT = 32766
"""Pixels of the edges of all monitors together (MS-RDPBCGR 2.2.1.3.6)."""

_PRIMARY = 0x00000001
_MILLIMETRES = range(10, 10001)
_ORIENTATIONS = (0, 90, 180, 270)
_SCALES = range(100, 501)
_LAYOUT_SIZE = 40
_CAPS = struct.Struct("<IIIII")


class PduType(IntEnum):
    """DISPLAYCONTROL_HEADER's Type, MS-RDPEDISP 2.2.1.1."""

    MONITOR_LAYOUT = 0x00000002
    CAPS = 0x00000005


@dataclass(frozen=True, slots=True)
class MonitorWish:
    """One monitor as the client wants it; what it left out or got wrong is None."""

    area: Rectangle
    """Pixels; the primary monitor is at 0, 0. Width (even) and height: 200..8192."""
    primary: bool
    physical_size: tuple[int, int] | None = None
    """Width and height in millimetres, 10..10000."""
    orientation: int = 0
    """Degrees clockwise: 0, 90, 180 or 270. The area is what is seen after the turn."""
    scale: int | None = None
    """Of the desktop, per cent: 100..500."""


@dataclass(frozen=True, slots=True)
class MonitorLayout:
    """The client wants these monitors, one of which is the primary one; none overlap."""

    monitors: tuple[MonitorWish, ...]


@dataclass(frozen=True, slots=True)
class LayoutIgnored:
    """The client wants what cannot be: nothing is to be done. `text`: one plain sentence, for the log."""

    text: str


Event: TypeAlias = MonitorLayout | LayoutIgnored


class DisplayControl:
    """The server's side of the channel, without input or output.

    `max_monitors`: 1..16. The area of all monitors together is at most `max_monitors` times `max_width` times
    `max_height`, which are pixels up to 8192.
    """

    def __init__(self, max_monitors: int = 1, max_width: int = MAX_SIZE, max_height: int = MAX_SIZE) -> None:
        self._max_monitors = max_monitors
        self._max_width = max_width
        self._max_height = max_height

    def opened(self) -> bytes:
        """The first message (DISPLAYCONTROL_CAPS_PDU), when the channel is open."""
        return _CAPS.pack(PduType.CAPS, _CAPS.size, self._max_monitors, self._max_width, self._max_height)

    def receive(self, message: bytes) -> Iterator[Event]:
        """Takes one message of the channel; PDUs of other types are skipped.

        A layout is put right where the wish is clear: an odd width loses a pixel, a size out of range becomes
        the nearest in range, one monitor is made the primary one and the others are moved along with it.
        Raises RemoteError while iterating.
        """
        reader = Reader(message, "a PDU on the display control channel")
        kind, length = reader.u32(), reader.u32()
        if length != len(message):
            raise reader.malformed(f"a length of {length} in {len(message)} bytes")
        if kind == PduType.MONITOR_LAYOUT:
            yield self._layout(reader)

    def _layout(self, reader: Reader) -> Event:
        size, count = reader.u32(), reader.u32()
        if size < _LAYOUT_SIZE or reader.remaining != size * count:
            raise reader.malformed(f"{count} monitors of {size} bytes in {reader.remaining}")
        if not 0 < count <= self._max_monitors:
            return LayoutIgnored(f"{count} monitors, where {self._max_monitors} are offered")
        monitors = [_monitor(reader.part(size, "a monitor layout")) for _ in range(count)]
        if not all(monitor.area.width and monitor.area.height for monitor in monitors):
            return LayoutIgnored("a monitor without an area")
        monitors = _with_one_primary([_in_range(monitor) for monitor in monitors])
        fault = self._fault([monitor.area for monitor in monitors])
        return LayoutIgnored(fault) if fault else MonitorLayout(tuple(monitors))

    def _fault(self, areas: Sequence[Rectangle]) -> str:
        if any(one.intersect(other).area for one, other in combinations(areas, 2)):
            return "monitors overlap"
        width = max(area.right for area in areas) - min(area.x for area in areas)
        height = max(area.bottom for area in areas) - min(area.y for area in areas)
        if max(width, height) > MAX_EXTENT:
            return "monitors are too far apart"
        if sum(area.area for area in areas) > self._max_monitors * self._max_width * self._max_height:
            return "monitors are too large"
        return ""


def _monitor(reader: Reader) -> MonitorWish:
    """One DISPLAYCONTROL_MONITOR_LAYOUT, its area as it came."""
    flags = reader.u32()
    area = Rectangle(reader.i32(), reader.i32(), reader.u32(), reader.u32())
    millimetres = (reader.u32(), reader.u32())
    orientation, scale = reader.u32(), reader.u32()
    return MonitorWish(
        area,
        bool(flags & _PRIMARY),
        millimetres if all(edge in _MILLIMETRES for edge in millimetres) else None,
        orientation if orientation in _ORIENTATIONS else 0,
        scale if scale in _SCALES else None,
    )


def _in_range(monitor: MonitorWish) -> MonitorWish:
    x, y, width, height = monitor.area
    width = min(max(width & ~1, MIN_SIZE), MAX_SIZE)
    height = min(max(height, MIN_SIZE), MAX_SIZE)
    return replace(monitor, area=Rectangle(x, y, width, height))


def _with_one_primary(monitors: Sequence[MonitorWish]) -> list[MonitorWish]:
    """Keeps the first primary monitor, or makes the first one it, and puts it at 0, 0."""
    primary = next((monitor for monitor in monitors if monitor.primary), monitors[0])
    left, top = primary.area.x, primary.area.y
    return [
        replace(
            monitor,
            area=monitor.area._replace(x=monitor.area.x - left, y=monitor.area.y - top),
            primary=monitor is primary,
        )
        for monitor in monitors
    ]
