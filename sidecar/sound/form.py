"""How sound is written down: the form of its samples."""

from dataclasses import dataclass
from enum import Enum

MAX_RATE = 192_000
MIN_RATE = 1_000
"""Hertz; what is outside is not believed."""


class SampleFormat(Enum):
    """A sample; all are little-endian. The value: bytes of one."""

    U8 = ("u8", 1)
    S8 = ("s8", 1)
    U16 = ("u16", 2)
    S16 = ("s16", 2)
    U32 = ("u32", 4)
    S32 = ("s32", 4)
    F32 = ("f32", 4)
    """from -1 to 1"""

    def __init__(self, code: str, width: int) -> None:
        self.code = code
        self.width = width


@dataclass(frozen=True, slots=True)
class AudioForm:
    """Interleaved samples. Raises ValueError for what nobody can play.

    `channels`: 1 or 2. `rate`: frames in a second, MIN_RATE..MAX_RATE.
    """

    sample: SampleFormat
    channels: int
    rate: int

    def __post_init__(self) -> None:
        if self.channels not in (1, 2):
            raise ValueError(f"sound has one or two channels, not {self.channels}")
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise ValueError(f"no sound has {self.rate} frames in a second")

    @property
    def frame_size(self) -> int:
        """Bytes of one sample of every channel."""
        return self.sample.width * self.channels

    @property
    def byte_rate(self) -> int:
        """Bytes of one second."""
        return self.frame_size * self.rate
