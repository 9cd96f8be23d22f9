"""Screenshots and messages in the management API, over real sockets."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image
from support.pictures import from_rgb_bytes
from support.synthetic_guest import SyntheticConsole, SyntheticGuest

from sidecar.access.grant import Attempt, Grant
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.control import api_screenshot
from sidecar.control.api import ApiServer
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_messages import message_operations
from sidecar.control.api_screenshot import screenshot_operations
from sidecar.control.screenshots import Screenshots
from sidecar.control.settings import ScreenshotPolicy
from sidecar.guest import GuestState
from sidecar.session.registry import Registry
from sidecar.session.session import Session

SCREENSHOT = "/api/v1/consoles/0/screenshot"
TO_ALL = "/api/v1/message"


class House:
    """A server before a machine, and a client who is an admin."""

    def __init__(self) -> None:
        self.guest = SyntheticGuest()
        noise = np.random.default_rng(3).integers(0, 1 << 24, (200, 320), dtype=np.uint32)
        self.guest.console.draw(0, 0, noise)
        self.registry = Registry()
        self.policy: ScreenshotPolicy = "always"
        self.screenshots = Screenshots(self.guest, self.registry, lambda: self.policy)
        self.shown: list[tuple[str, str, float]] = []
        self.client: aiohttp.ClientSession

    def session(self, *, has_picture: bool = True) -> Session:
        session = self.registry.connect("vnc", "tcp", "", end=lambda reason: None)
        self.registry.initialize(session)
        if has_picture:
            session.show = lambda text, seconds: self.shown.append((session.id, text, seconds))
        return session

    async def status(self, path: str = SCREENSHOT, **headers: str) -> int:
        async with self.client.get(path, headers=headers) as answer:
            return answer.status

    async def say(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.client.post(path, json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def house(short_dir: Any) -> AsyncIterator[House]:
    house = House()
    operations = [*screenshot_operations(house.screenshots), *message_operations(house.registry)]
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(ApiServer(operations, ApiAccess()))
        # this user is an admin there
        await server.listen_unix(short_dir / "api")
        connector = aiohttp.UnixConnector(str(short_dir / "api"))
        house.client = await stack.enter_async_context(
            aiohttp.ClientSession("http://localhost", connector=connector)
        )
        yield house


async def test_a_screenshot_is_a_png_of_every_pixel(house: House) -> None:
    async with house.client.get(SCREENSHOT) as answer:
        assert answer.status == 200
        assert answer.content_type == "image/png"
        with Image.open(io.BytesIO(await answer.read())) as picture:
            shown = from_rgb_bytes(np.asarray(picture))
    assert np.array_equal(shown, house.guest.console.surface.frame.pixels)


class Bob(Logins):
    """Lets everybody in as a user who may look at the second console."""

    async def verify(self, attempt: Attempt, user: str, password: str) -> Grant:
        return Grant("user", "bob", consoles=frozenset({"1"}), role="viewer")


async def test_a_user_for_some_consoles_gets_pictures_of_these_alone(house: House) -> None:
    house.guest.consoles[1] = SyntheticConsole(1, 100, 50)
    access = ApiAccess(Bob(Passwords(lambda: "")))
    async with ApiServer(screenshot_operations(house.screenshots), access) as server:
        port = await server.listen_tcp("127.0.0.1", 0)
        login = {"Authorization": "Bearer secret"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=login) as client:
            for index, expected in ((0, 403), (1, 200)):
                async with client.get(f"/api/v1/consoles/{index}/screenshot") as answer:
                    assert answer.status == expected


async def test_who_has_it_already_is_told_so_until_the_screen_changes(house: House) -> None:
    async with house.client.get(SCREENSHOT) as answer:
        tag = answer.headers["ETag"]
    async with house.client.get(SCREENSHOT, headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["ETag"] == tag
        assert await answer.read() == b""
    assert await house.status(**{"If-None-Match": f'"another", {tag}'}) == 304
    assert await house.status(**{"If-None-Match": '"another"'}) == 200
    house.guest.console.draw(0, 0, np.zeros((5, 5), np.uint32))
    assert await house.status(**{"If-None-Match": tag}) == 200


async def test_files_that_nobody_takes_do_not_pile_up(
    house: House, monkeypatch: pytest.MonkeyPatch, short_dir: Any
) -> None:
    monkeypatch.setattr(api_screenshot, "MOST_UNSENT", 1)
    house.guest.console.resize(1600, 1200)
    noise = np.random.default_rng(4).integers(0, 1 << 24, (1200, 1600), dtype=np.uint32)
    house.guest.console.draw(0, 0, noise)
    reader, writer = await asyncio.open_unix_connection(short_dir / "api", limit=1024)
    writer.write(f"GET {SCREENSHOT} HTTP/1.1\r\nHost: vm\r\n\r\n".encode())
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    async with house.client.get(SCREENSHOT) as answer:
        assert (answer.status, "too many" in (await answer.json())["error"]) == (503, True)
    writer.transport.abort()
    async with asyncio.timeout(60):
        while await house.status() != 200:
            pass


async def test_what_stands_against_a_screenshot_is_told(house: House) -> None:
    assert await house.status("/api/v1/consoles/7/screenshot") == 404
    for path in (
        "/api/v1/consoles/-1/screenshot",
        "/api/v1/consoles/x/screenshot",
        f"{SCREENSHOT}?cursor=maybe",
        f"{SCREENSHOT}?size=3",
    ):
        assert await house.status(path) == 400
    assert await house.status(f"{SCREENSHOT}?cursor=true") == 200
    house.session()
    house.policy = "unwatched"
    async with house.client.get(SCREENSHOT) as answer:
        assert answer.status == 409
        assert "somebody is connected" in (await answer.json())["error"]
    house.policy = "never"
    assert await house.status() == 403
    house.policy = "always"
    house.guest.state = GuestState.LOST
    assert await house.status() == 503


async def test_a_message_goes_to_one_or_to_all(house: House) -> None:
    one, other = house.session(), house.session()
    house.session(has_picture=False)
    path = f"/api/v1/sessions/{one.id}/message"
    assert await house.say(path, {"text": "Save your work."}) == (200, {"shown": 1})
    assert await house.say(TO_ALL, {"text": "Now.", "seconds": 60}) == (200, {"shown": 2})
    assert house.shown == [(one.id, "Save your work.", 10), (one.id, "Now.", 60), (other.id, "Now.", 60)]


async def test_what_is_wrong_with_a_message_is_told_and_shown_to_nobody(house: House) -> None:
    one, other = house.session(), house.session(has_picture=False)
    path = f"/api/v1/sessions/{one.id}/message"
    assert (await house.say("/api/v1/sessions/v99/message", {"text": "text"}))[0] == 404
    status, answer = await house.say(f"/api/v1/sessions/{other.id}/message", {"text": "text"})
    assert status == 409
    assert "no picture" in answer["error"]
    for body in (
        {},
        {"text": ""},
        {"text": " \n "},
        {"text": 5},
        {"text": "x" * 501},
        {"text": "text", "seconds": 0},
        {"text": "text", "seconds": 61},
        {"text": "text", "to": "all"},
        [],
    ):
        for where in (path, TO_ALL):
            assert (await house.say(where, body))[0] == 422, body
    assert house.shown == []
