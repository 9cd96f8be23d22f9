"""What somebody says, kept for a machine that records."""

import threading
from collections import deque
from typing import Final

import numpy as np

from sidecar.sound.form import AudioForm
from sidecar.sound.resampler import Resampler
from sidecar.sound.voice_form import Frames, VoiceForm, decode, encode, spread, voice_form
from sidecar.sound.volume import volume

MOST_KEPT: Final = 0.2
"""Seconds that wait for the machine."""

PATIENCE: Final = 0.1
"""Seconds by which speech may come late until silence is recorded in its place."""

PAUSE: Final = 0.3
"""Seconds without speech after which none is waited for."""


class Supply:
    """What one voice of a machine records. `put` belongs to one thread, all else to any.

    A machine asks for as much as it has room for, whenever it likes, and its programs expect as many frames
    in a second as the form says. So speech is given as it comes, and for the rest as much silence as is
    missing by the clock: `now`, in seconds.
    """

    def __init__(self, form: VoiceForm) -> None:
        self.form = form
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._queued = 0
        """Bytes."""
        self._dropped = 0
        self._is_enabled = False
        self._began = 0.0
        self._given = 0
        """Frames since `_began`."""
        self._spoke: float | None = None
        self._most = int(MOST_KEPT * form.rate)
        self._silence = encode(np.zeros((self._most, form.channels), np.float32), form)
        self._speaker: AudioForm | None = None
        self._resampler: Resampler | None = None
        self._volume: Frames | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether it records now."""
        return self._is_enabled

    @property
    def dropped(self) -> int:
        """Frames that were not taken in time."""
        return self._dropped

    def enable(self, now: float, *, enabled: bool) -> None:
        """It records from now on, or not any more; what waited is too old."""
        with self._lock:
            self._is_enabled = enabled
            self._pieces.clear()
            self._queued = self._given = 0
            self._began = now
            self._spoke = None

    def set_volume(self, levels: bytes, *, mute: bool) -> None:
        """How loud it records; see `sidecar.sound.volume`."""
        self._volume = volume(levels, self.form.channels, mute=mute)

    def put(self, form: AudioForm, frames: Frames, now: float) -> None:
        """Somebody says this, of which the last 200 ms are kept."""
        if not self._is_enabled:
            self._speaker = None
            return
        pauses = self._spoke is None or now - self._spoke >= PAUSE
        if self._resampler is None or form != self._speaker or pauses:
            # what the last one holds is old
            self._speaker = form
            self._resampler = Resampler(form.rate, self.form.rate, form.channels, speech=True)
        wanted = spread(self._resampler.feed(frames), self.form.channels)
        loudness = self._volume
        data = encode(wanted if loudness is None else wanted * loudness, self.form)
        with self._lock:
            self._spoke = now
            if data:
                self._pieces.append(data)
                self._queued += len(data)
            most = self._most * self.form.frame_size
            if self._queued > most:
                self._dropped += (self._queued - most) // self.form.frame_size
                self._take(self._queued - most)

    def take(self, size: int, now: float) -> bytes:
        """At most `size` bytes, whole frames, for the machine: speech, silence, or nothing yet."""
        with self._lock:
            room = min(size // self.form.frame_size, self._most)
            speech = self._take(min(room * self.form.frame_size, self._queued))
            self._given += len(speech) // self.form.frame_size
            missing = self._missing(now)
            left = room - len(speech) // self.form.frame_size
            silence = max(0, min(missing, left))
            self._given += silence
            return speech + self._silence[: silence * self.form.frame_size]

    def _missing(self, now: float) -> int:
        """Frames that the clock says should have been given, and that no speech is expected for."""
        due = int((now - self._began) * self.form.rate)
        # a machine that did not ask for long does not want it all now, and speech that came at once does not
        # make up for much later
        self._given = min(max(self._given, due - self._most), due + self._most)
        is_spoken = self._spoke is not None and now - self._spoke < PAUSE
        return due - self._given - (int(PATIENCE * self.form.rate) if is_spoken else 0)

    def _take(self, size: int) -> bytes:
        """The oldest `size` bytes, as many as there are at least."""
        taken = []
        self._queued -= size
        while size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
        return b"".join(taken)


def heard(form: AudioForm, data: bytes) -> Frames:
    """The frames of what somebody said; of too much the last 200 ms, which is all that is kept."""
    most = int(MOST_KEPT * form.rate) * form.frame_size
    return decode(data[: len(data) // form.frame_size * form.frame_size][-most:], voice_form(form))
