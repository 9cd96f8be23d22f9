"""Who asks the management API, and who is not even heard."""

import base64
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import hdrs
from multidict import CIMultiDict

from sidecar.access.grant import Attempt, Grant, LoginFailed, LoginThrottled
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.control.api_access import ApiAccess, Peer, Refused, credentials
from sidecar.control.certificate_names import ClientCertificate
from sidecar.control.role import Caller, Role
from sidecar.control.roles import RolesFile
from sidecar.errors import SidecarError
from sidecar.web.upgrade import OriginPolicy

PASSWORD = "geh-heim ü:"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}
LOOPBACK = Peer("127.0.0.1:40000", "127.0.0.1", "127.0.0.1")
STRANGER = ClientCertificate("CN=x", frozenset({"x"}), frozenset(), frozenset(), frozenset(), "00" * 32)


def basic(user: str, password: str) -> dict[str, str]:
    return {hdrs.AUTHORIZATION: "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def asked(password: str = PASSWORD, **options: Any) -> ApiAccess:
    return ApiAccess(Logins(Passwords(lambda: password)), **options)


class OneGrant(Logins):
    """Lets everybody in by the same grant, once."""

    def __init__(self, grant: Grant) -> None:
        super().__init__(Passwords(lambda: "unused"))
        self.grant = grant
        self.attempts: list[Attempt] = []
        self.uses = 0

    async def verify(self, attempt: Attempt, user: str, password: str) -> Grant:
        self.attempts.append(attempt)
        if password == "too often":
            raise LoginThrottled(2.5)
        return self.grant

    def use(self, attempt: Attempt, grant: Grant) -> None:
        self.uses += 1
        if self.uses > 1:
            raise LoginFailed


async def caller(access: ApiAccess, headers: dict[str, str], peer: Peer = LOOPBACK) -> Caller:
    return (await access.visitor(CIMultiDict(headers), peer)).caller


async def status(access: ApiAccess, headers: dict[str, str], peer: Peer = LOOPBACK) -> int:
    """What a request with these headers is answered."""
    try:
        await caller(access, headers, peer)
    except Refused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(basic("", PASSWORD), 200, id="basic"),
        pytest.param(basic("anybody", PASSWORD), 200, id="basic with a name"),
        pytest.param({"authorization": f"bearer {PASSWORD}"}, 200, id="bearer"),
        pytest.param(basic("", "wrong"), 401, id="another password"),
        pytest.param(basic(PASSWORD, ""), 401, id="the password as a name"),
        pytest.param(basic("", ""), 401, id="an empty password"),
        pytest.param({"Authorization": "Bearer"}, 401, id="an empty token"),
        pytest.param({"Authorization": f"Digest {PASSWORD}"}, 401, id="another scheme"),
        pytest.param({"Authorization": "Basic ???"}, 401, id="no base64"),
        pytest.param({"Authorization": "Basic //8="}, 401, id="no text"),
        pytest.param({"Authorization": PASSWORD}, 401, id="no scheme"),
        pytest.param({}, 401, id="nothing"),
        pytest.param(UPGRADE, 401, id="nothing, for a WebSocket"),
    ],
)
async def test_whoever_knows_the_password_may(headers: dict[str, str], expected: int) -> None:
    assert await status(asked(), headers) == expected


async def test_nobody_may_while_the_password_is_empty_or_cannot_be_read() -> None:
    def unreadable() -> str:
        raise SidecarError("cannot read it")

    for access in (asked(""), ApiAccess(Logins(Passwords(unreadable)))):
        assert await status(access, basic("", "")) == 401
        assert await status(access, {}) == 401


async def test_the_password_lets_look_and_use_the_machine_and_no_more() -> None:
    assert await caller(asked(), basic("", PASSWORD)) == Caller(
        "the password", "password", Role.VIEWER, True, LOOPBACK.address
    )


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (Grant("user", "ann", role="operator"), Caller("ann", "user", Role.OPERATOR, True)),
        (Grant("user", "bob"), Caller("bob", "user", None, True)),
        (Grant("user", "eve", view_only=True), Caller("eve", "user", None, False)),
        (Grant("ticket", "ann", ticket="t7"), Caller("ticket t7", "ticket", None, True, ticket="t7")),
        (
            Grant("ticket", "ann", ticket="t7", view_only=True),
            Caller("ticket t7", "ticket", None, False, ticket="t7"),
        ),
        (
            Grant("ticket", ticket="t7", consoles=frozenset({"0"})),
            Caller("ticket t7", "ticket", None, True, ticket="t7"),
        ),
        (
            Grant("ticket", ticket="t7", consoles=frozenset({"serial0"})),
            Caller("ticket t7", "ticket", None, False, ticket="t7"),
        ),
        (
            Grant("user", "bob", consoles=frozenset({"1"}), role="viewer"),
            Caller("bob", "user", Role.VIEWER, False, consoles=frozenset({"1"})),
        ),
    ],
)
async def test_a_login_is_worth_what_its_grant_says(grant: Grant, expected: Caller) -> None:
    logins = OneGrant(grant)
    assert await caller(ApiAccess(logins), basic("x", "y"), Peer(uid=4_000_000_000)) == expected
    # by a unix socket too: who guesses there slows down no other user
    assert logins.attempts == [Attempt("api", "uid 4000000000")]


async def test_a_login_is_used_only_by_who_is_let_in_and_a_ticket_once() -> None:
    logins = OneGrant(Grant("ticket", ticket="t7"))
    visitor = await ApiAccess(logins).visitor(basic("x", "y"), LOOPBACK)
    assert logins.uses == 0
    visitor.enter()
    with pytest.raises(LoginFailed):
        visitor.enter()


