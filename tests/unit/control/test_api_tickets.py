"""Tickets in the management API: what its operations take, answer and refuse."""

import os
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web

from sidecar.access.tickets import NoSuchTicket, TicketClash, Tickets, TicketUnacceptable, TooManyTickets
from sidecar.control.api_tickets import ticket_operations
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Caller, Role
from sidecar.control.ticket_watch import TicketsOff, TicketWatch
from sidecar.session.registry import Registry

NOW = 1_700_000_000.0
CALLER = Caller("CN=portal", "certificate", Role.OPERATOR)


class Api:
    """The operations, as the server calls them."""

    def __init__(self, watch: TicketWatch) -> None:
        self.operations = {each.name: each for each in ticket_operations(watch)}

    def call(self, name: str, body: dict[str, Any] | None = None, **parameters: Any) -> Call:
        operation = self.operations[name]
        taken = None if body is None else msgspec.convert(body, operation.body)
        return Call(cast(web.Request, SimpleNamespace()), CALLER, taken, parameters)

    async def ask(self, name: str, body: dict[str, Any] | None = None, **parameters: Any) -> Any:
        return await self.operations[name].answer(self.call(name, body, **parameters))

    def status(self, name: str, error: type[Exception]) -> int:
        return self.operations[name].errors[error]


@pytest.fixture
async def api() -> Api:
    tickets = Tickets(lambda: NOW, lambda below: int.from_bytes(os.urandom(4)) % below)
    return Api(TicketWatch(tickets, Registry(), clock=lambda: NOW))


async def test_a_ticket_is_made_shown_and_taken_away(api: Api) -> None:
    made = await api.ask(
        "createTicket",
        {"valid": 120, "secret": "SetVmTicket's", "protocols": ["rdp"], "consoles": ["0"], "user": "ann"},
    )
    assert made["secret"] == "SetVmTicket's"
    ticket = made["ticket"]
    assert (ticket["valid_to"], ticket["protocols"], ticket["user"]) == (NOW + 120, ["rdp"], "ann")
    assert ticket["made_by"] == "CN=portal"
    assert await api.ask("getTicket", id=ticket["id"]) == ticket
    assert await api.ask("listTickets") == {"tickets": [ticket]}
    assert await api.ask("revokeTicket", id=ticket["id"]) == {"sessions_ended": 0}
    assert await api.ask("listTickets") == {"tickets": []}


async def test_with_nothing_said_it_is_for_every_viewer_for_ten_minutes(api: Api) -> None:
    made = await api.ask("createTicket", {})
    assert len(made["secret"]) == 8
    assert made["ticket"]["valid_to"] == NOW + 600
    assert made["ticket"]["protocols"] == ["rdp", "vnc", "web"]


@pytest.mark.parametrize(
    "body",
    [
        {"valid": 0},
        {"valid": 1e300},
        {"valid": "10m"},
        {"protocols": []},
        {"protocols": ["spice"]},
        {"consoles": []},
        {"consoles": [""]},
        {"secret": "short"},
        {"secret": "x" * 129},
        {"user": "x" * 65},
        {"note": "x" * 201},
        {"once": 1},
        {"role": "admin"},
    ],
)
def test_a_body_that_cannot_be_is_refused_before_anything_is_done(api: Api, body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        api.call("createTicket", body)
    for value in body.values():
        if isinstance(value, str):
            assert value not in str(refused.value)


async def test_what_is_refused_has_its_status(api: Api) -> None:
    with pytest.raises(TicketUnacceptable):
        await api.ask("createTicket", {"valid": 5, "valid_to": NOW + 5})
    with pytest.raises(TicketUnacceptable):
        await api.ask("createTicket", {"valid_to": NOW})
    await api.ask("createTicket", {"secret": "the same"})
    with pytest.raises(TicketClash):
        await api.ask("createTicket", {"secret": "the same, and more"})
    for name in ("getTicket", "revokeTicket"):
        with pytest.raises(NoSuchTicket):
            await api.ask(name, id="t9")
        assert api.status(name, NoSuchTicket) == 404
    with pytest.raises(TicketsOff):
        await Api(TicketWatch(None, Registry())).ask("createTicket", {})
    assert [
        api.status("createTicket", error)
        for error in (TicketUnacceptable, TicketClash, TooManyTickets, TicketsOff)
    ] == [422, 409, 409, 409]


def test_reading_takes_a_viewer_and_changing_an_operator(api: Api) -> None:
    assert {each.name: each.needs for each in api.operations.values()} == {
        "listTickets": Role.VIEWER,
        "getTicket": Role.VIEWER,
        "createTicket": Role.OPERATOR,
        "revokeTicket": Role.OPERATOR,
    }
    assert not any(each.users_too for each in api.operations.values())


def test_the_audit_log_is_told_no_secret(api: Api) -> None:
    def told(name: str, call: Call) -> dict[str, object]:
        operation: Operation = api.operations[name]
        assert operation.audited is not None
        return dict(operation.audited(call))

    made = told("createTicket", api.call("createTicket", {"secret": "hidden", "user": "ann", "valid": 5}))
    assert made["user"] == "ann"
    assert made["valid"] == 5
    assert "hidden" not in repr(made)
    assert told("revokeTicket", api.call("revokeTicket", id="t1", end_sessions=True)) == {
        "end_sessions": True
    }


def test_bodies_and_answers_have_a_schema(api: Api) -> None:
    types = [each.body for each in api.operations.values() if each.body is not None]
    types += [each.result for each in api.operations.values()]
    schemas, components = msgspec.json.schema_components(types)
    assert len(schemas) == len(types)
    assert components["WantedTicket"]["additionalProperties"] is False
    assert "secret" not in components["TicketStatus"]["properties"]
