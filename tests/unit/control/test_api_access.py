"""Who may use the management API."""

import base64

import pytest
from aiohttp import hdrs
from multidict import CIMultiDict

from sidecar.access.password import Passwords
from sidecar.control.api_access import ApiAccess, Refused, credentials
from sidecar.errors import SidecarError
from sidecar.web.upgrade import OriginPolicy

PASSWORD = "geh-heim ü:"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}
LOOPBACK = "127.0.0.1"


def basic(user: str, password: str) -> dict[str, str]:
    return {hdrs.AUTHORIZATION: "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def asked(password: str = PASSWORD) -> ApiAccess:
    return ApiAccess(Passwords(lambda: password))


def status(access: ApiAccess, headers: dict[str, str], local: str = LOOPBACK) -> int:
    """What a request with these headers is answered."""
    try:
        access.check(CIMultiDict(headers), local)
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
def test_whoever_knows_the_password_may(headers: dict[str, str], expected: int) -> None:
    assert status(asked(), headers) == expected


def test_nobody_may_while_the_password_is_empty_or_cannot_be_read() -> None:
    def unreadable() -> str:
        raise SidecarError("cannot read it")

    for access in (asked(""), ApiAccess(Passwords(unreadable))):
        assert status(access, basic("", "")) == 401
        assert status(access, {}) == 401


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
def test_foreign_pages_may_not_where_no_password_is_asked(headers: dict[str, str], expected: int) -> None:
    assert status(ApiAccess(), headers) == expected


def test_a_foreign_page_may_not_either_where_a_browser_knows_the_password() -> None:
    page = {"Host": "vm.example", "Origin": "https://evil.example"}
    assert status(asked(), page | basic("", PASSWORD), "192.0.2.1") == 403
    allowed = ApiAccess(Passwords(lambda: PASSWORD), OriginPolicy(("https://evil.example",)))
    assert status(allowed, page | basic("", PASSWORD), "192.0.2.1") == 200
    # programs behind a proxy
    assert status(asked(), {"Host": "vm.example", "X-Forwarded-For": "x"} | basic("", PASSWORD)) == 200
