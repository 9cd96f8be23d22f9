"""Looks at passwords whose hash takes time and memory: in a thread, one at a time, few waiting."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from sidecar.access.grant import LoginsBusy

MOST_WAITING: Final = 32
MOST_OF_ONE_ADDRESS: Final = 4
"""Checks that run or wait; more are refused at once."""


class SlowChecks:
    """Belongs to the main loop. A check that nobody waits for any more runs to its end first."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting: Counter[str] = Counter()

    async def run(self, host: str, still_wanted: Callable[[], None], check: Callable[[], bool]) -> bool:
        """What `check` finds, which runs in a thread.

        `still_wanted` is called when its turn has come, and raises if it is not. Raises LoginsBusy.
        `host`: empty where peers have no address; those are limited together.
        """
        if self._waiting.total() >= MOST_WAITING or (host and self._waiting[host] >= MOST_OF_ONE_ADDRESS):
            raise LoginsBusy
        self._waiting[host] += 1
        try:
            await self._turn.acquire()
            try:
                still_wanted()
                job = asyncio.get_running_loop().run_in_executor(None, check)
            except BaseException:
                self._turn.release()
                raise
            # a thread cannot be cancelled: the next one comes when it is done
            job.add_done_callback(lambda _: self._turn.release())
            return await asyncio.shield(job)
        finally:
            self._waiting[host] -= 1
            # keeps no address that nobody waits of
            self._waiting += Counter()
