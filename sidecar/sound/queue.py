"""Frames that wait."""

from collections import deque

import numpy as np

from sidecar.sound.voice_form import Frames


class FrameQueue:
    """First in, first out."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._pieces: deque[Frames] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, frames: Frames) -> None:
        """Adds frames at the end."""
        if len(frames):
            self._pieces.append(frames)
            self._count += len(frames)

    def take(self, count: int) -> Frames:
        """The first `count` frames, or as many as there are."""
        count = min(count, self._count)
        taken = []
        left = count
        while left:
            piece = self._pieces.popleft()
            if len(piece) > left:
                self._pieces.appendleft(piece[left:])
                piece = piece[:left]
            taken.append(piece)
            left -= len(piece)
        self._count -= count
        if len(taken) == 1:
            return taken[0]
        return np.concatenate(taken) if taken else np.zeros((0, self._channels), np.float32)

    def drop_to(self, count: int) -> int:
        """Forgets the oldest so that `count` frames stay; how many were forgotten."""
        return len(self.take(max(0, self._count - count)))
