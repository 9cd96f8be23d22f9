"""What the API's own operations do to the sessions and the settings."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_house import ApiHouse, as_admin

from sidecar.session.registry import SharePolicy
from sidecar.session.state import EndReason

SESSIONS, SETTINGS = "/api/v1/sessions", "/api/v1/settings"


@pytest.fixture
def house() -> Iterator[ApiHouse]:
    with contextlib.closing(ApiHouse()) as house:
        yield house


@pytest.fixture
async def admin(house: ApiHouse, short_dir: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with house.serving() as server, as_admin(server, short_dir / "api") as session:
        yield session


async def ask(admin: aiohttp.ClientSession, method: str, path: str, body: object = None) -> tuple[int, Any]:
    async with admin.request(method, path, json=body) as answer:
        return answer.status, await answer.json() if answer.content_type == "application/json" else None


async def test_the_overview_says_where_things_are(admin: aiohttp.ClientSession) -> None:
    status, overview = await ask(admin, "GET", "/api/v1")
    assert status == 200
    assert overview["name"] == "vdi-sidecar"
    assert overview["links"]["getOpenApi"] == "/openapi.json"
    for path in overview["links"].values():
        # a stream has no end, and there is no machine here to be asked
        if not path.endswith(("/events", "/machine")):
            assert (await ask(admin, "GET", path))[0] == 200, path


async def test_sessions_are_listed_shown_and_ended(admin: aiohttp.ClientSession, house: ApiHouse) -> None:
    first, second = house.log_in(), house.connect()
    status, told = await ask(admin, "GET", SESSIONS)
    assert (status, [each["id"] for each in told["sessions"]]) == (200, [first.id, second.id])
    status, one = await ask(admin, "GET", f"{SESSIONS}/{first.id}")
    assert (status, one["user"], one["state"]) == (200, "ann", "initialized")
    assert await ask(admin, "DELETE", f"{SESSIONS}/{first.id}?reason=lunch") == (204, None)
    assert house.ended == [EndReason.DISCONNECTED]
    status, told = await ask(admin, "DELETE", f"{SESSIONS}/{first.id}")
    assert (status, "there is no session" in told["error"]) == (404, True)
    assert await ask(admin, "DELETE", SESSIONS) == (200, {"disconnected": 1})
    assert (await ask(admin, "GET", SESSIONS))[1] == {"sessions": []}


async def test_input_is_taken_from_a_session_and_given_back(
    admin: aiohttp.ClientSession, house: ApiHouse
) -> None:
    session, waiting = house.log_in(), house.connect()
    for view_only in (True, False):
        status, told = await ask(admin, "PATCH", f"{SESSIONS}/{session.id}", {"view_only": view_only})
        assert (status, told["view_only"], session.view_only) == (200, view_only, view_only)
    assert (await ask(admin, "PATCH", f"{SESSIONS}/{waiting.id}", {"view_only": True}))[0] == 404


async def test_the_consoles_are_every_way_to_the_screen(admin: aiohttp.ClientSession) -> None:
    status, told = await ask(admin, "GET", "/api/v1/consoles")
    assert status == 200
    assert told["ports"] == [
        {
            "protocol": "vnc",
            "address": "127.0.0.1",
            "port": 5900,
            "path": "",
            "tls": "within",
            "secure": True,
            "console": "",
        },
        {
            "protocol": "vnc",
            "address": "",
            "port": None,
            "path": "/run/vm/vnc",
            "tls": "never",
            "secure": True,
            "console": "serial0",
        },
        {
            "protocol": "rdp",
            "address": "",
            "port": 3389,
            "path": "",
            "tls": "always",
            "secure": True,
            "console": "",
        },
        {
            "protocol": "websocket",
            "address": "::1",
            "port": 6080,
            "path": "/websockify",
            "tls": "never",
            "secure": False,
            "console": "",
        },
    ]
    assert [screen["index"] for screen in told["screens"]] == [0]


async def test_settings_are_changed_all_at_once_or_not_at_all(
    admin: aiohttp.ClientSession, house: ApiHouse, caplog: pytest.LogCaptureFixture
) -> None:
    level = logging.getLogger().level
    try:
        before = (await ask(admin, "GET", SETTINGS))[1]
        assert before["share"] == "shared"
        for wrong in ({"share": "nobody", "max_sessions": 3}, {"max_sessions": 0}, {"name": 1}):
            assert (await ask(admin, "PATCH", SETTINGS, wrong))[0] == 422
        assert (await ask(admin, "GET", SETTINGS))[1] == before
        changed = {
            "share": "single",
            "max_sessions": 200,
            "view_only": True,
            "screenshots": "never",
            "log_level": "error",
        }
        assert await ask(admin, "PATCH", SETTINGS, changed) == (200, changed)
        policy = house.registry.policy
        assert (policy.share, policy.max_sessions, policy.max_waiting) == (SharePolicy.SINGLE, 200, 200)
        assert house.log_in().view_only
        assert await ask(admin, "PATCH", SETTINGS, {"view_only": False}) == (
            200,
            changed | {"view_only": False},
        )
        assert house.settings.screenshots == "never"
        assert logging.getLogger().level == logging.ERROR
        # who changes the level does not get rid of the audit log by it
        audits = [vars(each)["sidecar_context"] for each in caplog.records if each.message == "audit"]
        assert audits[-1]["given"] == {"view_only": False}
    finally:
        logging.getLogger().setLevel(level)
