"""Who gets in over RDP, how that goes with VNC, why it ends, and what features get of a session."""

import asyncio
from pathlib import Path

import pytest
from support import rdp_client_pdus as pdus
from support.rdp_house import house, picture, until
from support.rdp_script import DynamicMessage
from support.rdp_server_pdus import ChannelData
from support.rdp_viewer import RdpViewer, bitmap_profile, graphics_profile
from support.rfb_session import Refused as VncRefused

from sidecar.access.certificate import CertificateUnusable
from sidecar.rdp.access import Access
from sidecar.rdp.channel_table import ChannelTable, MessageSender
from sidecar.rdp.desktop import Desktop
from sidecar.session.registry import Policy, SharePolicy
from sidecar.session.state import EndReason

DISCONNECTED_BY_TOOL, REPLACED, DENIED, INSUFFICIENT_PRIVILEGES, SHUTDOWN = 0x1, 0x5, 0x7, 0x9, 0x19
"""ERRINFO codes."""


async def refused(client: RdpViewer) -> int:
    """What a client is told that does not get in."""
    await client.negotiate()
    await client.log_in()
    await client.ended()
    (error,) = client.errors
    return error


class TestPasswords:
    async def test_the_right_password_lets_in(self) -> None:
        async with house(password=lambda: "right") as here:
            client = await here.viewer(graphics_profile(user="alice", password="right"))
            await client.until_shown(here.console.surface.frame.pixels)
            (session,) = here.registry
            assert (session.user, session.auth, session.tls) == ("alice", "password", True)

    @pytest.mark.parametrize("password", ["wrong", "", "Right", "r" * 200])
    async def test_a_wrong_one_does_not_and_is_not_counted(self, password: str) -> None:
        async with house(password=lambda: "right") as here:
            client = await here.stranger(graphics_profile(password=password))
            assert await refused(client) == INSUFFICIENT_PRIVILEGES
            assert here.registry.count() == 0

    async def test_an_empty_password_lets_nobody_in(self) -> None:
        async with house(password=lambda: "") as here:
            client = await here.stranger(graphics_profile(password=""))
            assert await refused(client) == INSUFFICIENT_PRIVILEGES

    async def test_nobody_is_asked_where_there_is_none(self) -> None:
        async with house() as here:
            await here.viewer(graphics_profile(user="", password=""))
            (session,) = here.registry
            assert (session.user, session.auth) == ("", "none")

    async def test_the_password_in_force_is_the_one_of_now(self) -> None:
        passwords = ["first"]
        async with house(password=lambda: passwords[-1]) as here:
            await here.viewer(graphics_profile(password="first"))
            passwords.append("second")
            await here.viewer(graphics_profile(password="second"))
            assert here.registry.count("rdp") == 2

    async def test_a_claimed_user_is_recorded_short_and_without_control_characters(self) -> None:
        async with house() as here:
            await here.viewer(graphics_profile(user="eve\x1b[2J\n" + "x" * 100))
            (session,) = here.registry
            assert session.user == "eve?[2J?" + "x" * 56

    async def test_who_says_nothing_is_sent_away(self) -> None:
        async with house(auth_timeout=0.2) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            async with asyncio.timeout(30):
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    async def test_who_stops_amid_the_sequence_is_sent_away(self) -> None:
        async with house(auth_timeout=2.0) as here:
            client = await here.stranger()
            await client.negotiate()
            await client.log_in()
            await client.ended()
            assert here.registry.count() == here.registry.waiting == 0

    async def test_without_a_certificate_nobody_gets_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unusable(_: Access) -> None:
            raise CertificateUnusable("there is no certificate")

        monkeypatch.setattr(Access, "certificate", unusable)
        async with house() as here:
            client = await here.stranger()
            client.send(client.connection_request())
            await client.ended()


