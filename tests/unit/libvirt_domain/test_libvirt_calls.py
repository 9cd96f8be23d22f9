"""Calls that block, and a libvirt that does not answer."""

import asyncio
import threading

import pytest
from support.waiting import DEADLINE, eventually, eventually_true

from sidecar.libvirt_domain.calls import MOST, Calls, NoAnswer


async def test_what_a_call_returns_or_raises_comes_back() -> None:
    calls = Calls()
    assert await calls.run(threading.current_thread, DEADLINE) is not threading.current_thread()
    with pytest.raises(KeyError):
        await calls.run(lambda: {}["nothing"], DEADLINE)


async def test_a_late_answer_is_disposed_of() -> None:
    calls, may_end, disposed = Calls(), threading.Event(), threading.Event()

    def work() -> int:
        may_end.wait()
        return 7

    with pytest.raises(NoAnswer, match="within"):
        await calls.run(work, 0.01, lambda result: result == 7 and disposed.set())
    may_end.set()
    await eventually(disposed.is_set, "it is disposed of")


async def test_an_answer_that_nobody_waits_for_any_more_is_disposed_of() -> None:
    calls, may_end, disposed = Calls(), threading.Event(), threading.Event()
    waiting = asyncio.create_task(calls.run(may_end.wait, DEADLINE, lambda _: disposed.set()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    await eventually(disposed.is_set, "it is disposed of")


async def test_a_libvirt_that_does_not_answer_takes_some_threads_and_no_more() -> None:
    calls, may_end = Calls(), threading.Event()
    try:
        for _ in range(MOST):
            with pytest.raises(NoAnswer):
                await calls.run(may_end.wait, 0.01)
        with pytest.raises(NoAnswer, match="earlier"):
            await calls.run(may_end.wait, DEADLINE)
    finally:
        may_end.set()

    async def answers() -> bool:
        try:
            return await calls.run(lambda: True, DEADLINE)
        except NoAnswer:
            return False

    await eventually_true(answers, "libvirt is asked again")
