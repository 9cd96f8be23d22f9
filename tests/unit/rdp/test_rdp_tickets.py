"""Who logs in over RDP with a ticket or as a user of the users' file, and what such a session sees."""

import asyncio
import os
from pathlib import Path

import pytest
from support.logins import Desk
from support.rdp_house import RdpHouse, house
from support.rdp_nla import PROTOCOLS, NlaRefused, prove
from support.rdp_script import Profile
from support.rdp_viewer import RdpViewer, graphics_profile
from support.waiting import eventually

from sidecar.access import scrypt
from sidecar.access.grant import Attempt
from sidecar.access.throttle import Throttle
from sidecar.access.users import Users
from sidecar.access.users_file import User, section
from sidecar.broadcast.vacancy import vacancy
from sidecar.guest import Console, GuestState
from sidecar.rdp.channel_table import ChannelTable, MessageSender
from sidecar.rdp.connection import MAX_WAITING
from sidecar.rdp.desktop import Desktop
from sidecar.rdp.handshake import Nla
from sidecar.rdp.ntlm import nt_hash
from sidecar.session.registry import Policy, SharePolicy

DENIED, INSUFFICIENT_PRIVILEGES = 0x7, 0x9
"""ERRINFO codes."""

LOGON_FAILURE, ACCOUNT_LOCKED_OUT = str(0xC000006D), str(0xC0000234)
"""NTSTATUS codes."""

TWO = ((320, 200), (200, 100))
TWO_MONITORS = ((0, 0, 1023, 767, 1), (1024, 0, 2047, 767, 0))


async def refused(client: RdpViewer) -> list[int]:
    """What a client is told that does not get in."""
    await client.negotiate()
    await client.log_in()
    await client.ended()
    return client.errors


async def by_nla(here: RdpHouse, user: str, password: str) -> RdpViewer:
    """A client that has proven its password, and then sends none: it is active."""
    client = await here.stranger(graphics_profile(protocols=PROTOCOLS, user="somebody else", password=""))
    await client.negotiate()
    await prove(client, user, password)
    await client.log_in()
    await client.activate()
    return client


async def until_it_sees(client: RdpViewer, console: Console) -> None:
    await client.until_shown(console.surface.frame.pixels)


async def test_what_a_ticket_grants_is_what_its_session_may_do() -> None:
    desk = Desk("sesame")
    ticket = desk.ticket("a ticket for RDP", view_only=True, consoles=frozenset({"0"}))
    async with house(logins=desk.logins) as here:
        client = await here.viewer(graphics_profile(user="bob", password="a ticket for RDP"))
        await until_it_sees(client, here.console)
        (session,) = here.registry
        assert (session.user, session.auth, session.ticket) == ("bob", "password", ticket)
        assert (session.view_only, session.consoles) == (True, {"0"})
    assert set(desk.attempts) == {Attempt("rdp", "127.0.0.1")}


async def test_nla_is_proven_by_a_ticket_and_once_is_enough() -> None:
    desk = Desk("sesame")
    ticket = desk.ticket("a ticket for RDP", once=True)
    async with house(logins=desk.logins, nla=Nla.OFFERED) as here:
        client = await by_nla(here, "any name", "a ticket for RDP")
        await until_it_sees(client, here.console)
        (session,) = here.registry
        assert (session.user, session.auth, session.ticket) == ("any name", "nla", ticket)
        assert len(desk.used) == 1
        with pytest.raises(NlaRefused, match=LOGON_FAILURE):
            await by_nla(here, "any name", "a ticket for RDP")


async def test_of_two_that_have_proven_the_same_ticket_for_one_session_one_gets_in() -> None:
    desk = Desk()
    desk.ticket("a ticket for RDP", once=True)
    profile = graphics_profile(protocols=PROTOCOLS)
    async with house(logins=desk.logins, nla=Nla.OFFERED) as here:
        clients = [await here.stranger(profile) for _ in range(2)]
        for client in clients:
            await client.negotiate()
            await prove(client, "me", "a ticket for RDP")
        assert desk.used == []
        for client in clients:
            await client.log_in()
        await clients[0].activate()
        await clients[1].ended()
        assert clients[1].errors == [INSUFFICIENT_PRIVILEGES]
        assert here.registry.count() == len(desk.used) == 1


