"""Who knows the password comes in, by TLS and by NLA, and nobody else: with clients that people use."""

from contextlib import closing
from pathlib import Path

import pytest
from support.daemon import Daemon
from support.freerdp import FreeRdp, Settings, ending
from support.guest_image import Mode, was_clicked
from support.qemu import Qemu
from support.rdp_clients import aardwolf
from support.viewers import XServer
from support.waiting import wait_until

LOGON_FAILURE = "ERRCONNECT_LOGON_FAILURE"
NEGOTIATION_FAILED = "ERRCONNECT_SECURITY_NEGO_CONNECT_FAILED"


@pytest.mark.parametrize("security", ["tls", "nla"])
def test_freerdp_comes_in_with_the_password(
    password_daemon: Daemon, password: str, dbus_qemu: Qemu, x_server: XServer, security: str
) -> None:
    dbus_qemu.show(Mode.STILL)
    settings = Settings(password_daemon.rdp, security=security, password=password)
    with closing(FreeRdp(x_server, settings)) as viewer:
        wait_until(lambda: viewer.shows(dbus_qemu.screendump()), "the picture is there")
        (session,) = password_daemon.sessions()
        assert session["protocol"] == "rdp"
    assert password not in password_daemon.process.output


def test_freerdp_is_told_by_nla_that_its_password_is_wrong(
    password_daemon: Daemon, x_server: XServer
) -> None:
    end = ending(x_server, Settings(password_daemon.rdp, security="nla", password="wrong"))
    assert LOGON_FAILURE in end.output
    assert password_daemon.status()["service"]["rdp"]["sessions"] == 0


def test_freerdp_is_refused_by_tls_when_its_password_is_wrong(
    password_daemon: Daemon, x_server: XServer
) -> None:
    end = ending(x_server, Settings(password_daemon.rdp, security="tls", password="wrong"))
    assert end.status != 0
    assert password_daemon.status()["service"]["rdp"]["sessions"] == 0


def test_freerdp_is_told_that_rdps_own_security_is_not_to_be_had(daemon: Daemon, x_server: XServer) -> None:
    end = ending(x_server, Settings(daemon.rdp, security="rdp"))
    assert NEGOTIATION_FAILED in end.output


@pytest.mark.parametrize(("security", "protocol"), [("tls", "SSL"), ("nla", "HYBRID")])
def test_aardwolf_comes_in_types_and_clicks_by_slow_path_input(
    password_daemon: Daemon, password: str, dbus_qemu: Qemu, short_dir: Path, security: str, protocol: str
) -> None:
    dbus_qemu.show(Mode.STILL)
    dbus_qemu.com1.forget()
    seen = aardwolf(
        short_dir,
        password_daemon.rdp,
        security=security,
        password=password,
        keys=[0x10, 0x9C],
        clicks=[(300, 200)],
    )
    assert seen.error == ""
    assert seen.protocol == protocol
    dbus_qemu.com1.wait_for("K10\nK90\nKE0\nK1C\nKE0\nK9C\n")
    wait_until(lambda: was_clicked(dbus_qemu.com1.read(), 300, 200), "aardwolf clicks")


@pytest.mark.parametrize("security", ["tls", "nla"])
def test_aardwolf_is_refused_with_a_wrong_password(
    password_daemon: Daemon, short_dir: Path, security: str
) -> None:
    seen = aardwolf(short_dir, password_daemon.rdp, security=security, password="wrong")
    assert seen.error
