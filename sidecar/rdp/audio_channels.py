"""The machine's sound in RDP sessions: serves `rdpsnd`, or the dynamic channel that speaks the same."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from weakref import WeakSet

from sidecar.guest import Audio
from sidecar.log import get_logger
from sidecar.rdp.audio_encoder import encoders_available
from sidecar.rdp.audio_format import COMPRESSED_FORMATS, PCM_FORMATS, AudioFormat
from sidecar.rdp.audio_output import (
    DYNAMIC_NAME,
    MAX_MESSAGE,
    STATIC_NAME,
    AudioOutput,
    Confirmed,
    Quality,
    Trained,
)
from sidecar.rdp.audio_pace import AudioPace
from sidecar.rdp.audio_source import AudioSource
from sidecar.rdp.channel_table import ChannelTable, MessageSender, SessionLine
from sidecar.rdp.desktop import Desktop

log = get_logger(__name__)

NEAR = 0.01
"""Seconds in which a client answers that has bandwidth for anything: one in the same room or building."""


class Compression(StrEnum):
    """Whether clients that can decode compressed sound get it.

    Who is near is better off without: samples are exact, come 20 ms earlier and cost no processor time.
    An address does not tell that, since clients come through forwarded ports, but the time of an answer does.
    """

    NEVER = "never"
    """no codec is ever loaded"""
    AUTO = "auto"
    """those that are not near, or ask for little: PCM has 1.5 Mbit/s, compressed sound a sixteenth of it"""
    ALWAYS = "always"


def audio_channels(
    audio: Audio, table: ChannelTable[Desktop], compression: Compression = Compression.AUTO
) -> None:
    """Has all sessions hear the machine: adds the factories of the channels to `table`.

    A client that has joined the static channel is served there, and is not asked for the dynamic one: it
    hears the sound once. Compressed sound is made once for all sessions that hear it.
    """
    source = AudioSource(audio)
    served: WeakSet[Desktop] = WeakSet()

    def static(desktop: Desktop) -> AudioChannel:
        served.add(desktop)
        return AudioChannel(source, desktop, compression)

    def dynamic(desktop: Desktop) -> AudioChannel | None:
        return None if desktop in served else AudioChannel(source, desktop, compression)

    table.add_static(STATIC_NAME, static)
    table.add_dynamic(DYNAMIC_NAME, dynamic)


class AudioChannel:
    """The sound of one session: a handler of either channel, and a hearer of the machine."""

    max_message = MAX_MESSAGE

    def __init__(self, source: AudioSource, line: SessionLine, compression: Compression) -> None:
        self._source = source
        self._session = line.session
        self._flush = line.flush
        self._compression = compression
        self._compresses = compression is not Compression.NEVER and encoders_available()
        self._output = AudioOutput((*PCM_FORMATS, *(COMPRESSED_FORMATS if self._compresses else ())))
        self._pace = AudioPace()
        self._loop = asyncio.get_running_loop()
        self._channel: MessageSender | None = None
        self._asked_at = 0.0
        self._wishes: list[AudioFormat] = []
        """Formats of this server that the client takes, the one to try first being the first."""
        self._numbers: dict[AudioFormat, int] = {}
        self._format: AudioFormat | None = None
        self._stop: Callable[[], None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._lost = False
        """Whether what was played last was dropped."""

    def opened(self, channel: MessageSender) -> None:
        """Begins with what is offered."""
        self._channel = channel
        channel.send(self._output.opened())

    def receive(self, message: bytes) -> None:
        """Takes a message of the client. Raises RemoteError."""
        now = self._loop.time()
        events, answers = self._output.receive(message, _milliseconds(now))
        if answers:
            self._asked_at = now
            self._send(answers)
        for event in events:
            match event:
                case Trained():
                    self._trained(event, now - self._asked_at)
                case Confirmed(block, timestamp):
                    self._pace.confirmed(block, timestamp, now)

    def closed(self) -> None:
        """Hears no more."""
        self._channel = None
        self._stop_hearing()
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._session.audio = ""

    @property
    def behind(self) -> float:
        """Seconds of sound that wait on the way or at the client, beyond its own latency; may be negative."""
        return self._pace.behind(self._loop.time())

    # What the machine plays

    def began(self) -> None:
        """Sound follows."""
        self._pace.began()
        self._lost = False

    def heard(self, data: bytes, seconds: float) -> None:
        """Sends it, unless the client is too far behind."""
        now = self._loop.time()
        if self._format is None or self._channel is None:
            return
        if not self._pace.may_send(now):
            if not self._lost:
                self._session.audio_drop_outs += 1
                log.debug("sound dropped", session=self._session.id, behind=round(self.behind, 3))
            self._lost = True
            return
        self._lost = False
        timestamp = _milliseconds(now)
        block, messages = self._output.wave(self._numbers[self._format], data, timestamp)
        self._pace.sent(block, timestamp, seconds, now)
        self._send(messages)
        self._flush()

    def ended(self) -> None:
        """Lets the client close its device."""
        self._send([self._output.close()])
        self._flush()

    def failed(self) -> None:
        """The format cannot be made: takes the next one."""
        self._hear()

    # The client

    def _trained(self, trained: Trained, seconds: float) -> None:
        near = seconds <= NEAR and trained.quality is not Quality.MEDIUM
        compressed = self._compression is Compression.ALWAYS or not near
        self._numbers = dict(_agreed(self._offered(compressed), trained.formats))
        self._wishes = list(self._numbers)
        if not self._wishes:
            log.info("client takes no sound of this server", session=self._session.id)
            return
        self._unsubscribe = self._source.audio.changes.subscribe(self._tell)
        self._hear()

    def _offered(self, compressed: bool) -> Sequence[AudioFormat]:
        """The formats in the order in which this client is to have them."""
        if not self._compresses:
            return PCM_FORMATS
        if compressed:
            return (*COMPRESSED_FORMATS, *PCM_FORMATS)
        return (*PCM_FORMATS, *COMPRESSED_FORMATS)

    def _hear(self) -> None:
        self._stop_hearing()
        self._format = next((each for each in self._wishes if self._source.usable(each)), None)
        if self._format is not None:
            self._stop = self._source.hear(self._format, self)
        self._tell()

    def _stop_hearing(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None

    def _tell(self) -> None:
        """Says in the session's record how it hears the machine."""
        hears = self._format is not None and self._source.audio.is_there
        self._session.audio = self._format.name if hears and self._format is not None else ""

    def _send(self, messages: Sequence[bytes]) -> None:
        if self._channel is not None:
            for message in messages:
                self._channel.send(message)


def _agreed(
    offered: Sequence[AudioFormat], taken: Sequence[AudioFormat]
) -> Iterator[tuple[AudioFormat, int]]:
    """Those of `offered` that the client takes, with their numbers in its list."""
    for each in offered:
        for number, other in enumerate(taken):
            if each.is_same(other):
                yield each, number
                break


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
