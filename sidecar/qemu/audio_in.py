"""What QEMU records."""

from sidecar.observers import Observers
from sidecar.qemu.link import Link
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.sound.form import AudioForm


class QemuMicrophone:
    """See `sidecar.guest.Microphone`."""

    def __init__(self) -> None:
        self._changes: Observers[[]] = Observers()

    @property
    def is_there(self) -> bool:
        """Whether the machine records from here, if it does."""
        return False

    @property
    def is_wanted(self) -> bool:
        """Whether the machine records now."""
        return False

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` or `is_wanted` has changed."""
        return self._changes

    def speak(self, form: AudioForm, data: bytes) -> None:
        """The next whole frames for the machine."""

    async def serve(self, link: Link, thread: ListenerThread) -> None:
        """Serves this machine while it is attached: until it is cancelled, or does not record from here."""
