"""The clipboard that QEMU shares with an agent in the guest."""

from sidecar.observers import Observers
from sidecar.qemu.link import Link


class QemuClipboard:
    """See `sidecar.guest.Clipboard`."""

    def __init__(self) -> None:
        self._changes: Observers[[]] = Observers()

    @property
    def is_there(self) -> bool:
        """Whether the machine has a way to share its clipboard."""
        return False

    @property
    def text(self) -> str | None:
        """What was last copied in the machine."""
        return None

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` or `text` has changed."""
        return self._changes

    def offer(self, text: str) -> None:
        """Puts a text on the machine's clipboard."""

    async def serve(self, link: Link) -> None:
        """Shares this machine's clipboard while it is attached: until it is cancelled, or there is none."""
