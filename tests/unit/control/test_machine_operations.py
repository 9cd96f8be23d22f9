"""The machine's operations in the API's table, and its commands at the admin socket."""

import asyncio
import inspect
import json
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web
from support.synthetic_machine import GIB, SyntheticMachine

from sidecar.control.admin_commands import CommandTable
from sidecar.control.admin_machine import machine_commands
from sidecar.control.api_machine import PATH, machine_operations
from sidecar.control.machine_answer import MachineAnswer
from sidecar.control.machine_control import Busy, MachineControl, NoControl, NotPossible
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Caller, Role
from sidecar.machine import Capability, MachineRefused, MachineUnreachable

CALLER = Caller("CN=test", "certificate", Role.ADMIN)


def table(control: MachineControl) -> dict[tuple[str, str], Operation]:
    return {(each.method, each.path.removeprefix(PATH)): each for each in machine_operations(control)}


def call(operation: Operation, body: object = None) -> Call:
    """As it comes from a request with this body. Raises msgspec.ValidationError."""
    taken = None if operation.body is None else msgspec.convert(body, operation.body)
    # none of these operations looks at the request
    return Call(cast(web.Request, None), CALLER, taken, {})


async def ask(operation: Operation, body: object = None) -> Any:
    return await operation.answer(call(operation, body))


async def test_who_may_what() -> None:
    async with MachineControl(SyntheticMachine()) as control:
        needs = {what: operation.needs for what, operation in table(control).items()}
    assert needs.pop(("GET", "")) is Role.VIEWER
    assert needs.pop(("PUT", "/memory")) is needs.pop(("PUT", "/cpus")) is Role.ADMIN
    assert set(needs.values()) == {Role.OPERATOR}
    assert {path for method, path in needs if method == "POST"} == {
        *("/shut-down", "/power-off", "/reset", "/pause", "/resume", "/start"),
    }


async def test_the_answer_is_of_the_type_that_is_told() -> None:
    machine = SyntheticMachine()
    machine.reasons[Capability.START] = "the machine is running"
    async with MachineControl(machine) as control:
        operation = table(control)["GET", ""]
        answer = await ask(operation)
    msgspec.convert(json.loads(json.dumps(answer)), operation.result, strict=True)
    assert operation.result is MachineAnswer
    assert (answer["memory"], answer["maximum_cpus"], answer["host"]["kvm"]) == (GIB, None, False)
    assert answer["devices"][0]["detail"] == "disk.img"
    assert answer["capabilities"]["start"] == {"possible": False, "reason": "the machine is running"}
    schema = msgspec.json.schema(MachineAnswer)
    assert set(schema["$defs"]["MachineAnswer"]["properties"]) == set(answer)


async def test_every_change_reaches_the_machine_and_the_audit_log() -> None:
    machine = SyntheticMachine()
    async with MachineControl(machine) as control:
        bodies = {"/memory": {"size": GIB}, "/cpus": {"count": 3}}
        for (method, path), operation in table(control).items():
            if method == "GET":
                continue
            body = bodies.get(path)
            assert await ask(operation, body) is None
            assert operation.audited is not None
            assert operation.audited(call(operation, body)) == (body or {})
    switches = ["shut-down", "power-off", "reset", "pause", "resume", "start"]
    assert machine.done == [*switches, f"memory {GIB}", "cpus 3"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/memory", {"size": 0}),
        ("/memory", {"size": -GIB}),
        ("/memory", {"size": 1 << 60}),
        ("/memory", {"size": "1G"}),
        ("/memory", {"size": True}),
        ("/memory", {"size": GIB, "force": True}),
        ("/memory", {}),
        ("/cpus", {"count": 0}),
        ("/cpus", {"count": 1.5}),
        ("/cpus", {"count": 1 << 20}),
        ("/cpus", []),
    ],
)
async def test_a_body_that_is_wrong_goes_no_further(path: str, body: object) -> None:
    async with MachineControl(SyntheticMachine()) as control:
        with pytest.raises(msgspec.ValidationError):
            call(table(control)["PUT", path], body)


async def test_every_error_has_its_status() -> None:
    machine = SyntheticMachine()
    async with MachineControl(machine) as control, MachineControl(None) as nobody:
        operations = table(control)
        pause = operations["POST", "/pause"]
        statuses = {
            NoControl: 501,
            MachineUnreachable: 503,
            Busy: 409,
            NotPossible: 409,
            MachineRefused: 409,
        }
        assert dict(pause.errors) == dict(operations["PUT", "/memory"].errors) == statuses
        assert dict(operations["GET", ""].errors) == {NoControl: 501, MachineUnreachable: 503}

        machine.fails = MachineUnreachable("gone")
        for operation in (operations["GET", ""], pause):
            with pytest.raises(MachineUnreachable):
                await ask(operation)
        machine.fails, machine.reasons[Capability.PAUSE] = None, "no"
        with pytest.raises(NotPossible):
            await ask(pause)
        with pytest.raises(MachineRefused):
            await ask(operations["PUT", "/memory"], {"size": 4 * GIB})
        with pytest.raises(NoControl):
            await ask(table(nobody)["GET", ""])


async def test_the_admin_socket_has_the_same() -> None:
    machine = SyntheticMachine()
    async with MachineControl(machine) as control:
        commands = CommandTable(*machine_commands(control))

        async def run(line: str) -> Any:
            request = commands.parse(line.encode())
            answer = request.command.answer(request.arguments)
            assert inspect.isawaitable(answer)
            return await answer

        assert (await run('{"command": "machine"}'))["name"] == "synthetic"
        names = [each["command"] for each in commands.help() if each["command"].startswith("machine-")]
        given = {"machine-memory": {"size": GIB}, "machine-cpus": {"count": 2}}
        for name in names:
            line = {"command": name, **given.get(name, {})}
            assert commands.parse(json.dumps(line).encode()).command.changes
            await run(json.dumps(line))
        assert len(machine.done) == len(names) == len(Capability)

        machine.go_on.clear()
        first = asyncio.create_task(run('{"command": "machine-pause"}'))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await run('{"command": "machine-reset"}')
        machine.go_on.set()
        await first
