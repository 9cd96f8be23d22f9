"""Waiting for what another process does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds after which a test gives up; generous, since two slow cores may run everything."""


def wait_until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """The first true result of `condition`; AssertionError with `what` when there is none in time."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.02)
    return result


async def eventually(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """`wait_until` for coroutines."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        await asyncio.sleep(0.02)
    return result


async def eventually_true(
    condition: Callable[[], Awaitable[bool]], what: str, deadline: float = DEADLINE
) -> None:
    """Waits for a condition that is a coroutine itself."""
    end = time.monotonic() + deadline
    while not await condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        await asyncio.sleep(0.1)
