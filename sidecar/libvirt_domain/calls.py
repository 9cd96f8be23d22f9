"""Calls that block, each on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST: Final = 4
"""Threads at once; more are waiting for a libvirt that does not answer."""


class NoAnswer(Exception):
    """libvirt has not answered in time."""


class Crowded(NoAnswer):
    """There are too many calls that libvirt has not answered: it was not asked."""


def apart(work: Callable[[], object]) -> None:
    """Runs `work`, which raises nothing, on a thread, for which nobody waits.

    It is a daemon thread: one that waits for a libvirt that is stuck cannot be woken, and keeps nobody from
    ending.
    """
    threading.Thread(target=work, name="libvirt", daemon=True).start()


class Calls:
    """Runs what blocks. Belongs to the main loop."""

    def __init__(self) -> None:
        self._running = 0

    async def run(
        self, work: Callable[[], T], limit: float, dispose: Callable[[T], object] | None = None
    ) -> T:
        """What `work` returns or raises.

        Raises Crowded, or NoAnswer after `limit` seconds: it goes on by itself then.
        `dispose` is called, on a thread, with a result that nobody waits for any more.
        """
        if self._running >= MOST:
            raise Crowded("libvirt has not answered earlier questions")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def take(result: Any, error: Exception | None) -> None:
            self._running -= 1
            if answer.done():
                if error is None and dispose is not None:
                    apart(lambda: dispose(result))
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        def block() -> None:
            result: T | None = None
            failure: Exception | None = None
            try:
                result = work()
            except Exception as error:
                failure = error
            try:
                loop.call_soon_threadsafe(take, result, failure)
            except RuntimeError:
                # the loop is closed, and the process about to end
                return

        apart(block)
        self._running += 1
        try:
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise NoAnswer(f"libvirt has not answered within {limit:g} s") from None
