"""The numbers of the RFB protocol under the specification's names, and a reader of its integers.

Source: rfbproto (community wiki edition), and facts: RFB. All integers on the wire are big-endian.
"""

import struct
from enum import IntEnum, IntFlag

from sidecar.vnc.errors import Reason, RemoteError

PROTOCOL_VERSION = b"RFB 003.008\n"
"""ProtocolVersion, rfbproto 7.1.1."""

MAX_FENCE_PAYLOAD = 64
"""Bytes, rfbproto 7.4.8."""


class Version(IntEnum):
    """The protocol versions that are told apart, by their minor number; the major one is 3."""

    V3_3 = 3
    V3_7 = 7
    V3_8 = 8


class SecurityType(IntEnum):
    """Security types, rfbproto 7.1.2; only those that are served."""

    INVALID = 0
    NONE = 1
    VNC_AUTHENTICATION = 2
    VENCRYPT = 19


class VeNCryptSubtype(IntEnum):
    """VeNCrypt subtypes, rfbproto 7.2.7; only those that are served (facts: RFB section 1.3)."""

    PLAIN = 256
    X509_NONE = 260
    X509_VNC = 261
    X509_PLAIN = 262


class SecurityResult(IntEnum):
    """SecurityResult, rfbproto 7.1.3."""

    OK = 0
    FAILED = 1


class ClientMessage(IntEnum):
    """Types of client to server messages, rfbproto 7.5 and extensions."""

    SET_PIXEL_FORMAT = 0
    SET_ENCODINGS = 2
    FRAMEBUFFER_UPDATE_REQUEST = 3
    KEY_EVENT = 4
    POINTER_EVENT = 5
    CLIENT_CUT_TEXT = 6
    ENABLE_CONTINUOUS_UPDATES = 150
    STREAM = 181
    CLIENT_FENCE = 248
    XVP = 250
    SET_DESKTOP_SIZE = 251
    QEMU = 255


class ServerMessage(IntEnum):
    """Types of server to client messages, rfbproto 7.6 and extensions."""

    FRAMEBUFFER_UPDATE = 0
    SET_COLOUR_MAP_ENTRIES = 1
    BELL = 2
    SERVER_CUT_TEXT = 3
    END_OF_CONTINUOUS_UPDATES = 150
    STREAM = 181
    SERVER_FENCE = 248
    XVP = 250
    QEMU = 255


class QemuClientMessage(IntEnum):
    """Submessages of the client's message 255, rfbproto 7.5.12 and 7.5.13."""

    EXTENDED_KEY_EVENT = 0
    AUDIO = 1


class QemuAudioOperation(IntEnum):
    """Operations of the client's audio submessage."""

    ENABLE = 0
    DISABLE = 1
    SET_FORMAT = 2


class QemuServerMessage(IntEnum):
    """Submessages of the server's message 255."""

    AUDIO = 1


class QemuAudioEvent(IntEnum):
    """Operations of the server's audio submessage."""

    END = 0
    BEGIN = 1
    DATA = 2


class SampleFormat(IntEnum):
    """Sample formats of QEMU audio; samples are little-endian (facts: RFB section 3)."""

    U8 = 0
    S8 = 1
    U16 = 2
    S16 = 3
    U32 = 4
    S32 = 5


class StreamOperation(IntEnum):
    """Operations of the stream message, both ways (docs/rfb-streams.md)."""

    ANNOUNCE = 0
    WITHDRAW = 1
    OPEN = 2
    OPENED = 3
    CLOSE = 4
    DATA = 5
    CREDIT = 6
    RIGHTS = 7
    BREAK = 8


class StreamKind(IntEnum):
    """What is at the other end of a stream (docs/rfb-streams.md)."""

    SERIAL = 0
    MONITOR = 1
    CHANNEL = 2


class StreamFlag(IntFlag):
    """What a stream allows, or what is asked of it (docs/rfb-streams.md)."""

    WRITE = 1 << 0
    HISTORY = 1 << 1


class StreamEnd(IntEnum):
    """Why a stream was closed (docs/rfb-streams.md)."""

    DONE = 0
    """as the other side wished"""
    GONE = 1
    """the device is not there any more"""
    NOT_ALLOWED = 2
    LIMIT = 3
    """too many streams are open"""


class XvpCode(IntEnum):
    """Codes of the xvp message, both ways."""

    FAIL = 0
    INIT = 1
    SHUTDOWN = 2
    REBOOT = 3
    RESET = 4


COPY_RECT = 1
"""The one encoding that carries no pixels; the others are `sidecar.encode.form.Encoding`."""


