"""The modes of a terminal, which are put back whatever happens."""

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Iterator
from typing import Any

Modes = list[Any]
"""As `termios` has them."""

_LOCAL_FLAGS = 3


class Terminal:
    """One terminal and its modes; at most one change at a time.

    Nothing is done twice or too late: a terminal that has hung up needs no modes.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._before: Modes | None = None
        self._now: Modes | None = None

    @property
    def is_changed(self) -> bool:
        """Whether other modes are set than there were before."""
        return self._before is not None

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Every key goes to us as it is, and nothing is echoed."""
        before = termios.tcgetattr(self.descriptor)
        try:
            self._before = before
            # not after the output has left: that of a terminal that is held up never does
            tty.setraw(self.descriptor, termios.TCSANOW)
            self._now = termios.tcgetattr(self.descriptor)
            yield
        finally:
            self._restore()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Lines are typed without being shown."""
        before = termios.tcgetattr(self.descriptor)
        now = list(before)
        now[_LOCAL_FLAGS] &= ~termios.ECHO
        try:
            self._before, self._now = before, now
            self._set(now)
            yield
        finally:
            self._restore()

    def suspend(self) -> None:
        """Stops this process, with the modes from before; `resume` is called when it goes on."""
        if self._before is not None:
            self._set(self._before)
        os.kill(os.getpid(), signal.SIGSTOP)

    def resume(self) -> None:
        """Sets the modes again, after whoever had the terminal meanwhile."""
        if self._now is not None:
            self._set(self._now)

    def _restore(self) -> None:
        before, self._before, self._now = self._before, None, None
        if before is not None:
            self._set(before)

    def _set(self, modes: Modes) -> None:
        try:
            termios.tcsetattr(self.descriptor, termios.TCSANOW, modes)
        except termios.error:
            # it has hung up, or belongs to somebody else now: there is nobody whose modes these would be
            return
