"""What the machine plays, through QEMU's audio extension (facts: RFB section 3)."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.guest import Audio
from sidecar.log import get_logger
from sidecar.session.sight import may_use_machine
from sidecar.sound.form import AudioForm
from sidecar.sound.form import SampleFormat as Sample
from sidecar.vnc import messages
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.events import QemuAudioFormat, QemuAudioSwitch
from sidecar.vnc.tunnel import Line, NoTunnel, TunnelFactory
from sidecar.vnc.wire import PseudoEncoding, QemuAudioOperation, SampleFormat

log = get_logger(__name__)

DEFAULT_FORM = AudioForm(Sample.S16, 2, 44_100)
"""Until the client has set another one, as in QEMU."""

QUEUE_TIME = 0.2
"""Seconds of sound that wait at most for a client that does not read: what is later is of no use."""

_SAMPLES = {
    SampleFormat.U8: Sample.U8,
    SampleFormat.S8: Sample.S8,
    SampleFormat.U16: Sample.U16,
    SampleFormat.S16: Sample.S16,
    SampleFormat.U32: Sample.U32,
    SampleFormat.S32: Sample.S32,
}


def audio_tunnel(audio: Audio) -> TunnelFactory:
    """Makes the tunnel of each session that may use the machine, through which it hears `audio`, view-only or
    not.

    The server offers Extension.QEMU_AUDIO together with it.
    """
    return lambda line: AudioTunnel(line, audio) if may_use_machine(line.session) else NoTunnel()


class AudioTunnel:
    """One session's sound: a `Tunnel`, and the listener of what the machine plays."""

    def __init__(self, line: Line, audio: Audio) -> None:
        self._line = line
        self._audio = audio
        self._form: AudioForm | None = DEFAULT_FORM
        """What the client wants to hear; None where nobody can make it."""
        self._enabled = False
        self._unlisten: Callable[[], None] | None = None
        self._playing = False
        """Whether the machine is heard now."""
        self._told = False
        """Whether the client knows that a stream has begun."""
        self._waits = False
        self._waiting: deque[bytes] = deque()
        """What was played while the client did not read."""
        self._waiting_size = 0
        self._unsent: deque[tuple[int, int]] = deque()
        """What may still stand in the line's queue: where it ends among the session's bytes, and its size."""
        self._unsent_size = 0
        self._dropping = False
        self._has_complained = False

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        """By the type of a client's event, what is done with it."""
        return {QemuAudioSwitch: self._switch, QemuAudioFormat: self._set_form}

    def agreed(self, capabilities: ClientCapabilities, owed: Owed) -> None:
        """Owes an acknowledgement; ends the sound of a client that takes none any more."""
        if owed & Owed.QEMU_AUDIO_ACK:
            self._line.write(messages.acknowledgement(PseudoEncoding.QEMU_AUDIO))
        if Extension.QEMU_AUDIO not in capabilities.extensions:
            # nor is it told of the end
            self._told = self._enabled = False
            self._ignore()

    def wait(self) -> None:
        """Keeps what is played here, as far as it is worth it."""
        self._waits = True

    def ready(self) -> None:
        """Sends what was kept."""
        self._waits = False
        waiting, self._waiting, self._waiting_size = self._waiting, deque(), 0
        for data in waiting:
            self._send(data)
        self._tell_state()

    def close(self) -> None:
        """Hears nothing any more."""
        self._told = False
        self._ignore()

    def audio_began(self) -> None:
        """Sound follows."""
        self._playing = True
        self._tell_state()

    def audio_played(self, data: bytes) -> None:
        """Sends frames. What waits too long for a client that is behind is dropped, the oldest first."""
        backlog = self._backlog()
        over = backlog + len(data) - self._limit
        if over <= 0 or not backlog:
            self._dropping = False
        elif not self._dropping:
            self._dropping = True
            self._line.session.audio_drop_outs += 1
        while over > 0 and self._waiting:
            dropped = len(self._waiting.popleft())
            self._waiting_size -= dropped
            over -= dropped
        if over > 0 and self._backlog():
            # what stands in the line's queue cannot be taken back
            return
        if self._waits:
            self._waiting.append(data)
            self._waiting_size += len(data)
        else:
            self._send(data)

    def audio_ended(self) -> None:
        """Silence follows."""
        self._playing = False
        self._dropping = False
        self._tell_state()

    # What the client says

    def _switch(self, event: QemuAudioSwitch) -> None:
        if event.operation is QemuAudioOperation.DISABLE:
            self._enabled = False
            self._ignore()
        elif not self._enabled:
            self._enabled = True
            self._listen()

    def _set_form(self, event: QemuAudioFormat) -> None:
        """Takes another form; a stream that is under way begins anew in it."""
        self._ignore()
        try:
            self._form = AudioForm(_SAMPLES[event.sample_format], event.channels, event.frequency)
        except ValueError as error:
            # there is no message to refuse it by, and a screen without sound is better than none
            self._form = None
            if not self._has_complained:
                self._has_complained = True
                log.info("sound is not played", session=self._line.session.id, cause=str(error))
        if self._enabled:
            self._listen()

    def _listen(self) -> None:
        form = self._form
        if form is None:
            return
        self._line.session.audio = f"{form.sample.code}/{form.rate}/{form.channels}"
        self._unlisten = self._audio.listen(form, self)

    def _ignore(self) -> None:
        """Listens no more, forgets what was not sent yet, and ends the stream that the client knows of."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        self._line.session.audio = ""
        self._waiting.clear()
        self._waiting_size = 0
        self._playing = self._dropping = False
        if self._told:
            # at once: another stream may begin before the client reads again
            self._told = False
            self._line.write(messages.audio_end())

    # What the client is told

    @property
    def _limit(self) -> float:
        """Bytes that may wait."""
        return 0 if self._form is None else self._form.byte_rate * QUEUE_TIME

    def _backlog(self) -> int:
        """Bytes of sound that have not left yet. What else stands in the line's queue does not count."""
        if not self._unsent:
            return self._waiting_size
        left = self._line.session.bytes_sent - self._line.queued()
        while self._unsent and self._unsent[0][0] <= left:
            self._unsent_size -= self._unsent.popleft()[1]
        return self._unsent_size + self._waiting_size

    def _tell_state(self) -> None:
        """Tells that a stream begins or has ended, unless it is not the time for it."""
        if self._waits or self._told is self._playing:
            return
        self._told = self._playing
        self._line.write(messages.audio_begin() if self._playing else messages.audio_end())

    def _send(self, data: bytes) -> None:
        if not self._told:
            self._told = True
            self._line.write(messages.audio_begin())
        # a whole number of frames of any form fits
        for start in range(0, len(data), messages.MAX_AUDIO_DATA):
            self._line.write(messages.audio_data(data[start : start + messages.MAX_AUDIO_DATA]))
        self._unsent.append((self._line.session.bytes_sent, len(data)))
        self._unsent_size += len(data)