class TestSharing:
    async def test_single_refuses_the_second_whatever_it_speaks(self) -> None:
        async with house(Policy(share=SharePolicy.SINGLE)) as here:
            first = await here.viewer()
            assert await refused(await here.stranger()) == DENIED
            with pytest.raises(VncRefused, match="somebody else is connected"):
                await here.vnc()
            await first.close()
            await until(lambda: here.registry.count() == 0)
            await here.vnc()
            assert await refused(await here.stranger()) == DENIED

    async def test_exclusive_lets_the_newcomer_take_over_whatever_it_speaks(self) -> None:
        async with house(Policy(share=SharePolicy.EXCLUSIVE)) as here:
            first = await here.viewer()
            await here.vnc()
            await first.ended()
            assert first.errors == [REPLACED]
            await here.viewer()
            assert (here.registry.count("rdp"), here.registry.count("vnc")) == (1, 0)

    async def test_the_limit_is_one_for_both_protocols(self) -> None:
        async with house(Policy(max_sessions=2)) as here:
            await here.viewer()
            await here.vnc()
            assert await refused(await here.stranger()) == DENIED
            with pytest.raises(VncRefused, match="as many sessions as it may have"):
                await here.vnc()

    async def test_who_is_overtaken_between_login_and_activation_is_refused(self) -> None:
        async with house(Policy(share=SharePolicy.SINGLE)) as here:
            slow = await here.stranger()
            await slow.negotiate()
            await slow.log_in()
            await here.viewer()
            await slow.activate()
            await slow.ended()
            assert slow.errors == [DENIED]
            assert here.registry.count() == 1

    async def test_a_person_may_go_from_vnc_to_rdp_and_the_machine_does_not_notice(self) -> None:
        async with house(Policy(share=SharePolicy.EXCLUSIVE)) as here:
            vnc = await here.vnc()
            await vnc.until_shown(here.console.surface.frame.pixels)
            client = await here.viewer()
            await client.until_shown(here.console.surface.frame.pixels)
            assert here.console.surface.frame.bounds[2:] == (320, 200)
            assert here.console.keyboard.log == here.console.pointer.log == []


class TestEnd:
    @pytest.mark.parametrize("profile", [graphics_profile(), bitmap_profile()], ids=["graphics", "bitmaps"])
    async def test_a_client_is_told_that_an_administrator_has_ended_it(self, profile: object) -> None:
        async with house() as here:
            client, other = await here.viewer(profile), await here.viewer()
            session = next(iter(here.registry))
            here.registry.end(session.id)
            await client.ended()
            assert client.errors == [DISCONNECTED_BY_TOOL]
            assert session.end_reason is EndReason.DISCONNECTED
            await other.until_shown(here.console.surface.frame.pixels)

    async def test_a_client_may_be_ended_while_it_is_being_activated(self) -> None:
        async with house() as here:
            client = await here.viewer(bitmap_profile())
            client.answers_demand = False
            here.console.resize(300, 200)
            await client.until(lambda: client.desktop == (300, 200), "the demand")
            here.registry.end_all()
            await client.ended()
            assert client.errors == [DISCONNECTED_BY_TOOL]

    async def test_everybody_is_told_that_the_server_shuts_down(self) -> None:
        async with house() as here:
            clients = [await here.viewer(), await here.viewer(bitmap_profile())]
            here.registry.close()
            for client in clients:
                await client.ended()
                assert client.errors == [SHUTDOWN]

    async def test_a_client_that_says_goodbye_has_closed_its_session(self) -> None:
        async with house() as here:
            client = await here.viewer()
            (session,) = here.registry
            client.send(pdus.disconnect_ultimatum())
            await client.ended()
            assert session.end_reason is EndReason.CLOSED
            assert client.errors == []

    async def test_a_broken_pdu_ends_that_client_only(self) -> None:
        async with house() as here:
            bad, good = await here.viewer(), await here.viewer()
            bad.send(b"\x03\x00\x00\x08\x02\xf0\x80\xff")
            await bad.ended()
            here.console.draw(0, 0, picture(4))
            await good.until_shown(here.console.surface.frame.pixels)
            assert here.registry.count() == 1

    async def test_a_client_that_vanishes_amid_frames_leaves_nothing(self) -> None:
        async with house() as here:
            client = await here.viewer()
            for seed in range(5):
                here.console.draw(0, 0, picture(seed))
                await client.listen(0.01)
            client.abort()
            await until(lambda: here.registry.count() == 0)


