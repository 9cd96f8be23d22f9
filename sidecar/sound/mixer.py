"""What a machine plays: its voices, added up for whoever listens.

Does no input or output; `now` is the time in seconds of any clock that only goes forward.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from sidecar.sound.form import AudioForm
from sidecar.sound.mix import Hearer, Mix, Seat
from sidecar.sound.voice_form import Frames, VoiceForm, decode, to_stereo
from sidecar.sound.volume import volume

MAX_VOICES: Final = 64

SILENCE: Final = 1.0
"""Seconds of it after which nothing is played any more."""

QUIET: Final = 2.0**-16
"""What is below has no number but zero in 16 bits."""

SHORTEST_PATIENCE: Final = 0.05
LONGEST_PATIENCE: Final = 0.15
"""Seconds for which a voice may deliver nothing before the others go on without it."""

LONGEST_PIECE: Final = 1.0
"""Seconds of one voice that are taken at once."""


class _Voice:
    """One of the machine's."""

    __slots__ = ("form", "is_enabled", "last", "patience", "volume")

    def __init__(self, form: VoiceForm) -> None:
        self.form = form
        self.is_enabled = False
        self.volume: Frames | None = None
        """By channel; None: full."""
        self.last: float | None = None
        """When it delivered; None: not since it was enabled, or too long ago to be waited for."""
        self.patience = SHORTEST_PATIENCE


class Mixer:
    """Voices in, mixed sound out to any number of listeners.

    Whatever voices do, nothing is raised but ValueError by `voice_begins`. Unknown voices are ignored.
    """

    def __init__(self) -> None:
        self._voices: dict[int, _Voice] = {}
        self._mixes: dict[int, Mix] = {}
        self._is_playing = False
        self._last_sound = 0.0
        self._dropped = 0

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._mixes)

    @property
    def dropped(self) -> int:
        """Frames that were dropped so far, at whatever rate."""
        return self._dropped + sum(mix.dropped for mix in self._mixes.values())

    # the listeners

    def listen(self, form: AudioForm, hearer: Hearer) -> Callable[[], None]:
        """Has `hearer` hear the mix in a form; the function returned ends it and may be called twice."""
        seat = Seat(form, hearer)
        mix = self._mixes.get(form.rate)
        if mix is None:
            mix = self._mixes[form.rate] = Mix(form.rate)
        mix.seats.append(seat)
        if self._is_playing:
            seat.begin()

        def leave() -> None:
            if seat.is_taken:
                seat.is_taken = False
                self._leave(mix, seat)

        return leave

    def _leave(self, mix: Mix, seat: Seat) -> None:
        mix.seats.remove(seat)
        if not mix.seats:
            del self._mixes[mix.rate]
            self._dropped += mix.dropped
        if not self._mixes:
            self._is_playing = False

    # the voices

    def voice_begins(self, voice: int, form: VoiceForm) -> None:
        """A voice is there, not enabled yet, in place of one of the same number.

        Raises ValueError when there are too many.
        """
        self.voice_ends(voice)
        if len(self._voices) >= MAX_VOICES:
            raise ValueError(f"a machine has at most {MAX_VOICES} voices")
        self._voices[voice] = _Voice(form)

    def voice_ends(self, voice: int) -> None:
        """A voice is not there any more."""
        self.enable_voice(voice, enabled=False)
        self._voices.pop(voice, None)

    def enable_voice(self, voice: int, *, enabled: bool) -> None:
        """A voice goes on, or pauses."""
        known = self._voices.get(voice)
        if known is None:
            return
        known.is_enabled = enabled
        known.last = None
        if not enabled:
            for mix in self._mixes.values():
                mix.finish(voice)
            if any(other.is_enabled for other in self._voices.values()):
                self._play(self._delivers)
            else:
                self._end()

    def set_volume(self, voice: int, levels: bytes, *, mute: bool) -> None:
        """How loud a voice is; see `sidecar.sound.volume`."""
        known = self._voices.get(voice)
        if known is None:
            return
        known.volume = volume(levels, known.form.channels, mute=mute)

    def voice_plays(self, voice: int, data: bytes, now: float) -> None:
        """The next frames of a voice, which is enabled by that."""
        known = self._voices.get(voice)
        if known is None or not self._mixes:
            return
        form = known.form
        most = int(LONGEST_PIECE * form.rate) * form.frame_size
        if len(data) > most:
            self._dropped += (len(data) - most) // form.frame_size
            data = data[-most:]
        frames = decode(data, form)
        known.is_enabled = True
        known.last = now
        known.patience = min(max(SHORTEST_PATIENCE, 2 * len(frames) / form.rate), LONGEST_PATIENCE)
        if known.volume is not None:
            frames = frames * known.volume
        if len(frames) and np.abs(frames).max() >= QUIET:
            self._last_sound = now
            self._begin()
        if self._is_playing:
            stereo = to_stereo(frames)
            for mix in tuple(self._mixes.values()):
                mix.feed(voice, form.rate, stereo)
            self.tick(now)

    def reset(self) -> None:
        """The machine is gone, and its voices with it."""
        for voice in tuple(self._voices):
            self.voice_ends(voice)
        self._end()

    # the time

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do; None: not before a voice plays."""
        if not self._is_playing:
            return None
        times = [self._last_sound + SILENCE]
        if any(mix.holds_back for mix in self._mixes.values()):
            times += [
                voice.last + voice.patience for voice in self._voices.values() if voice.last is not None
            ]
        return min(times)

    def tick(self, now: float) -> None:
        """Does what `deadline` says that there is to do; may be called at any time."""
        for voice in self._voices.values():
            if voice.last is not None and now - voice.last >= voice.patience:
                voice.last = None
        if self._is_playing and now - self._last_sound >= SILENCE:
            self._end()
        elif self._is_playing:
            self._play(self._delivers)

    def _delivers(self, voice: int) -> bool:
        known = self._voices.get(voice)
        return known is not None and known.last is not None

    def _begin(self) -> None:
        if not self._is_playing:
            self._is_playing = True
            self._tell(Seat.begin)

    def _end(self) -> None:
        if self._is_playing:
            for mix in tuple(self._mixes.values()):
                mix.drain()
            self._is_playing = False
            self._tell(Seat.end)

    def _play(self, is_awaited: Callable[[int], bool]) -> None:
        for mix in tuple(self._mixes.values()):
            mix.play(is_awaited)

    def _tell(self, what: Callable[[Seat], None]) -> None:
        for mix in tuple(self._mixes.values()):
            for seat in tuple(mix.seats):
                what(seat)
