"""Blanks what a smaller screen leaves uncovered on a client that cannot shrink."""

import numpy as np

from sidecar.encode.encoders import encode
from sidecar.vnc.messages import update_message
from sidecar.vnc.receiver import UpdateReceiver

BAND = 2048, 256
"""Tight carries no wider rectangle, and no larger one than this (facts: RFB section 4.2)."""


class Blanking:
    """Sends black, if need be, in front of the next update of `receiver`."""

    def __init__(self, receiver: UpdateReceiver) -> None:
        self._receiver = receiver

    def due(self) -> None:
        """Has what the screen does not reach blanked with the next update."""
        receiver = self._receiver
        receiver.before_update = self._blank if receiver.canvas.uncovered() else None

    def _blank(self) -> None:
        receiver = self._receiver
        receiver.before_update = None
        segments = [
            encode(part, np.zeros((part.height, part.width), np.uint32), receiver.exact)
            for area in receiver.canvas.uncovered()
            for part in area.pieces(*BAND)
        ]
        if segments:
            receiver.write(update_message(segments, stream_begun=receiver.stream_begun))
            receiver.stream_begun |= receiver.exact.encoding.is_streamed
