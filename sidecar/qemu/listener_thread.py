"""A thread with a loop of its own, for the sockets on which QEMU waits for us."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from sidecar.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")


class ListenerThread:
    """Runs while the context lasts, which belongs to the loop that opened it.

    Nothing that it runs may encode, wait for a client, or otherwise take long.
    """

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="qemu-listener", daemon=True)
        self._home = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._home.create_future()
        self._ended: asyncio.Future[None] = self._home.create_future()
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._thread.start()
        try:
            await self._started
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        try:
            await self._ended
        finally:
            # what follows its last word takes no time
            self._thread.join()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the thread; what it returns or raises. Cancelling this cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Calls a function on the thread, after everything that was posted before."""
        self._loop.call_soon_threadsafe(callback, *args)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException:
            log.exception("the listener thread failed")
        finally:
            self._home.call_soon_threadsafe(self._resolve, self._ended)

    async def _serve(self) -> None:
        self._home.call_soon_threadsafe(self._resolve, self._started)
        await self._stop.wait()

    @staticmethod
    def _resolve(future: "asyncio.Future[None]") -> None:
        if not future.done():
            future.set_result(None)
