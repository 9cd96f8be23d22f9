"""The thread on which libvirt's own event loop runs: for its events, and to notice that it is gone."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final

_FOREVER: Final = -1


class _Registration:
    """libvirt has one event loop in a process, which is registered before the first connection is made."""

    def __init__(self) -> None:
        self.registered = False
        self.one_at_a_time = threading.Lock()
        """Held by the thread that runs the loop."""


_registration = _Registration()


@contextlib.contextmanager
def event_thread(libvirt: Any) -> Iterator[None]:
    """Runs libvirt's event loop while it is entered; connections are made within. Never waits.

    Callbacks come on the thread, and may do no more than tell the main loop.
    """
    if not _registration.registered:
        libvirt.virEventRegisterDefaultImpl()
        _registration.registered = True
    ended = threading.Event()

    def run() -> None:
        # an earlier one may be about to end
        with _registration.one_at_a_time:
            while not ended.is_set():
                libvirt.virEventRunDefaultImpl()
            # a socket that is given up is closed in the next round only
            libvirt.virEventAddTimeout(0, _remove, [libvirt])
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, name="libvirt-events", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        # has the thread look
        libvirt.virEventAddTimeout(0, _remove, [libvirt])


def _remove(timer: int, opaque: list[Any]) -> None:
    """Ends a timer, which would fire again and again."""
    (libvirt,) = opaque
    libvirt.virEventUpdateTimeout(timer, _FOREVER)
    libvirt.virEventRemoveTimeout(timer)
