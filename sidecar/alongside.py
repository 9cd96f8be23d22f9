"""Work that goes on beside a block, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Any

from sidecar.log import get_logger

log = get_logger(__name__)


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Has `work` done while it is entered, and cancels it at the end; returns when it has ended.

    For work that nobody should lose a machine for: what makes it fail is logged under `name`, and the block
    goes on without it.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        task.cancel()
        # not awaited itself: that would take a cancellation of ours for its own
        await asyncio.wait([task])


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
        log.error("given up", work=task.get_name(), cause=repr(error), where=where)
