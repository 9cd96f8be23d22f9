"""Sound from the client: the server's side of the audio input protocol (MS-RDPEAI), without any I/O."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import TypeAlias

from sidecar.rdp.audio_format import AudioFormat, read_formats
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.wire import Reader
from sidecar.sound.form import AudioForm

NAME = "AUDIO_INPUT"
"""The dynamic channel."""

MAX_MESSAGE = 1 << 16
"""Bytes of a message from the client: a third of a second in the largest form."""

VERSION = 1
"""What is offered; version 2 only adds that the format AAC may be used."""

PACKETS = 50
"""In a second, as the client is asked to send them."""

_U32 = struct.Struct("<I")
_FORMATS = struct.Struct("<II")
_OPEN = struct.Struct("<II")


class MessageId(IntEnum):
    """MessageId, MS-RDPEAI 2.2.1; the names have MSG_SNDIN_ in front in the specification."""

    VERSION = 0x01
    FORMATS = 0x02
    OPEN = 0x03
    OPEN_REPLY = 0x04
    DATA_INCOMING = 0x05
    DATA = 0x06
    FORMATCHANGE = 0x07


@dataclass(frozen=True, slots=True)
class Ready:
    """The client can record. `form`: in what form it would, None: in none that this server has."""

    form: AudioForm | None


@dataclass(frozen=True, slots=True)
class Spoken:
    """Whole frames, at least one."""

    form: AudioForm
    data: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The client cannot record after all. `result`: its HRESULT, negative."""

    result: int


Event: TypeAlias = Ready | Spoken | Refused


class Stage(Enum):
    """Where the protocol is."""

    VERSION = auto()
    """the client is to tell its version"""
    FORMATS = auto()
    """the client is to say what it has"""
    IDLE = auto()
    """the client is not recording"""
    OPEN = auto()
    """the client was asked to record; there is no way back but to close the channel"""


class AudioInput:
    """One channel of one client. What the methods return is to be sent, in order, each as one message."""

    def __init__(self, formats: Sequence[AudioFormat]) -> None:
        """`formats`: what is offered, the best one first; the client answers with those that it has."""
        self._offer = tuple(formats)
        self.stage = Stage.VERSION
        self._taken: tuple[AudioFormat, ...] = ()
        self._number: int | None = None
        """The index among them of the format to begin with."""
        self._form: AudioForm | None = None
        """What comes now; None for what is not understood."""
        self._left = b""

    def opened(self) -> bytes:
        """The first message (Version), when the channel is open."""
        return _message(MessageId.VERSION, _U32.pack(VERSION))

    def record(self) -> list[bytes]:
        """Has the client record from now on. Raises LocalError unless it is IDLE and has a form."""
        if self.stage is not Stage.IDLE or self._number is None:
            raise LocalError("A client is asked to record that cannot.")
        self.stage = Stage.OPEN
        chosen = self._taken[self._number]
        self._form = chosen.form
        # first how it is sent, then how it is recorded, which is the same with PCM
        fields = _OPEN.pack(chosen.rate // PACKETS, self._number) + chosen.pack()
        return [_message(MessageId.OPEN, fields)]

    def receive(self, message: bytes) -> tuple[list[Event], list[bytes]]:
        """Takes one message: what it means, and what is to be sent for it.

        Messages that are not known are left alone. Raises RemoteError.
        """
        reader = Reader(message, "a message on the audio input channel")
        kind = reader.u8()
        if kind == MessageId.DATA:
            return self._data(reader.rest()), []
        if kind == MessageId.VERSION:
            return [], self._version(reader)
        if kind == MessageId.FORMATS:
            return [self._formats(reader)], []
        if kind == MessageId.FORMATCHANGE:
            self._change(reader.u32())
        elif kind == MessageId.OPEN_REPLY:
            result = reader.i32()
            self._need(Stage.OPEN, "an answer to what was not asked")
            if result < 0:
                return [Refused(result)], []
        return [], []

    def _version(self, reader: Reader) -> list[bytes]:
        reader.u32()
        self._need(Stage.VERSION, "a second version")
        self.stage = Stage.FORMATS
        formats = b"".join(each.pack() for each in self._offer)
        # the size counts the whole message
        fields = _FORMATS.pack(len(self._offer), 1 + _FORMATS.size + len(formats))
        return [_message(MessageId.FORMATS, fields + formats)]

    def _formats(self, reader: Reader) -> Event:
        self._need(Stage.FORMATS, "formats that nobody asked for")
        count = reader.u32()
        reader.skip(4)
        # what follows the formats is extra data, which nobody has defined
        self._taken = read_formats(reader, count)
        self.stage = Stage.IDLE
        for offered in self._offer:
            for number, taken in enumerate(self._taken):
                if offered.is_same(taken):
                    self._number = number
                    return Ready(offered.form)
        return Ready(None)

    def _change(self, number: int) -> None:
        """The client sends in another format from now on; or confirms the one that it was asked for."""
        self._need(Stage.OPEN, "a format of what is not sent")
        if number >= len(self._taken):
            raise RemoteError(Reason.MALFORMED, f"The client has no audio format {number}.")
        taken = self._taken[number]
        form = taken.form if any(each.is_same(taken) for each in self._offer) else None
        if form != self._form:
            self._form = form
            self._left = b""

    def _data(self, data: bytes) -> list[Event]:
        self._need(Stage.OPEN, "sound that nobody asked for")
        if self._form is None:
            return []
        data = self._left + data
        whole = len(data) - len(data) % self._form.frame_size
        self._left = data[whole:]
        return [Spoken(self._form, data[:whole])] if whole else []

    def _need(self, stage: Stage, what: str) -> None:
        if self.stage is not stage:
            raise RemoteError(Reason.UNEXPECTED, f"The client sends {what} on the audio input channel.")


def _message(kind: MessageId, body: bytes) -> bytes:
    return bytes((kind,)) + body
