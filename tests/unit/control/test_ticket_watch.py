"""What ends with a ticket, and how tickets are made at the admin socket."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.access.grant import Attempt, Grant
from sidecar.access.logins import Logins
from sidecar.access.tickets import MOST_TICKETS, NoSuchTicket, Tickets, TicketWish
from sidecar.control.admin_commands import CommandTable
from sidecar.control.admin_tickets import ticket_commands
from sidecar.control.ticket_watch import TicketsOff, TicketWatch
from sidecar.errors import SidecarError
from sidecar.session.registry import Registry
from sidecar.session.session import Session
from sidecar.session.state import EndReason

NOW = 1_700_000_000.0


class House:
    """Tickets with a registry and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW
        self.registry = Registry()
        self.tickets = Tickets(lambda: self.now, lambda below: int.from_bytes(os.urandom(4)) % below)
        self.logins = Logins(tickets=self.tickets)
        self.watch = TicketWatch(self.tickets, self.registry, clock=lambda: self.now)
        self.commands = CommandTable(*ticket_commands(self.watch))
        self.ended: list[tuple[str, EndReason]] = []

    def make(self, **wish: Any) -> str:
        made = self.watch.create(TicketWish(self.now + wish.pop("valid", 600), **wish), "test")
        return made["ticket"]["id"]

    def arrives(self) -> Session:
        session = self.registry.connect(
            "vnc", "tcp", "192.0.2.1:1", end=lambda reason: self.ended.append((session.id, reason))
        )
        return session

    def comes_in(self, ticket: str) -> Session:
        session = self.arrives()
        self.logins.use(Attempt("vnc"), Grant("ticket", ticket=ticket))
        self.registry.initialize(session, ticket=ticket)
        return session

    def ask(self, command: str, **arguments: Any) -> Any:
        request = self.commands.parse(json.dumps({"command": command, **arguments}).encode())
        return request.command.answer(request.arguments)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    with house.watch:
        yield house


async def test_sessions_go_on_when_their_ticket_is_over(house: House) -> None:
    session = house.comes_in(house.make())
    house.now += 600
    house.watch.look()
    assert house.ended == []
    assert [each.id for each in house.registry] == [session.id]
    assert house.watch.listed() == []


async def test_sessions_end_with_a_ticket_that_wants_it(house: House) -> None:
    ticket, other = house.make(end_sessions=True), house.make()
    sessions = [house.comes_in(each) for each in (ticket, ticket, other)]
    house.now += 599.9
    house.watch.look()
    assert house.ended == []
    house.now += 0.1
    house.watch.look()
    assert house.ended == [(session.id, EndReason.TICKET_OVER) for session in sessions[:2]]


async def test_they_end_by_themselves() -> None:
    # the clock moves by hand, so that a slow machine does not find the ticket over at once
    now = [NOW]
    registry = Registry()
    tickets = Tickets(lambda: now[0], lambda below: int.from_bytes(os.urandom(4)) % below)
    ended: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
    with TicketWatch(tickets, registry, clock=lambda: now[0]) as watch:
        made = watch.create(TicketWish(NOW + 0.05, end_sessions=True), "test")
        session = registry.connect("vnc", "tcp", "192.0.2.1:1", end=ended.set_result)
        registry.initialize(session, ticket=made["ticket"]["id"])
        now[0] += 1
        async with asyncio.timeout(30):
            assert await ended is EndReason.TICKET_OVER
        assert len(tickets) == 0


async def test_revoking_ends_sessions_if_that_is_asked_for(house: House) -> None:
    kept, ended, bound = house.make(), house.make(), house.make(end_sessions=True)
    for ticket in (kept, ended, bound):
        house.comes_in(ticket)
    assert house.watch.revoke(kept) == 0
    assert house.watch.revoke(ended, end_sessions=True) == 1
    assert house.watch.revoke(bound) == 1
    assert [session for session, _ in house.ended] == ["v2", "v3"]
    with pytest.raises(NoSuchTicket):
        house.watch.revoke(kept)


async def test_a_session_that_comes_in_just_after_its_ticket_has_ended_ends_too(house: House) -> None:
    ticket = house.make()
    session = house.arrives()
    house.logins.use(Attempt("vnc"), Grant("ticket", ticket=ticket))
    house.watch.revoke(ticket, end_sessions=True)
    house.registry.initialize(session, ticket=ticket)
    # not within the call that has let it in
    assert house.ended == []
    await asyncio.sleep(0)
    assert house.ended == [(session.id, EndReason.TICKET_OVER)]


