"""From one rate to another, piece by piece."""

from typing import Any

import numpy as np

from sidecar.sound.voice_form import Frames


class Resampler:
    """Frames of one rate in, frames of another out, some time later, or the same if both are equal."""

    def __init__(self, source: int, target: int, channels: int, *, speech: bool = False) -> None:
        """`source`, `target`: frames in a second. The library is loaded where they differ (memory).

        `speech`: good enough for a voice, and mostly within 5 ms, where music takes 10 to 40: the library's
        best quality would take up to 140 (docs/decisions/sound-mixing.md).
        """
        self._channels = channels
        self._stream: Any = None
        if source != target:
            import soxr  # type: ignore[import-untyped]

            self._stream = soxr.ResampleStream(
                source, target, channels, dtype="float32", quality="LQ" if speech else "MQ"
            )

    def feed(self, frames: Frames) -> Frames:
        """The next frames; what can be said of the other rate so far."""
        if self._stream is None:
            return frames
        return self._resample(frames, is_last=False)

    def finish(self) -> Frames:
        """The rest of what was fed. What is fed after it is another sound."""
        nothing = np.zeros((0, self._channels), np.float32)
        if self._stream is None:
            return nothing
        rest = self._resample(nothing, is_last=True)
        self._stream.clear()
        return rest

    def _resample(self, frames: Frames, *, is_last: bool) -> Frames:
        resampled: Frames = self._stream.resample_chunk(np.ascontiguousarray(frames), last=is_last)
        return resampled
