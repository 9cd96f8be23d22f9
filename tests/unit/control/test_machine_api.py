"""The machine over the API's real sockets: an admin at a unix socket, a viewer over TCP."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.synthetic_machine import GIB, SyntheticMachine
from support.waiting import eventually

from sidecar.control.api import ApiServer
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_machine import PATH, machine_operations
from sidecar.control.machine_control import Busy, MachineControl
from sidecar.machine import Capability

MEMORY = f"{PATH}/memory"


class House:
    """A served machine and two who ask."""

    def __init__(
        self, machine: SyntheticMachine, admin: aiohttp.ClientSession, viewer: aiohttp.ClientSession
    ) -> None:
        self.machine = machine
        self.admin = admin
        self.viewer = viewer


@pytest.fixture
async def house(short_dir: Path) -> AsyncIterator[House]:
    async with contextlib.AsyncExitStack() as stack:
        machine = SyntheticMachine()
        control = await stack.enter_async_context(MachineControl(machine))
        server = await stack.enter_async_context(ApiServer(machine_operations(control), ApiAccess()))
        await server.listen_unix(short_dir / "api")
        port = await server.listen_tcp("127.0.0.1", 0)
        unix = aiohttp.UnixConnector(str(short_dir / "api"))
        yield House(
            machine,
            await stack.enter_async_context(aiohttp.ClientSession("http://localhost", connector=unix)),
            await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}")),
        )


async def put(session: aiohttp.ClientSession, path: str, body: object) -> tuple[int, str]:
    async with session.put(path, json=body) as answer:
        return answer.status, await answer.text()


async def test_of_ten_changes_at_once_one_goes_and_nine_are_told_busy_and_no_more(
    house: House,
) -> None:
    house.machine.go_on.clear()
    changes = [asyncio.create_task(put(house.admin, MEMORY, {"size": GIB + each})) for each in range(10)]
    await eventually(lambda: sum(change.done() for change in changes) == 9, "nine are turned away")
    house.machine.go_on.set()
    answers = await asyncio.gather(*changes)
    assert sorted(status for status, _ in answers) == [204, *[409] * 9]
    texts = {text for status, text in answers if status == 409}
    assert len(texts) == 1
    assert json.loads(texts.pop()) == {"error": str(Busy())}
    assert len(house.machine.done) == 1


async def test_a_viewer_reads_and_changes_nothing(house: House) -> None:
    async with house.viewer.get(PATH) as answer:
        assert answer.status == 200
        assert (await answer.json())["memory"] == GIB
    for switch in ("shut-down", "power-off", "reset", "pause", "resume", "start"):
        async with house.viewer.post(f"{PATH}/{switch}") as answer:
            assert answer.status == 403
    assert (await put(house.viewer, MEMORY, {"size": GIB}))[0] == 403
    assert (await put(house.viewer, f"{PATH}/cpus", {"count": 2}))[0] == 403
    assert not house.machine.begun


async def test_a_caller_that_hangs_up_leaves_no_half_change(house: House) -> None:
    house.machine.go_on.clear()
    change = asyncio.create_task(put(house.admin, MEMORY, {"size": GIB}))
    await eventually(lambda: house.machine.begun, "the change begins")
    change.cancel()
    await asyncio.wait([change])
    assert (await put(house.admin, MEMORY, {"size": GIB}))[0] == 409
    house.machine.go_on.set()
    await eventually(lambda: house.machine.done, "it is seen through")
    assert house.machine.taken_back == 0


async def test_what_is_not_possible_is_told_before_it_is_tried(house: House) -> None:
    house.machine.reasons[Capability.SET_MEMORY] = "the machine has no balloon"
    status, text = await put(house.admin, MEMORY, {"size": GIB})
    assert (status, "no balloon" in text) == (409, True)
    assert not house.machine.begun
