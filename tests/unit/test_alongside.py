"""Work beside a block."""

import asyncio

import pytest

from sidecar.alongside import alongside
from sidecar.log import LineFormatter


async def test_it_goes_on_while_the_block_does_and_has_ended_with_it() -> None:
    told: list[str] = []

    async def work() -> None:
        told.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            # an end that takes its time is waited for
            await asyncio.sleep(0)
            told.append("ended")

    async with alongside(work(), name="work"):
        await asyncio.sleep(0)
        assert told == ["begun"]
    assert told == ["begun", "ended"]


async def test_a_block_that_is_over_at_once_leaves_nothing_behind() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    async with alongside(work(), name="work"):
        pass
    assert asyncio.all_tasks() == before


async def test_what_fails_is_logged_and_the_block_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("on purpose")

    async with alongside(work(), name="the work"):
        while "given up" not in caplog.text:
            await asyncio.sleep(0)
    (record,) = caplog.records
    assert "on purpose" in LineFormatter().format(record)


async def test_who_is_cancelled_while_it_ends_hears_of_it() -> None:
    ending, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()

    async def block() -> None:
        async with alongside(work(), name="work"):
            await asyncio.sleep(0)

    task = asyncio.create_task(block())
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
