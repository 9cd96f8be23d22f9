"""Compressed sound, by PyAV: AAC-LC by FFmpeg's own encoder, Opus by libopus."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from sidecar.errors import SidecarError
from sidecar.rdp.audio_format import BIT_RATE, AudioFormat, FormatTag

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

_ENCODERS = {FormatTag.AAC: ("aac", "fltp"), FormatTag.OPUS: ("libopus", "s16")}
"""FFmpeg's names of the encoder and of the samples that it takes."""

_LAYOUTS = {1: "mono", 2: "stereo"}


class EncoderUnusable(SidecarError):
    """PyAV cannot be loaded, or was built without this encoder."""


@cache
def encoders_available() -> bool:
    """Whether PyAV is installed; it is not imported for the answer."""
    return find_spec("av") is not None


class AudioEncoder:
    r"""One stream. Packets can be decoded from any on; each is one frame of the codec.

    It belongs to one thread at a time; FFmpeg leaves the interpreter to others. 20 ms of stereo cost 0.2 ms
    (silence) to 0.6 ms (noise) with Opus and to 1.8 ms with AAC, and PyAV takes 19 MB and 150 ms to load;
    measured on 2 slow cores by `python -X importtime -c "import av"` and by

        python -m timeit -s "import random; d = random.Random(1).randbytes(3840)" \
            -s "from sidecar.rdp.audio_encoder import AudioEncoder" \
            -s "from sidecar.rdp.audio_format import OPUS; e = AudioEncoder(OPUS)" "e.encode(d)"

    Raises EncoderUnusable.
    """

    def __init__(self, form: AudioFormat) -> None:
        name, samples = _ENCODERS[FormatTag(form.tag)]
        try:
            import av

            codec: AudioCodecContext = av.CodecContext.create(name, "w")  # type: ignore[assignment]
            codec.sample_rate = form.rate
            codec.layout = _LAYOUTS[form.channels]
            codec.format = samples
            codec.bit_rate = BIT_RATE * form.channels // 2
            codec.open()
        except (ImportError, ValueError, OSError) as error:
            raise EncoderUnusable(f"Sound cannot be compressed by {name}: {error}") from error
        self._frame_type = av.AudioFrame
        self._form = form
        self._codec = codec
        self._samples = samples
        self.frames = codec.frame_size
        """Samples of each channel in one packet."""
        self._size = self.frames * form.form.frame_size
        self._left = bytearray()
        self._at = 0

    def encode(self, data: bytes) -> list[bytes]:
        """The packets that samples (S16, interleaved) complete; what is left goes into the next."""
        self._left += data
        whole = len(self._left) - len(self._left) % self._size
        taken = bytes(self._left[:whole])
        del self._left[:whole]
        return [
            packet
            for start in range(0, whole, self._size)
            for packet in self._encode(taken[start : start + self._size])
        ]

    def finish(self) -> list[bytes]:
        """The packets with what is left, silence behind it. Nothing can be encoded afterwards."""
        packets = self.encode(bytes(-len(self._left) % self._size))
        return packets + [bytes(packet) for packet in self._codec.encode(None)]

    def _encode(self, data: bytes) -> Iterator[bytes]:
        frame = self._frame_type(self._samples, _LAYOUTS[self._form.channels], self.frames)
        frame.sample_rate = self._form.rate
        frame.pts = self._at
        self._at += self.frames
        if self._samples == "s16":
            frame.planes[0].update(data)
        else:
            each = np.frombuffer(data, "<i2").reshape(-1, self._form.channels).astype(np.float32) / 32768
            for number, plane in enumerate(frame.planes):
                plane.update(each[:, number].tobytes())
        for packet in self._codec.encode(frame):
            yield bytes(packet)
