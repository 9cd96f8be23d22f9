"""Somebody who writes down what he hears, and tones to play to him."""

import numpy as np

from sidecar.sound.form import AudioForm, SampleFormat
from sidecar.sound.voice_form import Frames, VoiceForm, decode, encode, voice_form

STEREO = AudioForm(SampleFormat.S16, 2, 48_000)
CARD = VoiceForm(16, True, False, 48_000, 2)
"""A usual voice, of the same form."""

BLOCK = 0.01
"""Seconds in a block of `blocks`."""


class Ear:
    def __init__(self, form: AudioForm = STEREO) -> None:
        self.form = form
        self.log: list[str] = []
        self.pieces: list[bytes] = []

    def audio_began(self) -> None:
        self.log.append("began")

    def audio_ended(self) -> None:
        self.log.append("ended")

    def audio_played(self, data: bytes) -> None:
        self.pieces.append(data)

    @property
    def heard(self) -> Frames:
        """Everything, as (frames, channels)."""
        return decode(b"".join(self.pieces), voice_form(self.form))


def tone(hertz: float, seconds: float, form: VoiceForm = CARD, loudness: float = 0.25) -> Frames:
    """The same sine on all channels."""
    times = np.arange(round(seconds * form.rate)) / form.rate
    wave = (loudness * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
    return np.repeat(wave[:, np.newaxis], form.channels, axis=1)


def blocks(frames: Frames, form: VoiceForm = CARD) -> list[bytes]:
    """What QEMU writes, 10 ms at once."""
    size = round(BLOCK * form.rate)
    return [encode(frames[at : at + size], form) for at in range(0, len(frames), size)]
