"""The client's data blocks, from its GCC conference create request (MS-RDPBCGR 2.2.1.3.2 to 2.2.1.3.10)."""

from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Monitor
from sidecar.rdp.mcs import MAX_STATIC_CHANNELS
from sidecar.rdp.wire import Reader
from sidecar.screen.rectangle import Rectangle

MAX_MONITORS = 16
"""MS-RDPBCGR 2.2.1.3.6."""

_NAME_SIZE = 32
_CHANNEL_NAME_SIZE = 8
_MONITOR_ATTRIBUTES = 20
_MONITOR_PRIMARY = 0x01
_SHOW_PROTOCOL = 0x00200000


class Block(IntEnum):
    """Types of the blocks that are read; all others are skipped."""

    CS_CORE = 0xC001
    CS_SECURITY = 0xC002
    CS_NET = 0xC003
    CS_CLUSTER = 0xC004
    CS_MONITOR = 0xC005
    CS_MCS_MSGCHANNEL = 0xC006
    CS_MONITOR_EX = 0xC008
    CS_MULTITRANSPORT = 0xC00A


class EarlyCapability(IntFlag):
    """earlyCapabilityFlags: RNS_UD_CS_ and these names (MS-RDPBCGR 2.2.1.3.2)."""

    SUPPORT_ERRINFO_PDU = 0x0001
    WANT_32BPP_SESSION = 0x0002
    SUPPORT_STATUSINFO_PDU = 0x0004
    STRONG_ASYMMETRIC_KEYS = 0x0008
    VALID_CONNECTION_TYPE = 0x0020
    SUPPORT_MONITOR_LAYOUT_PDU = 0x0040
    SUPPORT_NETCHAR_AUTODETECT = 0x0080
    SUPPORT_DYNVC_GFX_PROTOCOL = 0x0100
    SUPPORT_DYNAMIC_TIME_ZONE = 0x0200
    SUPPORT_HEARTBEAT_PDU = 0x0400
    SUPPORT_SKIP_CHANNELJOIN = 0x0800


NO_EARLY_CAPABILITIES = EarlyCapability(0)


@dataclass(frozen=True, slots=True)
class CoreData:
    """TS_UD_CS_CORE; what a client leaves out at its end has the value 0."""

    version: int
    width: int
    height: int
    colour_depth: int
    """4, 8, 15, 16, 24 or 32: what the several fields for it come to."""
    keyboard_layout: int
    build: int
    name: str
    keyboard_type: int
    keyboard_subtype: int = 0
    early_capabilities: EarlyCapability = NO_EARLY_CAPABILITIES
    connection_type: int = 0
    selected_protocol: int = 0
    desktop_scale_factor: int = 0


@dataclass(frozen=True, slots=True)
class ChannelDefinition:
    """CHANNEL_DEF (MS-RDPBCGR 2.2.1.3.4.1). `name`: up to 8 printable characters; `options`: U32."""

    name: str
    options: int

    @property
    def shows_protocol(self) -> bool:
        """CHANNEL_OPTION_SHOW_PROTOCOL: every chunk is to say that its header is for the channel's user."""
        return bool(self.options & _SHOW_PROTOCOL)


@dataclass(frozen=True, slots=True)
class ClientData:
    """All blocks. Those that a client left out have the defaults."""

    core: CoreData
    encryption_methods: int = 0
    channels: tuple[ChannelDefinition, ...] = ()
    cluster_flags: int = 0
    monitors: tuple[Monitor, ...] = ()
    wants_message_channel: bool = False
    multitransport_flags: int = 0


def parse_client_data(reader: Reader) -> ClientData:
    """Takes the blocks apart, which may come in any order. Raises RemoteError also where there is no core."""
    found: dict[Block, Reader] = {}
    while reader.remaining:
        kind, length = reader.u16(), reader.u16()
        if length < 4:
            raise reader.malformed(f"block {kind:#x} says that it has {length} bytes")
        body = reader.part(length - 4, f"client data block {kind:#x}")
        if kind in _BLOCKS:
            found.setdefault(Block(kind), body)
    if Block.CS_CORE not in found:
        raise RemoteError(Reason.MALFORMED, "The client sent no core data.")
    data = ClientData(_parse_core(found.pop(Block.CS_CORE)))
    monitors = _parse_monitors(found.pop(Block.CS_MONITOR)) if Block.CS_MONITOR in found else ()
    for kind, body in found.items():
        match kind:
            case Block.CS_SECURITY:
                data = replace(data, encryption_methods=body.u32())
            case Block.CS_NET:
                data = replace(data, channels=_parse_channels(body))
            case Block.CS_CLUSTER:
                data = replace(data, cluster_flags=body.u32())
            case Block.CS_MCS_MSGCHANNEL:
                data = replace(data, wants_message_channel=True)
            case Block.CS_MONITOR_EX:
                monitors = _parse_monitor_attributes(body, monitors)
            case Block.CS_MULTITRANSPORT:
                data = replace(data, multitransport_flags=body.u32())
    return replace(data, monitors=monitors)