async def test_a_ticket_is_not_spent_by_who_finds_no_room() -> None:
    desk = Desk("sesame")
    desk.ticket("a ticket for RDP", once=True)
    profile = graphics_profile(password="a ticket for RDP")
    async with house(Policy(share=SharePolicy.SINGLE), logins=desk.logins) as here:
        first = await here.viewer(graphics_profile(password="sesame"))
        assert await refused(await here.stranger(profile)) == [DENIED]
        await first.close()
        await eventually(lambda: here.registry.count() == 0, "there is room")
        await here.viewer(profile)
        assert len(desk.used) == 2


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """ann can NLA, ben cannot."""
    path = tmp_path / "users.toml"
    cheap = scrypt.make("a secret", os.urandom, scrypt.Cost(ln=10, r=1, p=1))
    path.write_text(section(User("ann", cheap, nt_hash("a secret"))) + section(User("ben", cheap)))
    path.chmod(0o600)
    return Users(path)


async def test_users_come_in_by_nla_where_their_hash_for_it_is_kept_and_by_tls(users: Users) -> None:
    desk = Desk(users=users)
    async with house(logins=desk.logins, nla=Nla.OFFERED) as here:
        client = await by_nla(here, "ann", "a secret")
        (session,) = here.registry
        assert (session.user, session.auth) == ("ann", "nla")
        await client.close()
        for user, password in (("ann", "wrong"), ("ben", "a secret"), ("eve", "a secret")):
            with pytest.raises(NlaRefused, match=LOGON_FAILURE):
                await by_nla(here, user, password)
        await eventually(lambda: here.registry.count() == 0, "ann has gone")
        await here.viewer(graphics_profile(user="ben", password="a secret"))
        (session,) = here.registry
        assert (session.user, session.auth) == ("ben", "password")
        assert desk.logins.failures["rdp", "wrong"] == 3


def asks(desk: Desk) -> Profile:
    assert desk.gate is not None
    return graphics_profile(password="a ticket for RDP")


async def test_who_goes_while_its_password_is_looked_at_spends_nothing() -> None:
    desk = Desk(gate=asyncio.Event())
    desk.ticket("a ticket for RDP", once=True)
    assert desk.gate is not None
    async with house(logins=desk.logins) as here:
        client = await here.stranger(asks(desk))
        await client.negotiate()
        joining = asyncio.create_task(client.log_in())
        await eventually(lambda: desk.waiting == 1, "its password is looked at")
        joining.cancel()
        await asyncio.wait([joining])
        await client.close()
        await eventually(lambda: here.registry.waiting == 0, "it is gone")
        desk.gate.set()
        await eventually(lambda: desk.waiting == 0, "it was looked at")
        assert desk.used == []
        await here.viewer(asks(desk))


async def test_what_comes_while_a_password_is_looked_at_is_bounded_and_the_time_goes_on() -> None:
    desk = Desk("a ticket for RDP", gate=asyncio.Event())
    async with house(logins=desk.logins) as here:
        clients = [await here.stranger(asks(desk)) for _ in range(2)]
        joining = []
        for client in clients:
            await client.negotiate()
            joining.append(asyncio.create_task(client.log_in()))
        await eventually(lambda: desk.waiting == 2, "their passwords are looked at")
        clients[0].send(bytes(MAX_WAITING + 1))
        await eventually(lambda: here.registry.waiting == 1, "the one that sends ahead is ended")
        (other,) = here.server.viewers
        # as the loop does when its time is over
        other._login_timed_out()
        assert here.registry.waiting == 0
        for task in joining:
            with pytest.raises((EOFError, ConnectionError)):
                await task
        assert desk.used == []


