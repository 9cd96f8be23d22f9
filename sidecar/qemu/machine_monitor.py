"""The ways to a QEMU's monitor for questions and changes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from sidecar.machine import MachineUnreachable
from sidecar.qemu.errors import ConnectionLost
from sidecar.qemu.qmp import Qmp

Monitor: TypeAlias = Callable[[], AbstractAsyncContextManager[Qmp]]
"""Gives a connection for as long as the context lasts; raises MachineUnreachable."""


class AttachedMonitor:
    """The connection by which the display is attached: QEMU serves no second one meanwhile.

    `find_qmp` gives that of the machine that is attached now.
    """

    def __init__(self, find_qmp: Callable[[], Qmp | None]) -> None:
        self._find_qmp = find_qmp

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Qmp]:
        """See `Monitor`."""
        qmp = self._find_qmp()
        if qmp is None:
            raise MachineUnreachable("the machine is not there now")
        yield qmp


class SocketMonitor:
    """A connection to the socket at `path`, made when it is needed and closed when it is not.

    Between questions the socket is free for others. Those who ask at the same time share one connection:
    QEMU serves one client at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._making = asyncio.Lock()
        self._shared: _Shared | None = None
        self._failures = 0
        self._reason = ""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Qmp]:
        """See `Monitor`."""
        shared = await self._share()
        try:
            yield shared.qmp
        finally:
            shared.users -= 1
            if not shared.users:
                if self._shared is shared:
                    self._shared = None
                await shared.stack.aclose()

    async def _share(self) -> "_Shared":
        failures = self._failures
        async with self._making:
            if self._failures != failures:
                # tried while we waited for our turn; one after the other would wait for long
                raise MachineUnreachable(self._reason)
            if self._shared is None or not self._shared.qmp.is_open:
                self._shared = await self._connect()
            self._shared.users += 1
            return self._shared

    async def _connect(self) -> "_Shared":
        async with AsyncExitStack() as stack:
            try:
                qmp = await stack.enter_async_context(Qmp(self._path))
            except ConnectionLost as error:
                # it serves one client at a time, and lets the others wait
                late = isinstance(error.__cause__, TimeoutError | BlockingIOError)
                self._reason = f"{error}{'; is another program connected to it?' if late else ''}"
                self._failures += 1
                raise MachineUnreachable(self._reason) from error
            return _Shared(qmp, stack.pop_all())


class _Shared:
    """A connection and how many use it."""

    def __init__(self, qmp: Qmp, stack: AsyncExitStack) -> None:
        self.qmp = qmp
        self.stack = stack
        self.users = 0
