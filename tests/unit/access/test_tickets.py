"""Tickets, and what can be done with them."""

import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sidecar.access.grant import Attempt, LoginFailed, LoginProtocol
from sidecar.access.password import Passwords
from sidecar.access.tickets import (
    ALPHABET,
    LENGTH,
    LONGEST_SECRET,
    LONGEST_VALIDITY,
    MOST_CONSOLES,
    MOST_TICKETS,
    VNC_LENGTH,
    NoSuchTicket,
    Ticket,
    TicketClash,
    Tickets,
    TicketUnacceptable,
    TicketWish,
    TooManyTickets,
    vnc_key,
)
from sidecar.vnc.security.vnc_auth import encrypt_challenge

NOW = 1_700_000_000.0
WISH = TicketWish(NOW + 600)
PROTOCOLS: tuple[LoginProtocol, ...] = ("vnc", "rdp", "web", "api")


def random(below: int) -> int:
    return int.from_bytes(os.urandom(4)) % below


def tickets(password: str = "machine's password") -> Tickets:
    return Tickets(lambda: NOW, random, Passwords(lambda: password))


def secrets(tickets: Tickets, protocol: LoginProtocol = "vnc", user: str = "") -> list[str | None]:
    return [each.password for each in tickets.candidates(Attempt(protocol), user)]


def wish_for(*protocols: LoginProtocol) -> TicketWish:
    return replace(WISH, protocols=frozenset(protocols))


def test_a_secret_is_as_long_as_it_may_be_for_what_it_is_for() -> None:
    made = tickets()
    for protocols, length in (
        (("vnc", "rdp"), VNC_LENGTH),
        (("web",), VNC_LENGTH),
        (("rdp",), LENGTH),
        (("rdp", "api"), LENGTH),
    ):
        secret = made.create(wish_for(*cast(tuple[LoginProtocol, ...], protocols)), "test").wish.secret
        assert secret is not None
        assert len(secret) == length
        assert set(secret) <= set(ALPHABET)


def test_a_secret_that_was_made_up_never_clashes() -> None:
    # draws the same letters again and again
    numbers = itertools.chain([0] * VNC_LENGTH * 3, itertools.repeat(1))
    made = Tickets(lambda: NOW, lambda _below: next(numbers))
    assert [made.create(WISH, "test").wish.secret for _ in range(2)] == [ALPHABET[0] * 8, ALPHABET[1] * 8]


@pytest.mark.parametrize(
    "secret",
    [
        "machine's password",
        "machine's passport",
        "machine'",
        "a ticket for ann",
        "a ticket for bob",
        # the first bit of a byte is none of the key's
        "machin\u00e5",
    ],
)
def test_what_vnc_cannot_tell_from_another_secret_is_refused(secret: str) -> None:
    made = tickets("machinC%" if "\u00e5" in secret else "machine's password")
    made.create(replace(WISH, secret="a ticket"), "test")
    with pytest.raises(TicketClash, match="password begins with the same 8 bytes"):
        made.create(replace(WISH, secret=secret), "test")
    assert len(made) == 1


@given(st.text(min_size=1), st.text(min_size=1))
@settings(max_examples=50, deadline=None)
def test_secrets_that_count_as_different_are_so_to_vncs_authentication(one: str, other: str) -> None:
    challenge = bytes(range(16))
    if "\0" in one + other or "\ud800" <= max(one + other) <= "\udfff":
        return
    same = encrypt_challenge(challenge, one) == encrypt_challenge(challenge, other)
    assert same == (vnc_key(one) == vnc_key(other))


def test_the_secret_of_a_ticket_that_is_over_or_revoked_may_be_chosen_again() -> None:
    now = [NOW]
    made = Tickets(lambda: now[0], random)
    first = made.create(replace(WISH, secret="a secret"), "test")
    made.revoke(first.id)
    made.create(replace(WISH, secret="a secret"), "test")
    now[0] += 600
    later = made.create(replace(WISH, secret="a secret", valid_to=now[0] + 1), "test")
    assert later.id not in (first.id, "t2")


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (replace(WISH, valid_to=NOW), "over already"),
        (replace(WISH, valid_to=float("nan")), "over already"),
        (replace(WISH, valid_to=float("inf")), "over already"),
        (replace(WISH, valid_to=NOW + LONGEST_VALIDITY + 1), "30 days at most"),
        (replace(WISH, protocols=frozenset()), "one or more of vnc, rdp, web, api"),
        (replace(WISH, protocols=cast(frozenset[LoginProtocol], frozenset({"spice"}))), "one or more of"),
        (replace(WISH, consoles=frozenset()), "1 to 16 consoles"),
        (replace(WISH, consoles=frozenset(map(str, range(MOST_CONSOLES + 1)))), "1 to 16 consoles"),
        (replace(WISH, consoles=frozenset({""})), "must not be empty"),
        (replace(WISH, consoles=frozenset({"x" * 65})), "64 characters or fewer"),
        (replace(WISH, user="x" * 65), "64 characters or fewer"),
        (replace(WISH, user="a\nb"), "without control characters"),
        (replace(WISH, note="\x1b[2J"), "without control characters"),
        (replace(WISH, note="x" * 201), "200 characters or fewer"),
        (replace(WISH, secret="short"), "6 characters or more"),
        (replace(WISH, secret=""), "6 characters or more"),
        (replace(WISH, secret="secret\0"), "without control characters"),
        (replace(WISH, secret="secret\ud800"), "without control characters"),
        (replace(WISH, secret="s" * (LONGEST_SECRET + 1)), "128 characters or fewer"),
    ],
)
def test_what_no_ticket_can_be_is_refused_with_the_reason(wish: TicketWish, why: str) -> None:
    made = tickets()
    with pytest.raises(TicketUnacceptable, match=why):
        made.create(wish, "test")
    assert len(made) == 0


