"""Logins by the machine's password, by users of their own and by tickets, all in one."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.access import scrypt
from sidecar.access.grant import Attempt, Grant, LoginFailed, LoginsBusy, LoginThrottled
from sidecar.access.logins import Logins, matching
from sidecar.access.password import Passwords, same
from sidecar.access.recent_logins import REMEMBERED_FOR, RecentLogins
from sidecar.access.slow_checks import MOST_OF_ONE_ADDRESS, MOST_WAITING, SlowChecks
from sidecar.access.throttle import FREE_FAILURES, Throttle
from sidecar.access.tickets import Tickets, TicketWish
from sidecar.access.users import Users
from sidecar.access.users_file import User, section

CHEAP = scrypt.Cost(ln=10, r=1, p=1)
"""What the tests can afford."""

NT_HASH = bytes(range(16))
VNC = Attempt("vnc", "192.0.2.1")
RDP = Attempt("rdp", "192.0.2.1")
API = Attempt("api", "192.0.2.1")


class House:
    """All that there can be, with a clock that is moved by hand."""

    def __init__(self, path: Path) -> None:
        self.now = 1000.0
        self.path = path
        self.write(
            User(
                "ann", scrypt.make("ann's own", os.urandom, CHEAP), NT_HASH, view_only=True, role="operator"
            ),
            User("rita", scrypt.make("rita's own", os.urandom, CHEAP), protocols=frozenset({"rdp"})),
        )
        passwords = Passwords(lambda: "machine's")
        self.tickets = Tickets(lambda: self.now, lambda below: self.draw() % below, passwords)
        self.users = Users(path)
        self.logins = Logins(passwords, self.users, self.tickets, Throttle(lambda: self.now))

    def draw(self) -> int:
        return int.from_bytes(os.urandom(4))

    def write(self, *users: User) -> None:
        new = self.path.with_suffix(".new")
        new.write_text("".join(map(section, users)))
        new.chmod(0o600)
        new.replace(self.path)

    async def grant(self, attempt: Attempt, user: str, password: str) -> Grant | None:
        try:
            return await self.logins.verify(attempt, user, password)
        except LoginFailed:
            return None


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "users.toml")


async def test_each_secret_grants_what_it_is_for(house: House) -> None:
    ticket = house.tickets.create(
        TicketWish(2000, view_only=True, consoles=frozenset({"1"}), user="tom", secret="ticket's"), "test"
    )
    by_ticket = Grant("ticket", "tom", True, frozenset({"1"}), ticket.id)
    assert await house.grant(VNC, "", "machine's") == Grant("password")
    assert await house.grant(RDP, "anybody", "machine's") == Grant("password")
    assert await house.grant(VNC, "ann", "ann's own") == Grant("user", "ann", True, role="operator")
    assert await house.grant(VNC, "tom", "ticket's") == by_ticket
    # where the protocol has no names
    assert await house.grant(VNC, "", "ticket's") == by_ticket


@pytest.mark.parametrize(
    ("attempt", "user", "password"),
    [
        pytest.param(VNC, "", "wrong", id="a wrong password"),
        pytest.param(VNC, "ann", "wrong", id="a wrong password of a user"),
        pytest.param(VNC, "", "ann's own", id="a user's password without the name"),
        pytest.param(VNC, "Ann", "ann's own", id="another name"),
        pytest.param(VNC, "ann", "machine's", id="a user's name with the machine's password"),
        pytest.param(VNC, "rita", "rita's own", id="a user of another protocol"),
        pytest.param(VNC, "bob", "ticket's", id="a ticket of another name"),
        pytest.param(RDP, "tom", "ticket's", id="a ticket of another protocol"),
        pytest.param(API, "", "ticket's", id="a ticket that is not for the API"),
        pytest.param(VNC, "tom", "", id="an empty password"),
        pytest.param(VNC, "tom", "\ud800", id="half a character"),
    ],
)
async def test_nothing_else_lets_anybody_in(house: House, attempt: Attempt, user: str, password: str) -> None:
    house.tickets.create(
        TicketWish(2000, user="tom", protocols=frozenset({"vnc"}), secret="ticket's"), "test"
    )
    assert await house.grant(attempt, user, password) is None


async def test_a_ticket_lets_in_until_it_is_over(house: House) -> None:
    house.tickets.create(TicketWish(1010, secret="ticket's"), "test")
    house.now = 1009.9
    grant = await house.logins.verify(VNC, "", "ticket's")
    house.now = 1010
    assert await house.grant(VNC, "", "ticket's") is None
    # who was half in by then does not come in either
    with pytest.raises(LoginFailed):
        house.logins.use(VNC, grant)


async def test_of_two_who_come_at_once_with_a_ticket_for_one_only_one_is_let_in(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.tickets.create(TicketWish(2000, once=True, secret="ticket's"), "test")
    first, second = [await house.logins.verify(VNC, "", "ticket's") for _ in range(2)]
    house.logins.use(VNC, first)
    caplog.clear()
    with pytest.raises(LoginFailed):
        house.logins.use(VNC, second)
    (line,) = [vars(record)["sidecar_context"] for record in caplog.records]
    assert (line["cause"], line["ticket"]) == ("used-up", "t1")
    assert await house.grant(VNC, "", "ticket's") is None
    assert [each.grant.method for each in house.logins.candidates(VNC)] == ["password"]


async def test_a_ticket_that_was_revoked_on_the_way_in_lets_nobody_in(house: House) -> None:
    ticket = house.tickets.create(TicketWish(2000, secret="ticket's"), "test")
    grant = await house.logins.verify(VNC, "", "ticket's")
    house.tickets.revoke(ticket.id)
    with pytest.raises(LoginFailed):
        house.logins.use(VNC, grant)


def test_the_candidates_of_nla_are_those_of_the_name(house: House) -> None:
    house.tickets.create(TicketWish(2000, user="tom", secret="ticket's"), "test")

    def secrets(attempt: Attempt, user: str) -> list[str | bytes | None]:
        return [each.password or each.nt_hash for each in house.logins.candidates(attempt, user)]

    assert secrets(RDP, "ann") == [NT_HASH]
    assert secrets(RDP, "rita") == []
    assert secrets(RDP, "tom") == ["machine's", "ticket's"]
    assert secrets(RDP, "bob") == ["machine's"]
    # nothing but NLA can use the hash
    assert secrets(VNC, "ann") == []
    assert secrets(VNC, "") == ["machine's", "ticket's"]


def test_the_first_that_matches_is_taken_and_all_are_looked_at(house: House) -> None:
    house.tickets.create(TicketWish(2000, secret="ticket's"), "test")
    looked: list[str] = []

    def anything(password: str) -> bool:
        looked.append(password)
        return True

    assert matching(house.logins.candidates(VNC), anything) == Grant("password")
    assert looked == ["machine's", "ticket's"]
    assert matching(house.logins.candidates(VNC), lambda right: same(right, "x")) is None


def test_vncs_own_authentication_is_of_use_while_there_is_a_secret_for_it(house: House) -> None:
    passwords = Passwords(lambda: "machine's")
    assert Logins(passwords, house.users, house.tickets).has_candidates
    assert Logins(None, None, house.tickets).has_candidates
    assert not Logins(None, house.users).has_candidates
    beside_users = Logins(None, house.users, house.tickets)
    assert beside_users.asked
    assert not beside_users.has_candidates
    house.tickets.create(TicketWish(1500, protocols=frozenset({"rdp"})), "test")
    assert not beside_users.has_candidates
    house.tickets.create(TicketWish(1500), "test")
    assert beside_users.has_candidates
    house.now = 1500
    assert not beside_users.has_candidates
    assert not Logins().asked


async def test_a_throttled_address_is_refused_even_with_the_right_password(house: House) -> None:
    for _ in range(FREE_FAILURES + 1):
        house.logins.failed(VNC)
    with pytest.raises(LoginThrottled) as refused:
        await house.logins.verify(VNC, "", "machine's")
    assert refused.value.wait == 1
    with pytest.raises(LoginThrottled):
        house.logins.candidates(RDP, "ann")
    # another address does not notice
    assert await house.grant(Attempt("vnc", "192.0.2.2"), "", "machine's")
    assert await house.grant(Attempt("vnc"), "", "machine's")
    house.now += 1
    house.logins.use(VNC, await house.logins.verify(VNC, "", "machine's"))
    for _ in range(FREE_FAILURES):
        house.logins.failed(VNC)
    house.logins.check(VNC)


async def test_every_way_to_fail_counts(house: House) -> None:
    for count in range(FREE_FAILURES + 1):
        assert await house.grant(VNC, ("", "ann", "nobody")[count % 3], "wrong") is None
    with pytest.raises(LoginThrottled):
        house.logins.check(VNC)


async def test_a_user_who_is_taken_out_of_the_file_while_the_password_is_looked_at_stays_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = scrypt.PasswordHash.matches

    def looked_at_for_long(self: scrypt.PasswordHash, password: str) -> bool:
        house.write()
        return looked(self, password)

    monkeypatch.setattr(scrypt.PasswordHash, "matches", looked_at_for_long)
    assert await house.grant(VNC, "ann", "ann's own") is None


async def test_an_unknown_name_is_looked_at_as_long_as_a_known_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    derive = scrypt.Cost.derive

    def derived(self: scrypt.Cost, password: str, salt: bytes, size: int = scrypt.HASH_SIZE) -> bytes:
        costs.append((self, size))
        return derive(self, password, salt, size)

    monkeypatch.setattr(scrypt.Cost, "derive", derived)
    for user in ("ann", "nobody", "rita"):
        assert await house.grant(VNC, user, "wrong") is None
    assert costs == [(CHEAP, scrypt.HASH_SIZE)] * 3


async def test_a_password_that_was_right_a_moment_ago_is_not_worked_out_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    matches = scrypt.PasswordHash.matches

    def counted(self: scrypt.PasswordHash, password: str) -> bool:
        looked.append(password)
        return matches(self, password)

    monkeypatch.setattr(scrypt.PasswordHash, "matches", counted)
    for _ in range(3):
        assert await house.grant(API, "ann", "ann's own")
    assert looked == ["ann's own"]
    # a wrong one takes as long as ever
    assert await house.grant(API, "ann", "wrong") is None
    assert await house.grant(API, "rita", "ann's own") is None
    assert looked[1:] == ["wrong", "ann's own"]
    # and so does a user who has another password, or other rights, from now on
    house.write(User("ann", scrypt.make("another", os.urandom, CHEAP)))
    assert await house.grant(API, "ann", "ann's own") is None
    assert len(looked) == 4


def test_it_is_forgotten_after_a_while_whatever_comes_in_between() -> None:
    now = [0.0]
    recent = RecentLogins(lambda: now[0])
    ann = User("ann", scrypt.nobodys(CHEAP))
    recent.remember(ann, "secret")
    assert recent.knows(ann, "secret")
    assert not recent.knows(ann, "secre")
    now[0] = REMEMBERED_FOR - 0.1
    assert recent.knows(ann, "secret")
    now[0] = REMEMBERED_FOR
    assert not recent.knows(ann, "secret")
    for number in range(200):
        recent.remember(User(str(number), ann.password), "secret")
    assert sum(recent.knows(User(str(number), ann.password), "secret") for number in range(200)) == 64
    assert "secret" not in repr(vars(recent))


async def test_failures_are_told_with_address_and_protocol_and_never_the_secret(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.tickets.create(TicketWish(2000, secret="ticket's"), "test")
    with caplog.at_level(logging.DEBUG):
        for user, password in (("", "machine'z"), ("ann", "ann's owm")):
            await house.grant(VNC, user, password)
        await house.grant(VNC, "ann", "ann's own")
    told = [record.__dict__["sidecar_context"] for record in caplog.records if record.msg == "%s"]
    line = {"protocol": "vnc", "address": "192.0.2.1", "session": "", "cause": "wrong", "pause": 0.0}
    assert told == [line] * 2
    assert house.logins.failures["vnc", "wrong"] == 2
    for secret in ("machine'", "ann's", "ticket's"):
        assert secret not in caplog.text + repr(told)


def test_attempts_that_are_not_looked_at_write_no_lines(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(FREE_FAILURES + 1):
            house.logins.failed(VNC)
        for _ in range(1000):
            with pytest.raises(LoginThrottled):
                house.logins.check(VNC)
    assert len(caplog.records) == FREE_FAILURES + 1
    assert caplog.records[-1].__dict__["sidecar_context"]["pause"] == 1
    assert house.logins.failures["vnc", "throttled"] == 1000


def test_no_secret_is_in_what_is_shown_of_an_object(house: House) -> None:
    ticket = house.tickets.create(TicketWish(2000, secret="ticket's"), "test")
    candidates = house.logins.candidates(RDP, "ann") + house.logins.candidates(VNC)
    shown = repr((ticket, candidates, house.users.find("ann"), house.logins, house.tickets))
    for secret in ("machine's", "ticket's", NT_HASH.hex(), repr(NT_HASH)):
        assert secret not in shown


async def nothing_but_room() -> tuple[SlowChecks, threading.Event, Callable[[], bool]]:
    hold = threading.Event()

    def check() -> bool:
        return hold.wait(60)

    return SlowChecks(), hold, check


async def test_few_wait_for_one_address_and_few_in_all() -> None:
    checks, hold, check = await nothing_but_room()
    waiting = [
        asyncio.ensure_future(checks.run(f"192.0.2.{number // MOST_OF_ONE_ADDRESS}", lambda: None, check))
        for number in range(MOST_WAITING - 1)
    ]
    await asyncio.sleep(0)
    with pytest.raises(LoginsBusy):
        await checks.run("192.0.2.0", lambda: None, check)
    waiting.append(asyncio.ensure_future(checks.run("192.0.2.200", lambda: None, check)))
    await asyncio.sleep(0)
    with pytest.raises(LoginsBusy):
        await checks.run("192.0.2.201", lambda: None, check)
    hold.set()
    assert all(await asyncio.gather(*waiting))
    assert await checks.run("192.0.2.0", lambda: None, check)


async def test_one_that_nobody_waits_for_any_more_holds_up_nothing_but_its_own_turn() -> None:
    checks, hold, check = await nothing_but_room()
    first = asyncio.ensure_future(checks.run("", lambda: None, check))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(checks.run("", lambda: None, lambda: hold.is_set()))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    hold.set()
    # it has not begun before the first had ended
    assert await second


async def test_an_attempt_that_was_throttled_while_it_waited_is_not_looked_at() -> None:
    checks, hold, check = await nothing_but_room()
    first = asyncio.ensure_future(checks.run("", lambda: None, check))

    def throttled() -> None:
        raise LoginThrottled(1)

    second = asyncio.ensure_future(checks.run("", throttled, check))
    await asyncio.sleep(0)
    hold.set()
    with pytest.raises(LoginThrottled):
        await second
    assert await first
