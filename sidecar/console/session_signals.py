"""Signals while a terminal has other modes than its owner left it with."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

from sidecar.console.terminal import Terminal

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class SessionSignals:
    """Lets a signal end a task in good order, and keeps a terminal's modes over a stop."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The signal that has ended the task."""
        self._terminal: Terminal | None = None

    @contextlib.contextmanager
    def ending(self, task: asyncio.Task[int]) -> Iterator[None]:
        """While this lasts, signals cancel `task`, and stops restore the terminal that `keep` has named."""
        loop = asyncio.get_running_loop()
        try:
            for number in _ENDING:
                loop.add_signal_handler(number, self._end, number, task)
            loop.add_signal_handler(signal.SIGTSTP, self._suspend)
            loop.add_signal_handler(signal.SIGCONT, self._resume)
            yield
        finally:
            for number in (*_ENDING, signal.SIGTSTP, signal.SIGCONT):
                loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def keep(self, terminal: Terminal) -> Iterator[None]:
        """Names the terminal whose modes are changed now."""
        self._terminal = terminal
        try:
            yield
        finally:
            self._terminal = None

    def stop_all(self) -> None:
        """Suspends this process and those of the same pipeline, as Ctrl-Z does."""
        os.kill(0, signal.SIGTSTP)

    def _end(self, number: signal.Signals, task: asyncio.Task[int]) -> None:
        self.received = number
        task.cancel()

    def _suspend(self) -> None:
        if self._terminal is not None:
            self._terminal.suspend()
        else:
            os.kill(os.getpid(), signal.SIGSTOP)

    def _resume(self) -> None:
        if self._terminal is not None:
            self._terminal.resume()
