"""USB slots in the management API over real sockets; tests/qemu/test_usb_redirection.py has a real QEMU."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from support.synthetic_guest import SyntheticGuest
from support.usb_port import SyntheticSlot
from support.usbredir_peer import DEVICE_CONNECT, device_connect, hello, packet
from support.waiting import eventually

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.access.tickets import Tickets, TicketWish
from sidecar.control import api_usb
from sidecar.control.api import ApiServer
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_usb import usb_operations
from sidecar.control.ticket_watch import TicketWatch
from sidecar.guest import GuestState
from sidecar.session.registry import Registry
from sidecar.usb import bridge
from sidecar.usb.bridge import MOST_WAITING
from sidecar.usb.slots import UsbSlots

SLOTS = "/api/v1/usb"
FIRST, SECOND = "org.qemu.usbredir", "usbredir1"
BLOCK = bytes(range(256)) * 256


class House:
    """A server before a machine with two slots, and a client."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession, guest: SyntheticGuest) -> None:
        self.server = server
        self.session = session
        self.guest = guest

    @property
    def first(self) -> SyntheticSlot:
        port = self.guest.ports[FIRST]
        assert isinstance(port, SyntheticSlot)
        return port

    async def refused(self, path: str, **headers: str) -> tuple[int, str]:
        """How a WebSocket is refused: the status, and what is said."""
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        }
        async with self.session.get(path, headers=upgrade | headers) as answer:
            return answer.status, (await answer.json())["error"]

    async def listed(self) -> list[dict[str, object]]:
        async with self.session.get(SLOTS) as answer:
            assert answer.status == 200
            slots: list[dict[str, object]] = (await answer.json())["slots"]
            return slots


@contextlib.asynccontextmanager
async def serving(access: ApiAccess | None = None) -> AsyncIterator[House]:
    guest = SyntheticGuest()
    guest.add_port(SyntheticSlot())
    guest.add_port(SyntheticSlot(SECOND, SECOND))
    with contextlib.closing(UsbSlots(guest)) as slots:
        async with ApiServer(
            usb_operations(slots), access or ApiAccess(), wrong_password_pause=0.0
        ) as server:
            port = await server.listen_tcp("127.0.0.1", 0)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                yield House(server, session, guest)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving() as house:
        yield house


