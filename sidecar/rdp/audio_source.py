"""What the machine plays, in the formats that clients take: each is made once for all who hear it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias

from sidecar.guest import Audio
from sidecar.log import get_logger
from sidecar.rdp.audio_encoder import AudioEncoder
from sidecar.rdp.audio_format import AudioFormat, FormatTag
from sidecar.rdp.audio_output import MAX_WAVE

log = get_logger(__name__)

MAX_WAITING = 0.2
"""Seconds of sound that may wait to be encoded; on a machine that is too slow, what is over is dropped."""

MAX_WAITING_AT_FIRST = 1.0
"""The same while the encoder is being loaded, which is done for the first sound only: it comes late then."""


Packets: TypeAlias = list[tuple[bytes, float]]
"""What is heard, and how many seconds of it."""


class Hearer(Protocol):
    """Gets sound of one format, on the main loop. Its methods neither raise nor wait."""

    def began(self) -> None:
        """Sound follows, after silence of any length."""
        ...

    def heard(self, data: bytes, seconds: float) -> None:
        """So much of it, which can be played without what was before; at most MAX_WAVE bytes."""
        ...

    def ended(self) -> None:
        """Nothing follows until `began`."""
        ...

    def failed(self) -> None:
        """There is no sound of this format, now or later. Nothing else is called any more."""
        ...


class AudioSource:
    """The machine's sound in any number of formats, for any number of hearers. Belongs to the main loop."""

    def __init__(self, audio: Audio) -> None:
        self.audio = audio
        self._encoded: dict[AudioFormat, _Encoded] = {}
        self._unusable: set[AudioFormat] = set()

    def usable(self, form: AudioFormat) -> bool:
        """Whether there is sound of this format, as far as is known."""
        return form not in self._unusable

    def hear(self, form: AudioFormat, hearer: Hearer) -> Callable[[], None]:
        """Has `hearer` hear what is played from now on, at once with `began` if something is.

        `form`: one of this server's. The function returned ends it, without a last call, and may be called
        twice.
        """
        if form.tag == FormatTag.PCM:
            return self.audio.listen(form.form, _Samples(form, hearer))
        encoded = self._encoded.get(form)
        if encoded is None:
            encoded = self._encoded[form] = _Encoded(self, form)
        encoded.add(hearer)
        return lambda: self._leave(encoded, hearer)

    def give_up(self, form: AudioFormat) -> None:
        """Notes that a format cannot be made."""
        self._unusable.add(form)
        self._encoded.pop(form, None)

    def _leave(self, encoded: "_Encoded", hearer: Hearer) -> None:
        encoded.remove(hearer)
        if not encoded.hearers and self._encoded.get(encoded.form) is encoded:
            del self._encoded[encoded.form]
            encoded.close()


class _Samples:
    """PCM: what the machine's sound comes as. One hearer's listener."""

    def __init__(self, form: AudioFormat, hearer: Hearer) -> None:
        self._frame = form.form.frame_size
        self._byte_rate = form.form.byte_rate
        self._hearer = hearer

    def audio_began(self) -> None:
        self._hearer.began()

    def audio_played(self, data: bytes) -> None:
        step = MAX_WAVE - MAX_WAVE % self._frame
        for start in range(0, len(data), step):
            part = data if len(data) <= step else data[start : start + step]
            self._hearer.heard(part, len(part) / self._byte_rate)

    def audio_ended(self) -> None:
        self._hearer.ended()


class _Encoded:
    """One compressed format. Encodes on a thread of its own while anybody hears it, and the machine plays."""

    def __init__(self, source: AudioSource, form: AudioFormat) -> None:
        self.form = form
        self.hearers: list[Hearer] = []
        self._source = source
        self._loop = asyncio.get_running_loop()
        # one thread: what is given to it is done in order
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"audio-{FormatTag(form.tag).name.lower()}")
        self._encoder: AudioEncoder | None = None
        """Only the thread uses it."""
        self._playing = False
        self._loaded = False
        self._waiting = 0.0
        self._drops = False
        self._open = True
        self._stop: Callable[[], None] | None = None

    def add(self, hearer: Hearer) -> None:
        self.hearers.append(hearer)
        if self._stop is None:
            self._stop = self._source.audio.listen(self.form.form, self)
        elif self._playing:
            hearer.began()

    def remove(self, hearer: Hearer) -> None:
        if hearer in self.hearers:
            self.hearers.remove(hearer)

    def close(self) -> None:
        """Ends listening and the thread, which is not waited for."""
        self._open = False
        if self._stop is not None:
            self._stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def audio_began(self) -> None:
        self._submit(_nothing, self._began)

    def audio_played(self, data: bytes) -> None:
        seconds = len(data) / self.form.form.byte_rate
        limit = MAX_WAITING if self._loaded else MAX_WAITING_AT_FIRST
        drops = self._waiting > 0 and self._waiting + seconds > limit
        if drops and not self._drops:
            log.warning("sound is encoded too slowly, some is dropped", format=self.form.name)
        self._drops = drops
        if not drops:
            self._waiting += seconds
            self._submit(lambda: self._encode(data), lambda: self._encoded(seconds))

    def audio_ended(self) -> None:
        self._submit(self._finish, self._ended)

    def _submit(self, work: Callable[[], Packets], after: Callable[[], None]) -> None:
        """Has the thread do `work`, then tells the packets and calls `after`; all in the order of calling."""
        if not self._open:
            return

        def run() -> None:
            try:
                packets = work()
            except Exception as error:
                # whatever FFmpeg has: it has no sound for anybody
                self._loop.call_soon_threadsafe(self._fail, error)
            else:
                self._loop.call_soon_threadsafe(self._tell, packets, after)

        self._thread.submit(run)

    def _tell(self, packets: Packets, after: Callable[[], None]) -> None:
        if not self._open:
            return
        for packet, seconds in packets:
            for hearer in list(self.hearers):
                hearer.heard(packet, seconds)
        after()

    def _began(self) -> None:
        self._playing = True
        for hearer in list(self.hearers):
            hearer.began()

    def _encoded(self, seconds: float) -> None:
        self._loaded = True
        self._waiting = max(0.0, self._waiting - seconds)

    def _ended(self) -> None:
        self._playing = False
        for hearer in list(self.hearers):
            hearer.ended()

    def _fail(self, error: Exception) -> None:
        if not self._open:
            return
        log.warning("sound is sent uncompressed", format=self.form.name, cause=str(error))
        self._source.give_up(self.form)
        hearers, self.hearers = self.hearers, []
        self.close()
        for hearer in hearers:
            hearer.failed()

    # On the thread

    def _encode(self, data: bytes) -> Packets:
        if self._encoder is None:
            self._encoder = AudioEncoder(self.form)
        return self._timed(self._encoder, self._encoder.encode(data))

    def _finish(self) -> Packets:
        encoder, self._encoder = self._encoder, None
        return [] if encoder is None else self._timed(encoder, encoder.finish())

    def _timed(self, encoder: AudioEncoder, packets: list[bytes]) -> Packets:
        seconds = encoder.frames / self.form.rate
        return [(packet, seconds) for packet in packets]


def _nothing() -> Packets:
    return []