class PseudoEncoding(IntEnum):
    """Pseudo-encodings, signed as on the wire, rfbproto 7.8 and extensions."""

    DESKTOP_SIZE = -223
    LAST_RECT = -224
    CURSOR = -239
    QEMU_POINTER_MOTION_CHANGE = -257
    QEMU_EXTENDED_KEY_EVENT = -258
    QEMU_AUDIO = -259
    QEMU_LED_STATE = -261
    DESKTOP_NAME = -307
    EXTENDED_DESKTOP_SIZE = -308
    XVP = -309
    FENCE = -312
    CONTINUOUS_UPDATES = -313
    CURSOR_WITH_ALPHA = -314
    EXTENDED_MOUSE_BUTTONS = -316
    LIBVNC_LED_STATE = -131072
    EXTENDED_CLIPBOARD = -1063131698
    STREAMS = 0x56445301
    VMWARE_CURSOR = 0x574D5664
    VMWARE_LED_STATE = 0x574D5668


JPEG_QUALITY_LEVELS = range(-32, -22)
"""JPEG quality level pseudo-encodings, lowest quality first."""

COMPRESSION_LEVELS = range(-256, -246)
"""Compression level pseudo-encodings, fastest first."""

JPEG_FINE_QUALITY_LEVELS = range(-512, -411)
"""JPEG fine-grained quality level pseudo-encodings: 0 to 100."""

JPEG_SUBSAMPLING_LEVELS = range(-768, -762)
"""JPEG subsampling level pseudo-encodings, in the order of `Subsampling`."""


class Subsampling(IntEnum):
    """JPEG chroma subsampling: the offset of its pseudo-encoding from -768."""

    X1 = 0
    X4 = 1
    X2 = 2
    GRAY = 3
    X8 = 4
    X16 = 5


class ResizeReason(IntEnum):
    """Who has changed the layout: x-position of an ExtendedDesktopSize rectangle, rfbproto 7.8.5."""

    SERVER = 0
    THIS_CLIENT = 1
    OTHER_CLIENT = 2


class ResizeStatus(IntEnum):
    """How a SetDesktopSize went: y-position of an ExtendedDesktopSize rectangle, rfbproto 7.8.5."""

    NO_ERROR = 0
    PROHIBITED = 1
    OUT_OF_RESOURCES = 2
    INVALID_LAYOUT = 3
    REQUEST_FORWARDED = 4


class PointerButton(IntFlag):
    """Bits of a pointer event's mask; those from BACK on as the extended mouse buttons put them."""

    LEFT = 1 << 0
    MIDDLE = 1 << 1
    RIGHT = 1 << 2
    WHEEL_UP = 1 << 3
    WHEEL_DOWN = 1 << 4
    WHEEL_LEFT = 1 << 5
    WHEEL_RIGHT = 1 << 6
    BACK = 1 << 7
    FORWARD = 1 << 8


class FenceFlag(IntFlag):
    """Flags of a fence, rfbproto 7.4.8."""

    BLOCK_BEFORE = 1 << 0
    BLOCK_AFTER = 1 << 1
    SYNC_NEXT = 1 << 2
    REQUEST = 1 << 31


class ClipboardFormat(IntFlag):
    """Formats of the extended clipboard, in the order in which their sizes and contents follow."""

    TEXT = 1 << 0
    RTF = 1 << 1
    HTML = 1 << 2
    DIB = 1 << 3
    FILES = 1 << 4


CLIPBOARD_FORMATS = 0xFFFF
"""The bits of an extended clipboard message that stand for formats, known and unknown."""


class ClipboardAction(IntFlag):
    """Actions of the extended clipboard."""

    CAPS = 1 << 24
    REQUEST = 1 << 25
    PEEK = 1 << 26
    NOTIFY = 1 << 27
    PROVIDE = 1 << 28


class Reader:
    """Reads the integers of a body whose bytes are all there; what is too short or too long is refused."""

    __slots__ = ("_data", "_offset", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._offset = 0
        self._what = what

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._offset

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises RemoteError (MALFORMED) where they are missing."""
        if size > self.remaining:
            raise RemoteError(Reason.MALFORMED, f"{self._what} is shorter than it says.")
        start = self._offset
        self._offset += size
        return self._data[start : self._offset]

    def u32(self) -> int:
        """The next four bytes as an unsigned integer."""
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def end(self) -> None:
        """Says that nothing more may follow. Raises RemoteError (MALFORMED)."""
        if self.remaining:
            raise RemoteError(Reason.MALFORMED, f"{self._what} is longer than it says.")


_U32 = struct.Struct(">I")


def reason_string(text: str) -> bytes:
    """U32 length and UTF-8 text, as the protocol gives reasons and names."""
    data = text.encode("utf-8", "replace")
    return _U32.pack(len(data)) + data