async def test_one_that_is_used_up_is_listed_until_its_session_has_ended(house: House) -> None:
    ticket = house.make(once=True)
    session = house.comes_in(ticket)
    (listed,) = house.watch.listed()
    assert (listed["used_up"], listed["uses"], listed["sessions"]) == (True, 1, [session.id])
    house.registry.disconnected(session)
    assert house.watch.listed() == []
    # one that can be used again stays
    reusable = house.make()
    house.registry.disconnected(house.comes_in(reusable))
    assert [each["id"] for each in house.watch.listed()] == [reusable]


async def test_tickets_that_are_over_make_room(house: House) -> None:
    for _ in range(MOST_TICKETS):
        house.make()
    house.now += 600
    house.make()
    assert len(house.tickets) == 1


async def test_nothing_is_left_behind() -> None:
    house = House()
    with house.watch:
        house.make()
    assert len(house.registry.events) == 0


async def test_a_ticket_is_made_listed_and_revoked_at_the_admin_socket(house: House) -> None:
    made = house.ask(
        "ticket-create",
        valid=60,
        once=True,
        protocols=["vnc", "rdp"],
        view_only=True,
        consoles=["0", "serial 1"],
        user="ann",
        note="for Ann",
        end_sessions=True,
        secret="ann's secret",
    )
    expected = {
        "id": "t1",
        "valid_to": NOW + 60,
        "once": True,
        "protocols": ["rdp", "vnc"],
        "view_only": True,
        "consoles": ["0", "serial 1"],
        "user": "ann",
        "note": "for Ann",
        "end_sessions": True,
        "made_by": "admin socket",
        "made_at": NOW,
        "uses": 0,
        "used_up": False,
        "sessions": [],
    }
    assert made == {"secret": "ann's secret", "ticket": expected}
    assert house.ask("tickets") == [expected]
    assert house.ask("ticket-revoke", id="t1") == {"sessions_ended": 0}
    assert house.ask("tickets") == []


async def test_a_time_can_be_said_instead_and_ten_minutes_are_usual(house: House) -> None:
    assert house.ask("ticket-create", valid_to=NOW + 5)["ticket"]["valid_to"] == NOW + 5
    assert house.ask("ticket-create")["ticket"]["valid_to"] == NOW + 600


@pytest.mark.parametrize(
    "arguments",
    [
        {"valid": 60, "valid_to": NOW + 60},
        {"valid": 0},
        {"valid": -1},
        {"valid": 1e300},
        {"valid_to": 0},
        {"protocols": []},
        {"protocols": ["spice"]},
        {"protocols": [1]},
        {"protocols": "vnc"},
        {"consoles": []},
        {"consoles": [["0"]]},
        {"secret": "short"},
        {"user": "a\nb"},
        {"colour": "red"},
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_made(house: House, arguments: dict[str, Any]) -> None:
    with pytest.raises(SidecarError):
        house.ask("ticket-create", **arguments)
    assert len(house.tickets) == 0


async def test_the_audit_log_is_told_no_secret(house: House) -> None:
    line = json.dumps({"command": "ticket-create", "secret": "ann's secret", "valid": 5}).encode()
    request = house.commands.parse(line)
    assert request.command.changes
    assert request.told == {"valid": 5}
    assert house.commands.parse(b'{"command":"ticket-revoke","id":"t1"}').told == {"id": "t1"}


async def test_no_secret_is_in_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = house.ask("ticket-create", secret="ann's secret", end_sessions=True)
        house.ask("tickets")
        house.comes_in(made["ticket"]["id"])
        house.ask("ticket-revoke", id=made["ticket"]["id"])
    told = [record.__dict__.get("sidecar_context", {}) for record in caplog.records]
    assert any(line.get("sessions_ended") == 1 for line in told)
    assert "ann's secret" not in repr(told) + caplog.text


async def test_where_nobody_is_asked_for_anything_it_is_said_what_to_do() -> None:
    with TicketWatch(None, Registry()) as watch:
        with pytest.raises(TicketsOff, match="start the daemon with --auth ticket"):
            watch.create(TicketWish(watch.now + 1), "test")
        assert watch.listed() == []
        with pytest.raises(NoSuchTicket):
            watch.revoke("t1")
        with pytest.raises(NoSuchTicket):
            watch.find("t1")
        watch.look()
