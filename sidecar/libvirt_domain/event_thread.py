"""The thread on which libvirt's own event loop runs: for its events, and to notice that it is gone."""

import threading
from typing import Any, Final

_lock: Final = threading.Lock()
_runs: list[threading.Thread] = []
"""It, once it was started."""


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


def _run(libvirt: Any) -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
