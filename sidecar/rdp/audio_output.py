"""Sound to the client: the server's side of the audio output protocol (MS-RDPEA), without input or output."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import TypeAlias

from sidecar.rdp.audio_format import AudioFormat, read_formats
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.wire import Reader

STATIC_NAME = "rdpsnd"
DYNAMIC_NAME = "AUDIO_PLAYBACK_DVC"
"""The channels that speak this protocol, MS-RDPEA 2.1; a third one is for clients that take datagrams."""

MAX_MESSAGE = 4 + 0xFFFF
"""Bytes of the longest message that BodySize can tell."""

VERSION = 8
"""What is offered; older ones have no Wave2."""

MAX_WAVE = 0xFFFF - 12
"""Bytes of sound in one wave."""

_HEADER = struct.Struct("<BxH")
_SERVER_FORMATS = struct.Struct("<III2xHBHx")
_TRAINING = struct.Struct("<HH")
_WAVE_INFO = struct.Struct("<HHB3x")
_WAVE2 = struct.Struct("<HHB3xI")

_VERSION_WITH_QUALITY = 6
_VERSION_WITH_WAVE2 = 8


class MessageType(IntEnum):
    """msgType, MS-RDPEA 2.2.1; the names have SNDC_ in front in the specification."""

    CLOSE = 0x01
    WAVE = 0x02
    SETVOLUME = 0x03
    WAVECONFIRM = 0x05
    TRAINING = 0x06
    FORMATS = 0x07
    QUALITYMODE = 0x0C
    WAVE2 = 0x0D


class Quality(IntEnum):
    """wQualityMode, MS-RDPEA 2.2.2.3."""

    DYNAMIC = 0
    """as the connection allows"""
    MEDIUM = 1
    """little is to be sent"""
    HIGH = 2


_CAPABILITY_VOLUME = 0x02


@dataclass(frozen=True, slots=True)
class Trained:
    """The client can be played to. `formats`: what it takes, in its own order. `quality`: what it prefers."""

    formats: tuple[AudioFormat, ...]
    quality: Quality


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The client has got a wave. `block`: its number. `timestamp`: that of the wave, and the milliseconds
    from its arrival until it is played added, modulo 65536; a client may confirm a wave twice, first with
    nothing added."""

    block: int
    timestamp: int


Event: TypeAlias = Trained | Confirmed


class Stage(Enum):
    """Where the protocol is."""

    FORMATS = auto()
    """the client is to say what it takes"""
    TRAINING = auto()
    """the client is to answer the training"""
    READY = auto()
    """sound may be sent"""


class AudioOutput:
    """One channel of one client. What the methods return is to be sent, in order, each as one message."""

    def __init__(self, formats: Sequence[AudioFormat]) -> None:
        """`formats`: what is offered; the client answers with those of them that it takes."""
        self._offer = tuple(formats)
        self._stage = Stage.FORMATS
        self._version = 0
        self._has_volume = False
        self._quality = Quality.DYNAMIC
        self._formats: tuple[AudioFormat, ...] = ()
        self._block = 0

    def opened(self) -> bytes:
        """The first message (Server Audio Formats and Version), when the channel is open."""
        # the last block that was confirmed is one before the first that is sent
        fields = _SERVER_FORMATS.pack(0, 0, 0, len(self._offer), 0xFF, VERSION)
        return _message(MessageType.FORMATS, fields + b"".join(each.pack() for each in self._offer))

    def receive(self, message: bytes, timestamp: int) -> tuple[list[Event], list[bytes]]:
        """Takes one message: what it means, and what is to be sent for it.

        `timestamp`: milliseconds, any origin. What stands behind the length that a message tells is left
        alone, and so are messages that are not known. Raises RemoteError.
        """
        reader = Reader(message, "a message on the audio output channel")
        kind = reader.u8()
        reader.skip(1)
        body = reader.part(reader.u16(), f"audio output message {kind:#04x}")
        if kind == MessageType.FORMATS:
            self._client_formats(body)
            # no data, hence no size: the time that it takes is all that is asked for
            return [], [_message(MessageType.TRAINING, _TRAINING.pack(timestamp & 0xFFFF, 0))]
        if kind == MessageType.QUALITYMODE:
            self._quality_mode(body)
        elif kind == MessageType.TRAINING:
            body.skip(_TRAINING.size)
            if self._stage is not Stage.TRAINING:
                raise RemoteError(Reason.UNEXPECTED, "A training is confirmed that was not sent.")
            self._stage = Stage.READY
            return [Trained(self._formats, self._quality)], []
        elif kind == MessageType.WAVECONFIRM:
            heard, block = body.u16(), body.u8()
            return [Confirmed(block, heard)], []
        return [], []

    def wave(self, number: int, data: bytes, timestamp: int) -> tuple[int, list[bytes]]:
        """Sound: the number of its block (0..255), by which it is confirmed, and the messages for it.

        `number`: the index of the sound's format among those of `Trained`. `data`: at most MAX_WAVE bytes.
        `timestamp`: milliseconds. Raises LocalError before `Trained`.
        """
        if self._stage is not Stage.READY:
            raise LocalError("Sound is sent to a client that has not said what it takes.")
        block = self._block
        self._block = (block + 1) & 0xFF
        if self._version >= _VERSION_WITH_WAVE2:
            fields = _WAVE2.pack(timestamp & 0xFFFF, number, block, timestamp & 0xFFFFFFFF)
            return block, [_message(MessageType.WAVE2, fields + data)]
        # a header and the first four bytes; then four others for these, and the rest (MS-RDPEA 2.2.3.3)
        data = data.ljust(4, b"\0")
        fields = _WAVE_INFO.pack(timestamp & 0xFFFF, number, block)
        info = _HEADER.pack(MessageType.WAVE, len(fields) + len(data)) + fields + data[:4]
        return block, [info, bytes(4) + data[4:]]

    def volume(self, left: int, right: int) -> list[bytes]:
        """Has the client play at another volume, 0..65535 each side; nothing for one that cannot."""
        if not self._has_volume:
            return []
        return [_message(MessageType.SETVOLUME, struct.pack("<HH", left, right))]

    def close(self) -> bytes:
        """Nothing is played until the next wave."""
        return _message(MessageType.CLOSE, b"")

    def _client_formats(self, body: Reader) -> None:
        """Client Audio Formats and Version, MS-RDPEA 2.2.2.2."""
        if self._stage is not Stage.FORMATS:
            raise RemoteError(Reason.UNEXPECTED, "The client tells its audio formats twice.")
        self._has_volume = bool(body.u32() & _CAPABILITY_VOLUME)
        body.skip(4 + 4 + 2)
        count = body.u16()
        body.skip(1)
        self._version = body.u16()
        body.skip(1)
        self._formats = read_formats(body, count)
        self._stage = Stage.TRAINING

    def _quality_mode(self, body: Reader) -> None:
        quality = body.u16()
        # a later wish changes nothing, and one that is not known is none
        if self._stage is Stage.TRAINING and quality in Quality.__members__.values():
            self._quality = Quality(quality)


def _message(kind: MessageType, body: bytes) -> bytes:
    return _HEADER.pack(kind, len(body)) + body
