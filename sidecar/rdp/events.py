"""What a connection tells its driver: frozen messages, in the order in which they happened."""

from dataclasses import dataclass, field
from typing import TypeAlias

from sidecar.rdp.authenticator import Identity
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.input_events import InputEvent
from sidecar.screen.rectangle import Rectangle


@dataclass(frozen=True, slots=True)
class StartTls:
    """The driver flushes, upgrades its transport and calls `tls_started`."""

    nla: bool
    """Whether CredSSP follows."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """One of the client's monitors (MS-RDPBCGR 2.2.1.3.6.1). The area may have negative coordinates."""

    area: Rectangle
    primary: bool
    physical_size: tuple[int, int] = (0, 0)
    """Millimetres, as the client says (MS-RDPBCGR 2.2.1.3.9.1); 0 where it says nothing."""
    orientation: int = 0
    """Degrees clockwise."""
    desktop_scale_factor: int = 0
    """Per cent; 0 where the client says nothing."""


@dataclass(frozen=True, slots=True)
class Client:
    """What the client says of itself in its core data (MS-RDPBCGR 2.2.1.3.2 and following)."""

    name: str
    build: int
    width: int
    height: int
    colour_depth: int
    """8, 15, 16, 24 or 32: what it asked for."""
    keyboard_layout: int
    """Windows locale id, 0 where it is not told."""
    keyboard_type: int
    """4: 101 or 102 keys, 7: Japanese, 8: Korean."""
    version: int
    graphics_pipeline: bool
    """Whether it takes EGFX (RNS_UD_CS_SUPPORT_DYNVC_GFX_PROTOCOL)."""
    channels: tuple[str, ...]
    """The static virtual channels that it asked for and has joined, each once."""
    monitors: tuple[Monitor, ...] = ()
    error_info: bool = False
    """Whether it takes Set Error Info PDUs (RNS_UD_CS_SUPPORT_ERRINFO_PDU)."""
    auto_detect: bool = False
    """Whether it takes network characteristics detection (RNS_UD_CS_SUPPORT_NETCHAR_AUTODETECT)."""


@dataclass(frozen=True, slots=True)
class Login:
    """The client wants in; the driver answers by `accept` or `refuse`."""

    client: Client
    user: str
    domain: str
    password: str = field(repr=False)
    """What its Info packet holds; of no meaning where `identity` is set."""
    identity: Identity | None
    """Whom NLA has proven."""


@dataclass(frozen=True, slots=True)
class Activated:
    """The finalisation is over: output may begin, now or again after `reactivate`."""

    capabilities: ClientCapabilities


@dataclass(frozen=True, slots=True)
class Input:
    """The events of one input PDU, in order."""

    events: tuple[InputEvent, ...]


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """A whole message of a static virtual channel."""

    channel: str
    data: bytes


@dataclass(frozen=True, slots=True)
class RefreshRect:
    """The client wants these areas again (MS-RDPBCGR 2.2.11.2)."""

    areas: tuple[Rectangle, ...]


@dataclass(frozen=True, slots=True)
class SuppressOutput:
    """The client's window is hidden (`allowed` false) or back (MS-RDPBCGR 2.2.11.3)."""

    allowed: bool


@dataclass(frozen=True, slots=True)
class FrameAcknowledged:
    """TS_FRAME_ACKNOWLEDGE_PDU (MS-RDPRFX 2.2.3.1): for surface commands, not for EGFX."""

    frame_id: int


@dataclass(frozen=True, slots=True)
class RoundTripMeasured:
    """The client has answered an RTT measure request. `sequence`: the one that was given."""

    sequence: int


@dataclass(frozen=True, slots=True)
class BandwidthMeasured:
    """Bandwidth measure results: `byte_count` in `milliseconds`."""

    byte_count: int
    milliseconds: int


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The user closes the client's window; the connection has denied it, and the client then disconnects."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client said goodbye (MCS Disconnect Provider Ultimatum)."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Many PDUs in a row have asked for nothing: a driver that serves others too may go on later."""


Event: TypeAlias = (
    StartTls
    | Login
    | Activated
    | Input
    | ChannelMessage
    | RefreshRect
    | SuppressOutput
    | FrameAcknowledged
    | RoundTripMeasured
    | BandwidthMeasured
    | ShutdownRequested
    | Disconnected
    | Silence
)
