"""How loud a voice is, channel by channel."""

import numpy as np

from sidecar.sound.voice_form import Frames


def volume(levels: bytes, channels: int, *, mute: bool) -> Frames | None:
    """What the samples of each channel are multiplied by; None: nothing is to be done.

    `levels`: for each channel 0..255; those that are not said are like the last one.
    """
    if mute:
        return np.zeros(channels, np.float32)
    said = (levels or b"\xff")[:channels]
    said += said[-1:] * (channels - len(said))
    if min(said) == 0xFF:
        return None
    return np.frombuffer(said, np.uint8).astype(np.float32) / np.float32(255)
