"""The thread on which libvirt's own event loop runs: for its events, and to notice that it is gone."""

import atexit
import threading
from typing import Any, Final

ENDING: Final = 2.0
"""Seconds that the loop has to end when the process does."""

_lock: Final = threading.Lock()
_runs: list[threading.Thread] = []
"""It, once it was started."""
_is_over: Final = threading.Event()


def run_events(libvirt: Any) -> None:
    """Has libvirt's event loop run from now on; before the first connection is made. On any thread.

    libvirt has one in a process. Its thread lives as long as that, and sleeps while there is no connection:
    what a connection has taken is given back in later rounds of the loop, and nobody is told when the last of
    them is over. Callbacks come on it, and may do no more than tell others.
    """
    with _lock:
        if _runs:
            return
        libvirt.virEventRegisterDefaultImpl()
        thread = threading.Thread(target=_run, args=(libvirt,), name="libvirt-events", daemon=True)
        thread.start()
        _runs.append(thread)
        # neither libvirt nor Python bears well that the other ends while a thread is within it
        atexit.register(_end, libvirt, thread)


def _run(libvirt: Any) -> None:
    while not _is_over.is_set():
        libvirt.virEventRunDefaultImpl()


def _end(libvirt: Any, thread: threading.Thread) -> None:
    _is_over.set()
    # the loop looks up when it has a timer more
    libvirt.virEventAddTimeout(0, _nothing, None)
    thread.join(ENDING)


def _nothing(*_: object) -> None:
    """What that timer does."""
