"""What the log tells of logins that fail: one line each, but not more than a reader can use."""

import time
from collections.abc import Callable
from typing import Final

from sidecar.access.grant import Attempt
from sidecar.log import get_logger

log = get_logger(__name__)

LINES: Final = 20
"""So many in `WINDOW` seconds; those left out are counted by the next one."""

WINDOW: Final = 10.0


class LoginLog:
    """Writes the lines. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._lines = 0
        self._left_out = 0
        self._throttled = 0

    def failed(self, attempt: Attempt, pause: float) -> None:
        """One login has failed; the next of its address counts only `pause` seconds later."""
        now = self._clock()
        if now - self._since >= WINDOW:
            self._since, self._lines = now, 0
        if self._lines >= LINES:
            self._left_out += 1
            return
        self._lines += 1
        context: dict[str, object] = {"protocol": attempt.protocol, "address": attempt.host or "local"}
        if pause:
            context["pause"] = round(pause, 1)
        if self._throttled:
            context["throttled"] = self._throttled
        if self._left_out:
            context["left_out"] = self._left_out
        log.warning("login failed", **context)
        self._left_out = self._throttled = 0

    def throttled(self, attempt: Attempt) -> None:
        """One was not even looked at: the pause was told before, and peers can be quick."""
        self._throttled += 1
        log.debug("login throttled", protocol=attempt.protocol, address=attempt.host)
