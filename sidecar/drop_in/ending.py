"""Why a program ends, said once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.session.state import EndReason


class Ending:
    """The end of a program, which many can ask for; the first reason counts."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.for_sessions = EndReason.SHUTDOWN
        """What sessions are told."""

    def because(self, reason: str, for_sessions: EndReason = EndReason.SHUTDOWN) -> None:
        """Asks for it."""
        if not self._reason.done():
            self._reason.set_result(reason)
            self.for_sessions = for_sessions

    async def wait(self) -> str:
        """Returns the reason when somebody has asked."""
        return await asyncio.shield(self._reason)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask for it while this is entered."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.because, f"ended by {number.name}")
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
