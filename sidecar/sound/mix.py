"""The voices of a machine, added up at one rate for all who listen at it."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import numpy as np

from sidecar.sound.form import AudioForm
from sidecar.sound.queue import FrameQueue
from sidecar.sound.resampler import Resampler
from sidecar.sound.voice_form import Frames, encode, to_mono, voice_form

MOST_KEPT: Final = 0.2
"""Seconds of one voice that wait for the others."""

LONGEST_BLOCK: Final = 0.1
"""Seconds that listeners get at once."""


class Hearer(Protocol):
    """Hears a mix; see `sidecar.guest.AudioListener`, which is one."""

    def audio_began(self) -> None:
        """Sound follows."""
        ...

    def audio_played(self, data: bytes) -> None:
        """The next frames."""
        ...

    def audio_ended(self) -> None:
        """Nothing follows until it begins again."""
        ...


class Seat:
    """One listener. `is_taken` becomes false when it has left, and it hears no more."""

    __slots__ = ("form", "has_begun", "hearer", "is_taken")

    def __init__(self, form: AudioForm, hearer: Hearer) -> None:
        self.form = form
        self.hearer = hearer
        self.is_taken = True
        self.has_begun = False

    def begin(self) -> None:
        """Says that sound follows, once."""
        if self.is_taken and not self.has_begun:
            self.has_begun = True
            self.hearer.audio_began()

    def end(self) -> None:
        """Says that nothing follows."""
        if self.is_taken and self.has_begun:
            self.has_begun = False
            self.hearer.audio_ended()


class _Lane:
    """What one voice has for the mix."""

    __slots__ = ("is_ending", "queue", "resampler")

    def __init__(self, source: int, target: int) -> None:
        self.resampler = Resampler(source, target, 2)
        self.queue = FrameQueue(2)
        self.is_ending = False


class Mix:
    """The mix at one rate. Voices are named by numbers; their frames are stereo, at their own rates."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.seats: list[Seat] = []
        self.dropped = 0
        """Frames that came too early for the other voices."""
        self._lanes: dict[int, _Lane] = {}

    @property
    def holds_back(self) -> bool:
        """Whether frames wait for a voice that has none."""
        return any(len(lane.queue) for lane in self._lanes.values())

    def feed(self, voice: int, rate: int, frames: Frames) -> None:
        """The next frames of a voice."""
        lane = self._lanes.get(voice)
        if lane is None:
            lane = self._lanes[voice] = _Lane(rate, self.rate)
        lane.is_ending = False
        lane.queue.put(lane.resampler.feed(frames))

    def finish(self, voice: int) -> None:
        """The voice pauses: the rest of it is played, and nobody waits for more."""
        lane = self._lanes.get(voice)
        if lane is not None and not lane.is_ending:
            lane.queue.put(lane.resampler.finish())
            lane.is_ending = True

    def drain(self) -> None:
        """Plays the rest of all voices and forgets them."""
        for voice in self._lanes:
            self.finish(voice)
        self.play(lambda _: False)
        self._lanes.clear()

    def play(self, is_awaited: Callable[[int], bool]) -> None:
        """Plays what can be played: as much as every voice has that is waited for."""
        awaited = [
            len(lane.queue) for voice, lane in self._lanes.items() if not lane.is_ending and is_awaited(voice)
        ]
        queued = (len(lane.queue) for lane in self._lanes.values())
        count = min(awaited) if awaited else max(queued, default=0)
        most = int(LONGEST_BLOCK * self.rate)
        while count > 0:
            self._play(min(count, most))
            count -= most
        for voice, lane in list(self._lanes.items()):
            self.dropped += lane.queue.drop_to(int(MOST_KEPT * self.rate))
            if lane.is_ending and not len(lane.queue):
                del self._lanes[voice]

    def _play(self, count: int) -> None:
        stereo = _sum((lane.queue.take(count) for lane in self._lanes.values()), count)
        mono: Frames | None = None
        written: dict[AudioForm, bytes] = {}
        for seat in tuple(self.seats):
            data = written.get(seat.form)
            if data is None:
                if seat.form.channels == 1 and mono is None:
                    mono = to_mono(stereo)
                frames = stereo if seat.form.channels == 2 or mono is None else mono
                data = written[seat.form] = encode(frames, voice_form(seat.form))
            seat.begin()
            if seat.is_taken:
                seat.hearer.audio_played(data)


def _sum(parts: Iterable[Frames], count: int) -> Frames:
    """All parts added up; those that are too short are followed by silence."""
    present = [part for part in parts if len(part)]
    if len(present) == 1 and len(present[0]) == count:
        return present[0]
    total = np.zeros((count, 2), np.float32)
    for part in present:
        total[: len(part)] += part
    return total