async def closed(websocket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Code and reason of the close frame that comes."""
    async with asyncio.timeout(30):
        message = await websocket.receive()
        while message.type is aiohttp.WSMsgType.BINARY:
            message = await websocket.receive()
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra


async def test_a_websocket_is_a_byte_stream_into_the_slot(house: House) -> None:
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}") as websocket:
        await websocket.send_bytes(b"to the ")
        await websocket.send_bytes(b"machine")
        await eventually(lambda: house.first.written == b"to the machine", "the machine has it")
        house.first.say(b"from the machine")
        assert await websocket.receive_bytes() == b"from the machine"
    await eventually(lambda: not house.first.is_open, "the slot is closed")


async def test_the_list_tells_who_is_where_with_what(house: House) -> None:
    free = {"taken": False, "address": None, "device": None}
    assert await house.listed() == [
        {"slot": FIRST, "label": "usbredir0", **free},
        {"slot": SECOND, "label": SECOND, **free},
    ]
    async with house.session.ws_connect(SLOTS) as websocket:
        house.first.say(hello())
        await websocket.send_bytes(hello() + packet(DEVICE_CONNECT, device_connect(), long_ids=True))
        await eventually(lambda: len(house.first.written) > len(hello()), "the device is announced")
        first, second = await house.listed()
        address = str(first["address"])
        assert address.startswith("127.0.0.1:")
        told = {"slot": FIRST, "vendor": "0951", "product": "1666", "kind": "unknown", "speed": "high"}
        assert first == {
            "slot": FIRST,
            "label": "usbredir0",
            "taken": True,
            "address": address,
            "device": told | {"address": address},
        }
        assert second["taken"] is False


async def test_a_slot_is_for_one_only(house: House) -> None:
    async with house.session.ws_connect(f"{SLOTS}/usbredir0") as websocket:
        assert await house.refused(f"{SLOTS}/{FIRST}") == (409, "a device is there already")
        async with house.session.ws_connect(SLOTS):
            assert await house.refused(SLOTS) == (409, "every slot is taken")
        await websocket.send_bytes(b"undisturbed")
        await eventually(lambda: house.first.written == b"undisturbed", "the first one goes on")


async def test_a_slot_that_is_not_there_is_not_found(house: House) -> None:
    status, error = await house.refused(f"{SLOTS}/org.qemu.console.serial.0")
    assert (status, error) == (404, f"the machine has no such slot; there are {FIRST}, {SECOND}")


async def test_a_machine_that_is_away_has_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.guest.state = GuestState.LOST
    assert (await house.refused(SLOTS))[0] == 503
    house.guest.state = GuestState.ATTACHED
    house.first.refuses = True
    monkeypatch.setattr(api_usb, "OPEN_TIME", 0.01)
    assert (await house.refused(f"{SLOTS}/{FIRST}"))[0] == 503
    assert not any(slot["taken"] for slot in await house.listed())


async def test_who_leaves_before_the_slot_is_open_does_not_keep_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.first.refuses = True
    asking = asyncio.create_task(house.refused(f"{SLOTS}/{FIRST}"))
    await eventually(lambda: len(house.first.output), "the slot is asked for")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    house.first.refuses = False
    house.first.open(True)
    await eventually(lambda: not house.first.is_open, "nobody has it")
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}") as websocket:
        house.first.say(b"for the next one")
        assert await websocket.receive_bytes() == b"for the next one"
    assert "Traceback" not in caplog.text


async def test_a_slot_is_no_page(house: House) -> None:
    async with house.session.get(f"{SLOTS}/{FIRST}") as answer:
        assert answer.status == 426
        assert answer.headers["Sec-WebSocket-Version"] == "13"
    assert (await house.refused(SLOTS, **{"Sec-WebSocket-Key": "short"}))[0] == 400
    assert not house.first.is_open


async def test_a_password_and_an_origin_are_asked_for_here_too() -> None:
    async with serving(ApiAccess(Logins(Passwords(lambda: "secret")))) as house:
        assert (await house.refused(SLOTS))[0] == 401
        right = {"Authorization": "Bearer secret"}
        assert (await house.refused(SLOTS, Origin="https://evil.example", **right))[0] == 403
        async with house.session.ws_connect(SLOTS, headers=right) as websocket:
            house.first.say(b"hello")
            assert await websocket.receive_bytes() == b"hello"


@pytest.mark.parametrize("once", [False, True])
async def test_a_ticket_takes_along_the_websockets_that_it_let_in(once: bool) -> None:
    tickets = Tickets(time.time, secrets.randbelow)
    watch = TicketWatch(tickets, Registry())
    wish = TicketWish(
        time.time() + 3600, once=once, protocols=frozenset({"api"}), end_sessions=True, secret="right-ticket"
    )
    async with serving(ApiAccess(Logins(tickets=tickets))) as house:
        watch.ended.subscribe(house.server.end_of_ticket)
        with watch:
            other = watch.create(replace(wish, secret="other-ticket"), "test")
            made = watch.create(wish, "test")["ticket"]["id"]
            right = {"Authorization": "Bearer right-ticket"}
            async with (
                house.session.ws_connect(
                    f"{SLOTS}/{SECOND}", headers={"Authorization": f"Bearer {other['secret']}"}
                ) as stays,
                house.session.ws_connect(f"{SLOTS}/{FIRST}", headers=right) as goes,
            ):
                watch.revoke(made)
                assert await closed(goes) == (1008, "your ticket is over")
                assert (await house.refused(f"{SLOTS}/{FIRST}", **right))[0] == 401
                await stays.send_bytes(b"goes on")
                second = house.guest.ports[SECOND]
                assert isinstance(second, SyntheticSlot)
                await eventually(lambda: second.written == b"goes on", "the other one goes on")


async def test_who_waits_for_a_slot_with_a_ticket_that_ends_does_not_get_it() -> None:
    tickets = Tickets(time.time, secrets.randbelow)
    watch = TicketWatch(tickets, Registry())
    async with serving(ApiAccess(Logins(tickets=tickets))) as house:
        watch.ended.subscribe(house.server.end_of_ticket)
        with watch:
            made = watch.create(TicketWish(time.time() + 3600, protocols=frozenset({"api"})), "test")
            house.first.refuses = True
            asking = asyncio.create_task(
                house.refused(f"{SLOTS}/{FIRST}", Authorization=f"Bearer {made['secret']}")
            )
            await eventually(lambda: len(house.first.output), "the slot is asked for")
            watch.revoke(made["ticket"]["id"], end_sessions=True)
            house.first.refuses = False
            house.first.open(True)
            assert await asking == (401, "your ticket is over")
            await eventually(lambda: not house.first.is_open, "nobody has it")


async def test_an_end_is_told_by_its_code(house: House) -> None:
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}") as websocket:
        house.first.open(False)
        assert await closed(websocket) == (1012, "the machine has closed the slot")
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}") as websocket:
        house.guest.remove_port(house.first)
        assert await closed(websocket) == (1001, "the machine has no such slot any more")
    async with house.session.ws_connect(f"{SLOTS}/{SECOND}") as websocket:
        stopping = asyncio.create_task(house.server.__aexit__(None, None, None))
        assert await closed(websocket) == (1001, "the server stops")
        await stopping


async def test_text_ends_that_connection_only(house: House) -> None:
    async with (
        house.session.ws_connect(f"{SLOTS}/{FIRST}") as right,
        house.session.ws_connect(f"{SLOTS}/{SECOND}") as wrong,
    ):
        await wrong.send_str("text")
        code, _ = await closed(wrong)
        assert code == 1003
        house.first.say(b"goes on")
        assert await right.receive_bytes() == b"goes on"


async def test_a_machine_waits_for_a_peer_that_does_not_read_and_nothing_is_lost(house: House) -> None:
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}") as websocket:
        blocks = 0
        # the system's buffers, and the client's, are some megabytes
        while not house.first.held:
            house.first.say(BLOCK)
            blocks += 1
            assert blocks < 1000
            await asyncio.sleep(0)
        received = bytearray()
        while len(received) < blocks * len(BLOCK):
            received += await websocket.receive_bytes()
        assert received == BLOCK * blocks
        await eventually(lambda: not house.first.held, "the machine goes on")


async def test_a_peer_that_never_reads_loses_its_slot(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "READ_TIME", 0.01)
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}"):
        async with asyncio.timeout(30):
            while house.first.is_open:
                if not house.first.held:
                    house.first.say(BLOCK)
                await asyncio.sleep(0)
        first, _ = await house.listed()
        assert first["taken"] is False


async def test_a_peer_waits_for_a_machine_that_does_not_read_and_nothing_is_lost(house: House) -> None:
    house.first.takes = 0
    async with house.session.ws_connect(f"{SLOTS}/{FIRST}") as websocket:
        sent = BLOCK * 64

        async def send() -> None:
            for _ in range(64):
                await websocket.send_bytes(BLOCK)

        sending = asyncio.create_task(send())
        async with asyncio.timeout(60):
            while len(house.first.written) < len(sent):
                house.first.takes = min(house.first.takes + MOST_WAITING, MOST_WAITING)
                await asyncio.sleep(0.001)
        await sending
        assert house.first.written == sent
