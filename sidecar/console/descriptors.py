"""Standard input and output without waiting for them."""

import asyncio
import os
import stat
from collections.abc import Callable

CHUNK = 16 * 1024
"""Bytes that are read at once."""


class Input:
    """Reads a descriptor while it is wanted: a terminal, a pipe, a socket or a file.

    `received` gets what comes, `ended` is called once at the end. A terminal that has hung up has ended.
    """

    def __init__(self, descriptor: int, received: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._received = received
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._is_wanted = False
        self._is_over = False
        self._is_file = False
        self._turn: asyncio.Handle | None = None

    def resume(self) -> None:
        """Reads from now on."""
        if self._is_wanted or self._is_over:
            return
        self._is_wanted = True
        if not self._is_file:
            try:
                self._loop.add_reader(self._descriptor, self._read)
            except PermissionError:
                # epoll takes no files, which never make anybody wait
                self._is_file = True
        if self._is_file:
            self._turn = self._loop.call_soon(self._read)

    def pause(self) -> None:
        """Reads no more until `resume`."""
        if not self._is_wanted:
            return
        self._is_wanted = False
        if self._turn is not None:
            self._turn.cancel()
        if not self._is_file:
            self._loop.remove_reader(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            # another process has it too, and was quicker
            return
        except OSError:
            data = b""
        if not data:
            self.pause()
            self._is_over = True
            self._ended()
            return
        self._received(data)
        if self._is_file and self._is_wanted:
            self._turn = self._loop.call_soon(self._read)


class Output:
    """Writes to a descriptor, as fast as whoever is behind it takes it. `close` it at the end.

    `written` is told how many bytes have left. `failed` is called once when nobody takes them any more.
    """

    def __init__(
        self,
        descriptor: int,
        written: Callable[[int], None] = lambda _size: None,
        failed: Callable[[OSError], None] = lambda _error: None,
    ) -> None:
        self._written = written
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._queue = bytearray()
        self._drained: asyncio.Future[None] | None = None
        self._is_waiting = False
        self._is_broken = False
        self._was_blocking = False
        self._own: int | None = None
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            self._own = _own_description(descriptor)
        self._descriptor = descriptor if self._own is None else self._own
        if self._own is None and not stat.S_ISREG(mode):
            self._was_blocking = os.get_blocking(descriptor)
            os.set_blocking(descriptor, False)

    @property
    def queued(self) -> int:
        """Bytes that have not left."""
        return len(self._queue)

    def write(self, data: bytes) -> None:
        """Takes all of it; whoever calls bounds `queued`."""
        if self._is_broken:
            return
        self._queue += data
        if not self._is_waiting:
            self._write()

    async def drain(self) -> None:
        """Waits until all has left, or nobody takes it."""
        if self._queue and not self._is_broken:
            self._drained = self._loop.create_future()
            await self._drained

    def close(self) -> None:
        """Lets go of the descriptor and leaves it as it was; what has not left is dropped."""
        self._is_broken = True
        self._wait(False)
        if self._own is not None:
            os.close(self._own)
            self._own = None
        elif self._was_blocking:
            os.set_blocking(self._descriptor, True)

    def _write(self) -> None:
        try:
            while self._queue:
                size = os.write(self._descriptor, self._queue)
                del self._queue[:size]
                self._written(size)
        except BlockingIOError:
            self._wait(True)
            return
        except OSError as error:
            self._is_broken = True
            self._queue.clear()
            self._failed(error)
        self._wait(False)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _wait(self, wait: bool) -> None:
        if wait and not self._is_waiting:
            self._loop.add_writer(self._descriptor, self._write)
        elif self._is_waiting and not wait:
            self._loop.remove_writer(self._descriptor)
        self._is_waiting = wait


def _own_description(descriptor: int) -> int | None:
    """The same terminal or pipe opened anew, so that not waiting is ours alone; None where that cannot be."""
    try:
        return os.open(
            f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
    except OSError:
        return None
