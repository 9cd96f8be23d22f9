"""Tickets and users of their own, with clients that people use: who comes in, and what they are shown."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncvnc
import numpy as np
import pytest
from support.certificate import write_certificate
from support.freerdp import FreeRdp, Settings, ending
from support.logins import Desk
from support.pictures import from_rgb_bytes
from support.rfb_client import AsyncRfbClient
from support.rfb_session import Refused
from support.synthetic_guest import SyntheticConsole, SyntheticGuest
from support.viewers import TigerVnc, XServer, XWindow
from support.waiting import eventually, eventually_true

from sidecar.access import scrypt
from sidecar.access.users import Users
from sidecar.access.users_file import User, section
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.rdp.access import Access as RdpAccess
from sidecar.rdp.handshake import Nla
from sidecar.rdp.ntlm import nt_hash
from sidecar.rdp.server import RdpServer
from sidecar.session.registry import Registry
from sidecar.session.session import Session
from sidecar.vnc.access import Access
from sidecar.vnc.server import VncServer

ANN, BEN = "ann's secret", "ben's secret"


@dataclass
class House:
    """Two screens, served by VNC in the clear and over TLS, and by RDP."""

    desk: Desk
    registry: Registry
    screens: list[SyntheticConsole]
    vnc: int
    vnc_over_tls: int
    rdp: int
    certificate: Path

    @property
    def session(self) -> Session:
        (session,) = self.registry
        return session

    async def shows(self, viewer: XWindow, screen: int) -> None:
        """Waits until the viewer's window shows that screen, exactly."""
        picture = self.screens[screen].surface.frame.pixels

        async def does() -> bool:
            return await asyncio.to_thread(viewer.shows, picture)

        await eventually_true(does, "the viewer shows its screen")

    async def is_empty(self) -> None:
        await eventually(lambda: not list(self.registry), "everybody has gone")

    def freerdp(self, security: str, user: str, password: str) -> Settings:
        size = self.screens[0].surface.frame
        return Settings(
            ("127.0.0.1", self.rdp),
            security=security,
            user=user,
            password=password,
            size=(size.width, size.height),
        )


@pytest.fixture
async def house(short_dir: Path) -> AsyncIterator[House]:
    """Ann may do all by RDP's NLA too; Ben has no hash for that, and may only look on."""
    certificate = short_dir / "tls"
    write_certificate(certificate, "localhost")
    users = short_dir / "users.toml"
    cost = scrypt.Cost(ln=10, r=1, p=1)
    ann, ben = (scrypt.make(password, os.urandom, cost) for password in (ANN, BEN))
    users.write_text(section(User("ann", ann, nt_hash(ANN))) + section(User("ben", ben, view_only=True)))
    users.chmod(0o600)
    desk = Desk(users=Users(users))
    screens = [SyntheticConsole(number, 640, 480) for number in range(2)]
    for screen in screens:
        noise = np.random.default_rng(screen.index).integers(0, 1 << 24, (480, 640))
        screen.draw(0, 0, noise.astype(np.uint32))
    guest = SyntheticGuest(screens[0])
    guest.consoles = {screen.index: screen for screen in screens}
    registry, layout = Registry(), Layout("us")
    with ThreadPoolExecutor(2) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        parts = (guest, registry, broadcasts, Seats(guest))
        access = RdpAccess(certificate, desk.logins, Nla.OFFERED)
        async with (
            VncServer(*parts, layout=layout, access=Access(desk.logins)) as plain,
            VncServer(*parts, layout=layout, access=Access(desk.logins, certificate)) as over_tls,
            RdpServer(*parts, layout=layout, access=access) as rdp,
        ):
            ports = [await server.listen_tcp("127.0.0.1", 0) for server in (plain, over_tls, rdp)]
            yield House(desk, registry, screens, *ports, certificate)


@contextlib.asynccontextmanager
async def open_viewer(make: Callable[[], TigerVnc | FreeRdp]) -> AsyncIterator[TigerVnc | FreeRdp]:
    viewer = await asyncio.to_thread(make)
    try:
        yield viewer
    finally:
        await asyncio.to_thread(viewer.close)


# asyncvnc takes DES from where, and how, cryptography will not have it any more
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
async def test_a_ticket_is_a_vnc_password_for_the_screen_that_it_names(
    house: House, x_server: XServer, short_dir: Path
) -> None:
    ticket = house.desk.ticket("justonce", once=True, view_only=True, consoles=frozenset({"1"}))
    house.desk.ticket("reusable", consoles=frozenset({"0"}))
    stored = await asyncio.to_thread(
        subprocess.run, ["vncpasswd", "-f"], input=b"justonce", capture_output=True, check=True
    )
    path = short_dir / "vncpasswd"
    path.write_bytes(stored.stdout)
    options = ("-SecurityTypes", "VncAuth", "-passwd", str(path))
    async with open_viewer(lambda: TigerVnc(x_server, f"127.0.0.1::{house.vnc}", options=options)) as viewer:
        await house.shows(viewer, 1)
        session = house.session
        assert (session.ticket, session.view_only, session.console) == (ticket, True, 1)
        # asyncvnc leaves the connection open when it is refused
        with pytest.raises(Refused):
            await AsyncRfbClient.connect(("127.0.0.1", house.vnc), password="justonce")
        await asyncio.to_thread(viewer.type, "a")
        async with asyncvnc.connect("127.0.0.1", house.vnc, password="reusable") as client:
            shown = from_rgb_bytes(await client.screenshot())
            assert np.array_equal(shown, house.screens[0].surface.frame.pixels)
    await house.is_empty()
    assert not any(screen.keyboard.log for screen in house.screens)


async def test_a_user_of_the_users_file_logs_in_with_tigervnc_over_tls(
    house: House, x_server: XServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VNC_USERNAME", "ben")
    monkeypatch.setenv("VNC_PASSWORD", BEN)
    authority = str(house.certificate / "tls.crt")
    options = ("-SecurityTypes", "X509Plain", "-X509CA", authority)
    address = f"localhost::{house.vnc_over_tls}"
    async with open_viewer(lambda: TigerVnc(x_server, address, options=options)) as viewer:
        await house.shows(viewer, 0)
        session = house.session
        assert (session.user, session.auth, session.view_only) == ("ben", "x509-plain", True)
    await house.is_empty()


async def test_a_ticket_and_a_user_log_in_with_freerdp(house: House, x_server: XServer) -> None:
    ticket = house.desk.ticket("a ticket for one", once=True, consoles=frozenset({"1"}))
    by_ticket = house.freerdp("nla", "whoever", "a ticket for one")
    async with open_viewer(lambda: FreeRdp(x_server, by_ticket)) as viewer:
        await house.shows(viewer, 1)
        session = house.session
        assert (session.user, session.auth, session.ticket) == ("whoever", "nla", ticket)
    await house.is_empty()
    for settings in (by_ticket, house.freerdp("nla", "ben", BEN)):
        end = await asyncio.to_thread(ending, x_server, settings)
        assert "ERRCONNECT_LOGON_FAILURE" in end.output
    for security, user, password, auth in (("nla", "ann", ANN, "nla"), ("tls", "ben", BEN, "password")):
        await house.is_empty()
        settings = house.freerdp(security, user, password)
        async with open_viewer(lambda settings=settings: FreeRdp(x_server, settings)) as viewer:
            await house.shows(viewer, 0)
            session = house.session
            assert (session.user, session.auth, session.view_only) == (user, auth, user == "ben")
