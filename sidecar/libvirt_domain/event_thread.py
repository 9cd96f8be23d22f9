"""The thread on which libvirt's own event loop runs: for its events, and to notice that it is gone."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final

_FOREVER: Final = -1


class _EventLoop:
    """libvirt has one in a process, which is registered before the first connection is made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registered = False
        self._users = 0
        self._running = False

    def enter(self, libvirt: Any) -> None:
        """Has it run."""
        with self._lock:
            if not self._registered:
                libvirt.virEventRegisterDefaultImpl()
                self._registered = True
            self._users += 1
            if not self._running:
                self._running = True
                threading.Thread(
                    target=self._run, args=(libvirt,), name="libvirt-events", daemon=True
                ).start()

    def leave(self, libvirt: Any) -> None:
        """Has it end, unless there are others."""
        with self._lock:
            self._users -= 1
        _wake(libvirt)

    def _run(self, libvirt: Any) -> None:
        while True:
            if not self._users:
                # a socket that was given up is closed in the next round only
                _wake(libvirt)
                libvirt.virEventRunDefaultImpl()
                with self._lock:
                    if not self._users:
                        self._running = False
                        return
            libvirt.virEventRunDefaultImpl()


_event_loop: Final = _EventLoop()


@contextlib.contextmanager
def event_thread(libvirt: Any) -> Iterator[None]:
    """Has libvirt's event loop run while it is entered; connections are made within. Never waits.

    On any thread. Callbacks come on the loop's own, and may do no more than tell others.
    """
    _event_loop.enter(libvirt)
    try:
        yield
    finally:
        _event_loop.leave(libvirt)


def _wake(libvirt: Any) -> None:
    libvirt.virEventAddTimeout(0, _end_timer, libvirt)


def _end_timer(timer: int, libvirt: Any) -> None:
    """A timer would fire again and again."""
    libvirt.virEventUpdateTimeout(timer, _FOREVER)
    libvirt.virEventRemoveTimeout(timer)
