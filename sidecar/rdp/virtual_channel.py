"""What the room's virtual channels need of the connection that carries them."""

from typing import Protocol


class ChannelSender(Protocol):
    """Sends on one static virtual channel."""

    def send(self, message: bytes) -> None:
        """Sends one message; chunked as the client wants it (MS-RDPBCGR 3.1.5.2.1)."""
        ...

    def send_slices(self, header: bytes, payload: bytes | memoryview, size: int) -> None:
        """Sends `payload` in slices of `size` bytes, the last one shorter, each a message of its own with
        `header` in front. `len(header) + size` is at most the chunk length. For large dynamic channel
        messages: done without a loop over the slices."""
        ...