def test_there_are_no_more_than_so_many() -> None:
    made = tickets()
    for _ in range(MOST_TICKETS):
        made.create(WISH, "test")
    with pytest.raises(TooManyTickets, match="revoke some"):
        made.create(WISH, "test")
    assert len(set(secrets(made))) == MOST_TICKETS


def test_one_for_a_request_to_the_api_is_gone_with_it() -> None:
    made = tickets()
    ticket = made.create(replace(wish_for("api"), once=True), "test")
    made.use(Attempt("api"), ticket.id)
    assert len(made) == 0


@pytest.mark.parametrize("ticket_id", ["", "t0", "t2", "T1", "t1 ", "\x1b[2J" * 100])
def test_a_ticket_that_is_not_there_is_named_short_and_printable(ticket_id: str) -> None:
    made = tickets()
    made.create(WISH, "test")
    for look in (made.find, made.revoke):
        with pytest.raises(NoSuchTicket) as refused:
            look(ticket_id)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 250
    with pytest.raises(LoginFailed):
        made.use(Attempt("vnc"), ticket_id)


@dataclass
class Known:
    """What the model knows of a ticket."""

    wish: TicketWish
    secret: str
    uses: int = 0
    is_revoked: bool = False


class TicketsOfAModel(RuleBasedStateMachine):
    """Whatever is done in whatever order, a ticket lets in when it should and at no other time."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.tickets = Tickets(lambda: self.now, random, Passwords(lambda: "machine's"))
        self.known: dict[str, Known] = {}

    def lets_in(self, protocol: LoginProtocol, user: str) -> Iterable[str]:
        for ticket_id, each in self.known.items():
            usable = not each.is_revoked and self.now < each.wish.valid_to
            spent = each.wish.once and each.uses
            named = not user or each.wish.user in ("", user)
            if usable and not spent and named and protocol in each.wish.protocols:
                yield ticket_id

    @rule(
        target=made,
        valid=st.floats(0.1, 50),
        once=st.booleans(),
        protocols=st.frozensets(st.sampled_from(PROTOCOLS), min_size=1),
        user=st.sampled_from(["", "ann", "bob"]),
    )
    def create(self, valid: float, once: bool, protocols: frozenset[LoginProtocol], user: str) -> str:
        wish = TicketWish(self.now + valid, once=once, protocols=protocols, user=user)
        ticket = self.tickets.create(wish, "test")
        assert ticket.id not in self.known
        assert ticket.wish.secret is not None
        self.known[ticket.id] = Known(wish, ticket.wish.secret)
        return ticket.id

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(ticket_id=made, protocol=st.sampled_from(PROTOCOLS))
    def use(self, ticket_id: str, protocol: LoginProtocol) -> None:
        allowed = ticket_id in self.lets_in(protocol, "")
        try:
            self.tickets.use(Attempt(protocol), ticket_id)
        except LoginFailed:
            assert not allowed
        else:
            assert allowed
            self.known[ticket_id].uses += 1

    @rule(ticket_id=consumes(made))
    def revoke(self, ticket_id: str) -> None:
        try:
            self.tickets.revoke(ticket_id)
        except NoSuchTicket:
            each = self.known[ticket_id]
            assert self.now >= each.wish.valid_to or each.uses
        self.known[ticket_id].is_revoked = True

    @rule()
    def drop_over(self) -> None:
        dropped = self.tickets.drop_over()
        assert all(ticket.wish.valid_to <= self.now for ticket in dropped)
        assert len(self.tickets) == len(self.tickets.live())

    @rule(ticket_id=made)
    def forget(self, ticket_id: str) -> None:
        self.tickets.forget_used_up(ticket_id)

    @invariant()
    def those_let_in_who_should_be(self) -> None:
        for protocol in PROTOCOLS:
            for user in ("", "ann", "bob", "eve"):
                wanted = {self.known[ticket_id].secret for ticket_id in self.lets_in(protocol, user)}
                assert set(secrets(self.tickets, protocol, user)) == wanted

    @invariant()
    def a_spent_secret_is_forgotten(self) -> None:
        held: list[Ticket] = self.tickets.live()
        assert all(ticket.wish.secret is None for ticket in held if ticket.is_used_up)


TestTicketsOfAModel = TicketsOfAModel.TestCase
TestTicketsOfAModel.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
