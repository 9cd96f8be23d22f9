"""Forms of sound as RDP's two audio channels write them (AUDIO_FORMAT, MS-RDPEA 2.2.2.1.1)."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from sidecar.rdp.wire import Reader
from sidecar.sound.form import AudioForm, SampleFormat

_FORMAT = struct.Struct("<HHIIHHH")


class FormatTag(IntEnum):
    """wFormatTag of the formats that this server speaks."""

    PCM = 0x0001
    OPUS = 0x704F
    AAC = 0xA106
    """raw AAC-LC, without a container or AudioSpecificConfig"""


NAMES = {FormatTag.PCM: "s16", FormatTag.OPUS: "opus", FormatTag.AAC: "aac"}
"""As `Session.audio` tells them."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One AUDIO_FORMAT as a peer has written it: nothing in it needs to make sense.

    `rate`: frames in a second; `byte_rate`: bytes in a second; `extra`: what follows the fields.
    """

    tag: int
    channels: int
    rate: int
    byte_rate: int
    block: int
    bits: int
    extra: bytes = b""

    def pack(self) -> bytes:
        """Its bytes on the wire."""
        fields = (self.tag, self.channels, self.rate, self.byte_rate, self.block, self.bits)
        return _FORMAT.pack(*fields, len(self.extra)) + self.extra

    def is_same(self, other: "AudioFormat") -> bool:
        """Whether sound in one of them is sound in the other; what is said of its size does not matter."""
        return (self.tag, self.channels, self.rate, self.bits) == (
            other.tag,
            other.channels,
            other.rate,
            other.bits,
        )

    @property
    def form(self) -> AudioForm:
        """The samples that it has, or is made of."""
        return AudioForm(SampleFormat.S16, self.channels, self.rate)

    @property
    def name(self) -> str:
        """For `Session.audio`; only of the formats of this server."""
        return f"{NAMES[FormatTag(self.tag)]}/{self.rate}/{self.channels}"


def read_format(reader: Reader) -> AudioFormat:
    """The next AUDIO_FORMAT. Raises RemoteError (TRUNCATED)."""
    tag, channels, rate = reader.u16(), reader.u16(), reader.u32()
    byte_rate, block, bits = reader.u32(), reader.u16(), reader.u16()
    return AudioFormat(tag, channels, rate, byte_rate, block, bits, reader.take(reader.u16()))


def read_formats(reader: Reader, count: int) -> tuple[AudioFormat, ...]:
    """The next `count` formats; bounded by what is there. Raises RemoteError."""
    if count * _FORMAT.size > reader.remaining:
        raise reader.malformed(f"{count} formats in {reader.remaining} bytes")
    return tuple(read_format(reader) for _ in range(count))


def pcm(rate: int, channels: int) -> AudioFormat:
    """Samples of 16 bits."""
    return AudioFormat(FormatTag.PCM, channels, rate, rate * 2 * channels, 2 * channels, 16)


PCM_FORMATS = (pcm(48_000, 2), pcm(44_100, 2), pcm(48_000, 1), pcm(44_100, 1))
"""The best one first."""

BIT_RATE = 96_000
"""Bits in a second of compressed sound in two channels: both codecs are taken for the original then."""

OPUS = AudioFormat(FormatTag.OPUS, 2, 48_000, BIT_RATE // 8, 4, 16)
AAC = AudioFormat(FormatTag.AAC, 2, 44_100, BIT_RATE // 8, 4, 16)

COMPRESSED_FORMATS = (OPUS, AAC)
"""The best one first: Opus takes half of the time to encode, and its packets are shorter."""
