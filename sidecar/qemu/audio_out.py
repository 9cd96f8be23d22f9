"""What QEMU plays: its voices, mixed for whoever listens."""

from collections.abc import Callable

from sidecar.guest import AudioListener
from sidecar.observers import Observers
from sidecar.qemu.link import Link
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.sound.form import AudioForm


class QemuAudio:
    """See `sidecar.guest.Audio`."""

    def __init__(self) -> None:
        self._changes: Observers[[]] = Observers()

    @property
    def is_there(self) -> bool:
        """Whether the machine has sound that comes here."""
        return False

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` has changed."""
        return self._changes

    def listen(self, form: AudioForm, listener: AudioListener) -> Callable[[], None]:
        """Has `listener` hear what is played from now on."""
        return lambda: None

    async def serve(self, link: Link, thread: ListenerThread) -> None:
        """Hears this machine while it is attached: until it is cancelled, or there is nothing to hear."""
