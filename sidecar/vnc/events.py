"""What a client has said: one frozen dataclass for each thing."""

from dataclasses import dataclass, field

from sidecar.encode.pixel_form import PixelForm
from sidecar.screen.rectangle import Rectangle
from sidecar.vnc.capabilities import ClientCapabilities, Owed
from sidecar.vnc.stream_messages import ClientStreamMessage
from sidecar.vnc.wire import (
    ClipboardAction,
    ClipboardFormat,
    FenceFlag,
    PointerButton,
    QemuAudioOperation,
    SampleFormat,
)


@dataclass(frozen=True, slots=True)
class StartTls:
    """The client waits for a TLS server. Send what is outgoing, start TLS, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class VncAuthResponse:
    """A response to the VNC challenge; `security.vnc_auth.response_matches` checks it.

    Answer with `authenticated` or `authentication_failed`.
    """

    challenge: bytes = field(repr=False)
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlainCredentials:
    """A user name and a password. Answer with `authenticated` or `authentication_failed`."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientInit:
    """The handshake is through. Answer with `send_server_init`."""

    shared: bool


@dataclass(frozen=True, slots=True)
class SetPixelFormat:
    """All later rectangles are wanted in this form; where it is no true colour, send its map first."""

    pixel_form: PixelForm


@dataclass(frozen=True, slots=True)
class SetEncodings:
    """A new list of encodings in the client's order, what it means, and what the server owes for it."""

    numbers: tuple[int, ...]
    capabilities: ClientCapabilities
    owed: Owed


@dataclass(frozen=True, slots=True)
class FramebufferUpdateRequest:
    """`area` is as the client wrote it: it may reach beyond the framebuffer."""

    incremental: bool
    area: Rectangle


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A key by its X11 keysym."""

    down: bool
    keysym: int


@dataclass(frozen=True, slots=True)
class QemuKeyEvent:
    """A key by its XT code (facts: key codes section 1); `keysym` is 0 where the client has none."""

    down: bool
    keysym: int
    keycode: int


@dataclass(frozen=True, slots=True)
class PointerEvent:
    """All buttons that are held, and a place that may lie outside the framebuffer.

    While the client was told of a relative pointer, `x` and `y` are motion plus 0x7FFF.
    """

    buttons: PointerButton
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class ClientCutText:
    """Text in Latin-1 with LF, decoded."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CutTextTooLong:
    """A cut text or clipboard content above the limit was thrown away as it came."""

    size: int


@dataclass(frozen=True, slots=True)
class ClipboardCaps:
    """Formats with their greatest unsolicited size in bytes, and actions that the client has."""

    actions: ClipboardAction
    sizes: dict[ClipboardFormat, int]


@dataclass(frozen=True, slots=True)
class ClipboardRequest:
    """The client wants the contents in these formats."""

    formats: ClipboardFormat


@dataclass(frozen=True, slots=True)
class ClipboardPeek:
    """The client wants to be notified of what there is."""


@dataclass(frozen=True, slots=True)
class ClipboardNotify:
    """The client's clipboard has contents in these formats; none: it is empty."""

    formats: ClipboardFormat


@dataclass(frozen=True, slots=True)
class ClipboardProvide:
    """Contents of the client's clipboard, as they came; text by `clipboard.text_of`."""

    contents: dict[ClipboardFormat, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnableContinuousUpdates:
    """`area` is as the client wrote it: it may reach beyond the framebuffer."""

    enable: bool
    area: Rectangle


@dataclass(frozen=True, slots=True)
class ClientFence:
    """A fence: with REQUEST in `flags` one to be answered, else the answer to ours."""

    flags: FenceFlag
    payload: bytes


@dataclass(frozen=True, slots=True)
class Screen:
    """SCREEN of a layout, rfbproto 7.5.11."""

    id: int
    area: Rectangle
    flags: int = 0


@dataclass(frozen=True, slots=True)
class SetDesktopSize:
    """A layout that the client would like; nothing of it was checked. It must be answered."""

    width: int
    height: int
    screens: tuple[Screen, ...]


@dataclass(frozen=True, slots=True)
class Xvp:
    """A wish for the power switch: one of `XvpCode`, or a number nobody knows, to be answered with FAIL."""

    code: int


@dataclass(frozen=True, slots=True)
class QemuAudioSwitch:
    """Audio on (ENABLE) or off (DISABLE)."""

    operation: QemuAudioOperation


@dataclass(frozen=True, slots=True)
class QemuAudioFormat:
    """The audio format that the client wants; channels 1 or 2, frequency 1..48000 Hz."""

    sample_format: SampleFormat
    channels: int
    frequency: int


Question = StartTls | VncAuthResponse | PlainCredentials | ClientInit
"""Events that the driver answers before the connection reads on."""

Event = (
    Question
    | SetPixelFormat
    | SetEncodings
    | FramebufferUpdateRequest
    | KeyEvent
    | QemuKeyEvent
    | PointerEvent
    | ClientCutText
    | CutTextTooLong
    | ClipboardCaps
    | ClipboardRequest
    | ClipboardPeek
    | ClipboardNotify
    | ClipboardProvide
    | EnableContinuousUpdates
    | ClientFence
    | SetDesktopSize
    | Xvp
    | QemuAudioSwitch
    | QemuAudioFormat
    | ClientStreamMessage
)