async def test_who_has_failed_too_often_is_refused_with_the_right_password_too() -> None:
    throttle = Throttle(lambda: 0.0)
    desk = Desk("sesame", throttle=throttle)
    async with house(logins=desk.logins, nla=Nla.OFFERED) as here:
        while not throttle.wait("127.0.0.1"):
            client = await here.stranger(graphics_profile(password="wrong"))
            assert await refused(client) == [INSUFFICIENT_PRIVILEGES]
        assert await refused(await here.stranger(graphics_profile(password="sesame"))) == [DENIED]
        with pytest.raises(NlaRefused, match=ACCOUNT_LOCKED_OUT):
            await by_nla(here, "me", "sesame")
        assert desk.used == []


class Silent:
    """Serves a channel by saying nothing."""

    max_message = 1024

    def opened(self, channel: MessageSender) -> None: ...

    def receive(self, message: bytes) -> None: ...

    def closed(self) -> None: ...


@pytest.mark.parametrize(
    ("names", "seen", "serves_channels"), [({"1"}, [1], False), ({"0", "1"}, [0, 1], True)]
)
async def test_a_session_has_the_consoles_that_are_named_and_channels_with_the_first_screen(
    names: set[str], seen: list[int], serves_channels: bool
) -> None:
    desk = Desk()
    desk.ticket("a ticket for RDP", consoles=frozenset(names))
    served: list[str] = []
    table: ChannelTable[Desktop] = ChannelTable()

    def make(desktop: Desktop) -> Silent:
        served.append(desktop.session.id)
        return Silent()

    table.add_static("cliprdr", make)
    async with house(sizes=TWO, logins=desk.logins, channels=table) as here:
        client = await here.viewer(graphics_profile(password="a ticket for RDP", monitors=TWO_MONITORS))
        consoles = [here.guest.consoles[index] for index in seen]
        await client.until(lambda: len(client.screen.monitors) == len(seen), "its monitors")
        if len(seen) == 1:
            await until_it_sees(client, consoles[0])
        (session,) = here.registry
        assert session.console == seen[0]
        assert bool(served) is serves_channels
        client.type(0x10)
        last = consoles[0].keyboard
        await eventually(lambda: last.log, "it types")
        others = [console for console in here.guest.consoles.values() if console.index not in seen]
        assert not any(console.keyboard.log for console in others)


async def test_one_whose_consoles_are_not_there_sees_a_notice_until_they_are_and_may_come_again() -> None:
    desk = Desk()
    desk.ticket("a ticket for RDP", consoles=frozenset({"7"}))
    profile = graphics_profile(password="a ticket for RDP")
    async with house(sizes=TWO, logins=desk.logins) as here:
        client = await here.viewer(profile)
        await until_it_sees(client, vacancy())
        here.guest.lifecycle.notify(GuestState.ATTACHED)
        assert here.registry.count() == 1
        here.guest.consoles[7] = here.guest.consoles.pop(1)
        here.guest.consoles[7].index = 7
        here.guest.lifecycle.notify(GuestState.ATTACHED)
        assert here.registry.count() == 0
        # it comes again by itself if it was not told why
        await client.ended()
        assert client.errors == []
        await until_it_sees(await here.viewer(profile), here.guest.consoles[7])


async def test_a_machine_that_comes_back_with_other_displays_ends_those_who_may_not_see_them() -> None:
    desk = Desk("sesame")
    desk.ticket("a ticket for RDP", consoles=frozenset({"mine"}))
    desk.ticket("one by number", consoles=frozenset({"0"}))
    async with house(sizes=TWO, logins=desk.logins) as here:
        here.guest.consoles[0].label = "mine"
        labelled = await here.viewer(graphics_profile(password="a ticket for RDP"))
        for password in ("one by number", "sesame"):
            await here.viewer(graphics_profile(password=password))
        here.guest.state = GuestState.LOST
        here.guest.lifecycle.notify(GuestState.LOST)
        await labelled.ended()
        assert here.registry.count() == 2