class Echo:
    """Sends back what it gets; keeps what has happened."""

    max_message = 1 << 16

    def __init__(self, desktop: Desktop, log: list[object]) -> None:
        self.log = log
        self.session = desktop.session

    def opened(self, channel: MessageSender) -> None:
        self.log.append(("opened", self.session.id))
        self._channel = channel

    def receive(self, message: bytes) -> None:
        self.log.append(message)
        self._channel.send(message)

    def closed(self) -> None:
        self.log.append("closed")


class EchoingViewer(RdpViewer):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.dynamic.add("ECHO")


class TestChannels:
    async def test_a_feature_may_serve_a_static_channel(self) -> None:
        log: list[object] = []
        table: ChannelTable[Desktop] = ChannelTable()
        table.add_static("cliprdr", lambda desktop: Echo(desktop, log))
        async with house(channels=table) as here:
            client = await here.viewer()
            assert log == [("opened", next(iter(here.registry)).id)]
            for message in (b"hello", bytes(range(256)) * 40):
                client.send(client.channel("cliprdr", message))
                await client.until(
                    lambda message=message: message in [heard.data for heard in told(client)], "the echo"
                )
                assert log[-1] == message
            # channels that nothing serves are left alone
            client.send(client.channel("rdpdr", b"anybody?"))
            await client.close()
            await until(lambda: log[-1] == "closed")
        assert log.count("closed") == 1

    async def test_a_feature_may_serve_a_dynamic_channel(self) -> None:
        log: list[object] = []
        table: ChannelTable[Desktop] = ChannelTable()
        table.add_dynamic("ECHO", lambda desktop: Echo(desktop, log))
        async with house(channels=table) as here:
            client, other = await here.viewer(kind=EchoingViewer), await here.viewer()
            await client.until(lambda: "ECHO" in client.numbers, "the channel")
            client.say("ECHO", b"hello")
            await client.until(lambda: DynamicMessage("ECHO", b"hello") in client.messages, "the echo")
            await other.until_shown(here.console.surface.frame.pixels)
            client.send(client.channel("drdynvc", bytes((0x40, client.numbers["ECHO"]))))
            await until(lambda: log[-1] == "closed")
        assert log.count("closed") == 1

    async def test_a_message_above_what_its_handler_takes_ends_the_session(self) -> None:
        log: list[object] = []
        table: ChannelTable[Desktop] = ChannelTable()
        table.add_static("cliprdr", lambda desktop: Echo(desktop, log))
        async with house(channels=table) as here:
            client = await here.viewer()
            client.send(client.channel("cliprdr", bytes(Echo.max_message + 1)))
            await client.ended()
        assert log[1:] == ["closed"]


def told(client: RdpViewer) -> list[ChannelData]:
    return [pdu for pdu in client.inbox if isinstance(pdu, ChannelData) and pdu.channel == "cliprdr"]


async def test_it_listens_on_a_unix_socket_as_well(short_dir: Path) -> None:
    async with house() as here:
        path = short_dir / "rdp"
        await here.server.listen_unix(path)
        reader, writer = await asyncio.open_unix_connection(path)
        client = RdpViewer(reader, writer, graphics_profile())
        here.clients.push_async_callback(client.close)
        await client.negotiate()
        await client.log_in()
        await client.activate()
        await client.until_shown(here.console.surface.frame.pixels)
        assert [session.transport for session in here.registry] == ["unix"]


async def test_two_hundred_silent_connections_keep_nobody_out() -> None:
    async with house() as here:
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", here.port)
            here.clients.callback(writer.close)
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)
        assert here.registry.waiting <= here.registry.policy.max_waiting
