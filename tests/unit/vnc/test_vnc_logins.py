"""Who logs in over VNC: by the machine's password, as a user of the users' file, with a ticket."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from support.logins import Desk
from support.rfb_client import AsyncRfbClient
from support.rfb_session import PLAIN, SECURITY_VENCRYPT, SECURITY_VNC, Refused
from support.vnc_house import VncHouse, vnc_house
from support.waiting import eventually

from sidecar.access import scrypt
from sidecar.access.grant import Attempt
from sidecar.access.throttle import Throttle
from sidecar.access.users import Users
from sidecar.access.users_file import User, section
from sidecar.session.registry import Policy, SharePolicy
from sidecar.vnc.connection import MAX_WAITING


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """One user, ann, who may only look on."""
    path = tmp_path / "users.toml"
    cheap = scrypt.make("her secret", os.urandom, scrypt.Cost(ln=10, r=1, p=1))
    path.write_text(section(User("ann", cheap, view_only=True)))
    path.chmod(0o600)
    return Users(path)


async def plain(here: VncHouse, path: Path, user: str, password: str) -> AsyncRfbClient:
    """A client that sends name and password, over a unix socket."""
    if not path.exists():
        await here.server.listen_unix(path)
    return await AsyncRfbClient.connect(str(path), user=user, password=password, security=SECURITY_VENCRYPT)


async def test_what_a_ticket_grants_is_what_its_session_may_do() -> None:
    desk = Desk("sesame")
    ticket = desk.ticket("opensesa", view_only=True, consoles=frozenset({"head0"}))
    async with vnc_house(desk.logins) as here:
        async with await here.connect(password="opensesa") as client:
            await client.refresh()
            session = here.session
            assert (session.ticket, session.view_only, session.auth) == (ticket, True, "vnc-authentication")
            assert session.consoles == {"head0"}
        async with await here.connect(password="sesame") as client:
            await client.refresh()
            await eventually(lambda: here.registry.count() == 1, "the first has gone")
            session = here.session
            assert (session.ticket, session.view_only, session.consoles) == ("", False, None)
    assert desk.attempts[0] == Attempt("vnc", "127.0.0.1")


async def test_a_ticket_for_one_session_lets_in_one_of_two_that_come_at_once() -> None:
    desk = Desk()
    desk.ticket("justonce", once=True)
    async with vnc_house(desk.logins) as here, contextlib.AsyncExitStack() as stack:
        clients = await asyncio.gather(
            *(here.connect(password="justonce") for _ in range(2)), return_exceptions=True
        )
        came_in = [client for client in clients if not isinstance(client, BaseException)]
        for client in came_in:
            await stack.enter_async_context(client)
        assert sorted(type(client).__name__ for client in clients) == ["AsyncRfbClient", "Refused"]
        await came_in[0].refresh()
        with pytest.raises(Refused, match="Authentication failed"):
            await here.connect(password="justonce")


async def test_a_ticket_is_not_spent_by_who_finds_no_room() -> None:
    desk = Desk("sesame")
    desk.ticket("justonce", once=True)
    async with vnc_house(desk.logins, policy=Policy(share=SharePolicy.SINGLE)) as here:
        async with await here.connect(password="sesame") as first:
            await first.refresh()
            with pytest.raises(Refused, match="somebody else is connected"):
                await here.connect(password="justonce")
        await eventually(lambda: here.registry.count() == 0, "there is room")
        async with await here.connect(password="justonce") as client:
            await client.refresh()


async def test_a_ticket_that_is_over_or_for_another_protocol_lets_nobody_in() -> None:
    desk = Desk("sesame")
    desk.ticket("viardp00", protocols=frozenset({"rdp"}))
    desk.ticket("viawebs0", protocols=frozenset({"web"}))
    desk.ticket("viavnc00")
    async with vnc_house(desk.logins) as here:
        web = await here.listen_as("websocket")
        for password in ("viardp00", "viawebs0"):
            with pytest.raises(Refused, match="Authentication failed"):
                await here.connect(password=password)
        async with await AsyncRfbClient.connect(("127.0.0.1", web), password="viawebs0") as client:
            await client.refresh()
        desk.now += 600
        with pytest.raises(Refused, match="Authentication failed"):
            await here.connect(password="viavnc00")
    assert Attempt("web", "127.0.0.1") in desk.attempts


async def test_users_with_hashes_come_in_by_name_and_nothing_else_is_offered(
    users: Users, short_dir: Path
) -> None:
    desk = Desk(users=users)
    async with vnc_house(desk.logins) as here:
        path = short_dir / "vnc"
        async with await plain(here, path, "ann", "her secret") as client:
            await client.refresh()
            assert client.offered_security == (SECURITY_VENCRYPT,)
            assert client.offered_subtypes == (PLAIN,)
            session = here.session
            assert (session.user, session.auth, session.view_only) == ("ann", "plain", True)
        for user, password in (("ann", "wrong"), ("ann", ""), ("bob", "her secret"), ("", "her secret")):
            with pytest.raises(Refused, match="Authentication failed"):
                await plain(here, path, user, password)
        # a plain connection has nothing that could keep her password secret
        with pytest.raises(Refused, match="Nothing that this server accepts"):
            await here.connect(user="ann", password="her secret")
        desk.ticket("aticket0")
        async with await here.connect(password="aticket0") as client:
            await client.refresh()
            assert client.offered_security == (SECURITY_VNC,)


async def test_who_goes_while_its_password_is_looked_at_spends_nothing(short_dir: Path) -> None:
    desk = Desk(gate=asyncio.Event())
    desk.ticket("a secret for one session alone", once=True)
    async with vnc_house(desk.logins) as here:
        path = short_dir / "vnc"
        joining = asyncio.create_task(plain(here, path, "me", "a secret for one session alone"))
        await eventually(lambda: desk.waiting == 1, "its password is looked at")
        joining.cancel()
        await asyncio.wait([joining])
        await eventually(lambda: here.registry.waiting == 0, "it is gone")
        assert desk.gate is not None
        desk.gate.set()
        await eventually(lambda: desk.waiting == 0, "it was looked at")
        assert desk.used == []
        async with await plain(here, path, "me", "a secret for one session alone") as client:
            await client.refresh()
            assert len(desk.used) == 1


async def test_the_time_to_log_in_goes_on_while_a_password_is_looked_at(short_dir: Path) -> None:
    desk = Desk("sesame", gate=asyncio.Event())
    async with vnc_house(desk.logins) as here:
        joining = asyncio.create_task(plain(here, short_dir / "vnc", "me", "sesame"))
        await eventually(lambda: desk.waiting == 1, "its password is looked at")
        (viewer,) = here.server.viewers
        # as the loop does when its time is over
        viewer._login_timed_out()
        with pytest.raises(Refused, match="time to log in is over"):
            await joining
        assert here.registry.waiting == 0
        assert desk.used == []


async def test_what_comes_while_a_password_is_looked_at_waits_and_is_bounded(short_dir: Path) -> None:
    desk = Desk("sesame", gate=asyncio.Event())
    assert desk.gate is not None
    credentials = b"\0\0\0\2\0\0\0\6mesesame"
    async with vnc_house(desk.logins) as here:
        path = short_dir / "vnc"
        await here.server.listen_unix(path)
        for ahead in (b"\1" + bytes(MAX_WAITING + 1), b"\1"):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"RFB 003.008\n\x13\0\2\0\0\1\0" + credentials)
            await eventually(lambda: desk.waiting > 0, "its password is looked at")
            writer.write(ahead)
            if len(ahead) > 1:
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 30)
                desk.gate.set()
                await eventually(lambda: desk.waiting == 0, "it was looked at")
                desk.gate.clear()
                assert desk.used == []
            else:
                desk.gate.set()
                # ClientInit was there already
                await eventually(lambda: here.registry.count() == 1, "it is in")
            writer.close()
            await writer.wait_closed()
        await eventually(lambda: here.registry.count() == 0, "both are gone")


@pytest.mark.parametrize("version", [b"003.003", b"003.008"])
async def test_who_has_failed_too_often_is_told_so_before_anything_is_asked(version: bytes) -> None:
    throttle = Throttle(lambda: 0.0)
    desk = Desk("sesame", throttle=throttle)
    async with vnc_house(desk.logins) as here:
        while not throttle.wait("127.0.0.1"):
            with pytest.raises(Refused, match="Authentication failed"):
                await here.connect(password="wrong")
        with pytest.raises(Refused, match="Too many failed logins from your address"):
            await here.connect(password="sesame", version=version)
        assert desk.used == []