_BLOCKS = frozenset(Block)

_COLOUR_DEPTHS = {0xCA00: 4, 0xCA01: 8, 0xCA02: 15, 0xCA03: 16, 0xCA04: 24}
_HIGH_COLOUR_DEPTHS = frozenset((4, 8, 15, 16, 24))


def _parse_core(reader: Reader) -> CoreData:
    version, width, height = reader.u32(), reader.u16(), reader.u16()
    colour_depth = _COLOUR_DEPTHS.get(reader.u16(), 8)
    reader.skip(2)  # SASSequence
    layout, build = reader.u32(), reader.u32()
    name = reader.take(_NAME_SIZE).decode("utf-16-le", "replace").partition("\0")[0]
    keyboard_type, keyboard_subtype = reader.u32(), reader.u32()
    reader.skip(4 + 64)  # keyboardFunctionKey, imeFileName
    optional = _Optional(reader)
    colour_depth = _COLOUR_DEPTHS.get(optional.u16(), colour_depth)
    optional.skip(2 + 4)  # clientProductId, serialNumber
    high_colour_depth = optional.u16()
    if high_colour_depth in _HIGH_COLOUR_DEPTHS:
        colour_depth = high_colour_depth
    optional.skip(2)  # supportedColorDepths
    early = EarlyCapability(optional.u16())
    if early & EarlyCapability.WANT_32BPP_SESSION and colour_depth == 24:
        colour_depth = 32
    optional.skip(64)  # clientDigProductId
    connection_type = optional.u8()
    optional.skip(1)
    selected_protocol = optional.u32()
    optional.skip(4 + 4 + 2)  # desktopPhysicalWidth, desktopPhysicalHeight, desktopOrientation
    return CoreData(
        version,
        width,
        height,
        colour_depth,
        layout,
        build,
        name,
        keyboard_type,
        keyboard_subtype,
        early,
        connection_type,
        selected_protocol,
        desktop_scale_factor=optional.u32(),
    )


class _Optional:
    """Reads fields of which the last ones may be missing; those are 0. Later versions may add more."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def u8(self) -> int:
        return self._reader.u8() if self._has(1) else 0

    def u16(self) -> int:
        return self._reader.u16() if self._has(2) else 0

    def u32(self) -> int:
        return self._reader.u32() if self._has(4) else 0

    def skip(self, count: int) -> None:
        if self._has(count):
            self._reader.skip(count)

    def _has(self, count: int) -> bool:
        if self._reader.remaining >= count:
            return True
        self._reader.skip(self._reader.remaining)
        return False


def _parse_channels(reader: Reader) -> tuple[ChannelDefinition, ...]:
    count = reader.u32()
    if count > MAX_STATIC_CHANNELS:
        raise reader.malformed(f"it lists {count} channels")
    return tuple(
        ChannelDefinition(_channel_name(reader.take(_CHANNEL_NAME_SIZE)), reader.u32()) for _ in range(count)
    )


def _channel_name(raw: bytes) -> str:
    name = raw.partition(b"\0")[0].decode("latin-1")
    return "".join(character if " " <= character <= "~" else "?" for character in name)


def _parse_monitors(reader: Reader) -> tuple[Monitor, ...]:
    reader.skip(4)
    count = reader.u32()
    if count > MAX_MONITORS:
        raise reader.malformed(f"it lists {count} monitors")
    monitors = []
    for _ in range(count):
        left, top, right, bottom = (reader.i32() for _ in range(4))
        if right < left or bottom < top:
            raise reader.malformed("a monitor has no area")
        primary = bool(reader.u32() & _MONITOR_PRIMARY)
        monitors.append(Monitor(Rectangle(left, top, right - left + 1, bottom - top + 1), primary))
    return tuple(monitors)


def _parse_monitor_attributes(reader: Reader, monitors: tuple[Monitor, ...]) -> tuple[Monitor, ...]:
    """The monitors with their attributes, where there is one set for each of them."""
    reader.skip(4)
    size, count = reader.u32(), reader.u32()
    if size != _MONITOR_ATTRIBUTES or count > MAX_MONITORS:
        raise reader.malformed(f"it lists {count} monitors of {size} bytes")
    if count != len(monitors):
        return monitors
    described = []
    for monitor in monitors:
        width, height = reader.u32(), reader.u32()
        orientation, desktop_scale, _ = reader.u32(), reader.u32(), reader.u32()
        described.append(
            replace(
                monitor,
                physical_size=(width, height),
                orientation=orientation,
                desktop_scale_factor=desktop_scale,
            )
        )
    return tuple(described)
