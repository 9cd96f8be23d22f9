"""Sound as QEMU's voices have it, and the way from there to numbers and back.

Between the two ends sound is frames: float32 of the shape (frames, channels), from -1 to 1 unless too loud.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.sound.form import MAX_RATE, MIN_RATE, AudioForm, SampleFormat

MAX_CHANNELS: Final = 8

Frames = NDArray[np.float32]

_HALF: Final = 0.7071
"""Half the power: of what goes to both sides, or stands behind."""

_STEREO: Final[dict[int, list[tuple[float, float]]]] = {
    1: [(1, 1)],
    3: [(1, 0), (0, 1), (_HALF, _HALF)],
    4: [(1, 0), (0, 1), (_HALF, 0), (0, _HALF)],
    5: [(1, 0), (0, 1), (_HALF, _HALF), (_HALF, 0), (0, _HALF)],
    6: [(1, 0), (0, 1), (_HALF, _HALF), (0, 0), (_HALF, 0), (0, _HALF)],
    7: [(1, 0), (0, 1), (_HALF, _HALF), (0, 0), (_HALF, _HALF), (_HALF, 0), (0, _HALF)],
    8: [(1, 0), (0, 1), (_HALF, _HALF), (0, 0), (_HALF, 0), (0, _HALF), (_HALF, 0), (0, _HALF)],
}
"""By the number of channels, what each gives to left and right. Front left and right, centre, low
frequencies, then those behind and beside: the order of WAVE files, which guests use."""


@dataclass(frozen=True, slots=True)
class VoiceForm:
    """Interleaved samples. Raises ValueError for what no sound card has.

    `bits`: 8, 16 or 32, of a float 32. `channels`: 1..MAX_CHANNELS. `rate`: frames in a second,
    MIN_RATE..MAX_RATE.
    """

    bits: int
    is_signed: bool
    is_float: bool
    rate: int
    channels: int
    is_big_endian: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (8, 16, 32) or (self.is_float and self.bits != 32):
            raise ValueError(f"no sample has {self.bits} bits")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ValueError(f"no sound has {self.channels} channels")
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise ValueError(f"no sound has {self.rate} frames in a second")

    @property
    def frame_size(self) -> int:
        """Bytes of one sample of every channel."""
        return self.bits // 8 * self.channels

    @property
    def type(self) -> np.dtype[Any]:
        """Of one sample."""
        kind = "f" if self.is_float else "i" if self.is_signed else "u"
        return np.dtype(f"{'>' if self.is_big_endian else '<'}{kind}{self.bits // 8}")


def voice_form(form: AudioForm) -> VoiceForm:
    """The same form in the other way of saying it."""
    sample = form.sample
    is_signed = sample in (SampleFormat.S8, SampleFormat.S16, SampleFormat.S32)
    return VoiceForm(8 * sample.width, is_signed, sample is SampleFormat.F32, form.rate, form.channels)


def decode(data: bytes | memoryview, form: VoiceForm) -> Frames:
    """The whole frames in `data`; what is left at its end is dropped. What is not a number is silence."""
    whole = len(data) // form.frame_size * form.frame_size
    samples = np.frombuffer(data[:whole], form.type).reshape(-1, form.channels)
    if form.is_float:
        return np.nan_to_num(samples.astype(np.float32), copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    half = 1 << (form.bits - 1)
    if not form.is_signed:
        # exact where it is quiet, which float32 is not with so large numbers
        samples = samples.astype(np.int64) - half
    frames = samples.astype(np.float32)
    frames *= np.float32(1 / half)
    return frames


def encode(frames: Frames, form: VoiceForm) -> bytes:
    """The bytes of `frames`, which have `form.channels`; what is too loud is clipped."""
    if form.is_float:
        clipped: bytes = np.clip(frames, -1, 1).astype(form.type).tobytes()
        return clipped
    half = 1 << (form.bits - 1)
    # a float32 has not all the numbers of 32 bits: the loudest would become 2**31
    exact = np.float64 if form.bits == 32 else np.float32
    numbers = np.rint(frames.astype(exact) * half)
    np.clip(numbers, -half, half - 1, out=numbers)
    if not form.is_signed:
        numbers += half
    data: bytes = numbers.astype(form.type).tobytes()
    return data


def to_stereo(frames: Frames) -> Frames:
    """Two channels, of one to MAX_CHANNELS."""
    channels = frames.shape[1]
    if channels == 2:
        return frames
    return frames @ np.array(_STEREO[channels], np.float32)


def to_mono(frames: Frames) -> Frames:
    """One channel: the mean of all."""
    return frames if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32, keepdims=True)


def spread(frames: Frames, channels: int) -> Frames:
    """One or two channels on as many as a recorder has: the first two, or both on its only one."""
    if frames.shape[1] == channels:
        return frames
    if channels == 1:
        return to_mono(frames)
    wide = np.zeros((len(frames), channels), np.float32)
    wide[:, :2] = frames
    return wide