async def test_who_fails_too_often_is_told_how_long_to_wait() -> None:
    with pytest.raises(Refused) as refused:
        await caller(ApiAccess(OneGrant(Grant())), basic("x", "too often"))
    assert (refused.value.status, refused.value.wait) == (429, 2.5)


async def test_without_any_login_everybody_may_look_and_nobody_may_change_anything() -> None:
    assert await caller(ApiAccess(), {}) == Caller(
        "anybody", "anonymous", Role.VIEWER, True, LOOPBACK.address
    )
    assert await caller(ApiAccess(), {}, Peer(uid=4_000_000_000)) == Caller(
        "uid 4000000000", "unix", Role.VIEWER, True
    )


async def test_this_user_and_root_are_admins_by_a_unix_socket() -> None:
    for uid in (0, os.geteuid()):
        for access in (ApiAccess(), asked(), ApiAccess(takes_certificates=True)):
            assert await caller(access, {}, Peer(uid=uid)) == Caller(f"uid {uid}", "unix", Role.ADMIN)


async def test_where_certificates_are_shown_nobody_gets_in_with_nothing() -> None:
    access = ApiAccess(takes_certificates=True)
    assert await status(access, {}) == 401
    assert (await caller(access, {}, Peer(uid=4_000_000_000))).role is None
    # a certificate that no role is given to is known by its name, and may do nothing
    unknown = await caller(access, {}, Peer("h:1", "h", "h", certificate=STRANGER))
    assert unknown == Caller("CN=x", "certificate", None, False, "h:1")


async def test_a_certificate_is_good_until_it_ends_whatever_the_age_of_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "roles"
    path.write_text('[[certificate]]\nrole = "viewer"\ncn = "x"\n')
    now = [1000.0]
    access = ApiAccess(roles=RolesFile(path), takes_certificates=True, clock=lambda: now[0])
    peer = Peer("h:1", "h", "h", certificate=replace(STRANGER, not_after=2000.0), tls=True)
    visitor = await access.visitor(CIMultiDict(), peer)
    assert visitor.stays()
    now[0] = 2000.0
    assert not visitor.stays()
    assert await status(access, {}, peer) == 401


async def test_who_loses_a_role_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "roles"
    path.write_text(
        '[[certificate]]\nrole = "viewer"\ncn = "x"\n[[user]]\nrole = "admin"\nuid = 4000000000\n'
    )
    access = ApiAccess(roles=RolesFile(path), takes_certificates=True)
    peers = Peer("h:1", "h", "h", certificate=STRANGER, tls=True), Peer(uid=4_000_000_000)
    visitors = [await access.visitor(CIMultiDict(), peer) for peer in peers]
    assert all(visitor.stays() for visitor in visitors)
    path.write_text("")
    assert not any(visitor.stays() for visitor in visitors)


async def test_a_password_is_as_good_where_both_count() -> None:
    access = asked(takes_certificates=True)
    assert await status(access, basic("", PASSWORD)) == 200
    assert await status(access, {}) == 401


def test_credentials_end_at_the_first_colon() -> None:
    assert credentials(basic("ann", "a:b")) == ("ann", "a:b")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"Host": "127.0.0.1:8697"}, 200, id="an address"),
        pytest.param({"host": "localhost:8697"}, 200, id="localhost"),
        pytest.param({"Host": "[::1]:8697"}, 200, id="IPv6"),
        pytest.param({}, 200, id="no host, as in HTTP/1.0"),
        pytest.param({"Host": "evil.example"}, 403, id="a name that was made to point here"),
        pytest.param({"Host": "evil.example", "X-Forwarded-For": "x"}, 403, id="with a proxy's header"),
        pytest.param({"Host": "[" * 9}, 403, id="nonsense"),
        pytest.param({"Host": "127.0.0.1", "Origin": "http://evil.example"}, 403, id="a foreign page"),
        pytest.param(
            {"Host": "evil.example", "Origin": "http://evil.example", "Forwarded": "for=x"},
            403,
            id="a page of such a name",
        ),
        pytest.param({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 200, id="a page of this host"),
        pytest.param({"Host": "evil.example", **UPGRADE}, 200, id="a WebSocket of no page"),
        pytest.param({"Host": "h", "Origin": "http://evil.example", **UPGRADE}, 403, id="of a foreign page"),
    ],
)
async def test_foreign_pages_may_not_where_no_password_is_asked(
    headers: dict[str, str], expected: int
) -> None:
    assert await status(ApiAccess(), headers) == expected


async def test_a_foreign_page_may_not_either_where_a_browser_knows_the_password_or_a_certificate() -> None:
    page = {"Host": "vm.example", "Origin": "https://evil.example"}
    away = Peer("192.0.2.9:1", "192.0.2.9", "192.0.2.1")
    assert await status(asked(), page | basic("", PASSWORD), away) == 403
    known = Peer("192.0.2.9:1", "192.0.2.9", "192.0.2.1", certificate=STRANGER)
    assert await status(ApiAccess(takes_certificates=True), page, known) == 403
    # who sits between can show a browser a page of any name, but for https
    for origin, expected in (
        ("https://vm.example", 200),
        ("http://vm.example", 403),
        ("HTTP://vm.example", 403),
    ):
        ours = {"Host": "vm.example", "Origin": origin} | basic("", PASSWORD)
        assert await status(asked(), ours, replace(away, tls=True)) == expected
    allowed = asked(origins=OriginPolicy(("https://evil.example",)))
    assert await status(allowed, page | basic("", PASSWORD), away) == 200
    # programs behind a proxy
    forwarded = {"Host": "vm.example", "X-Forwarded-For": "x"}
    assert await status(asked(), forwarded | basic("", PASSWORD)) == 200
