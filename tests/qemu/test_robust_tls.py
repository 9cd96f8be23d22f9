"""The daemon's encrypted ways in, as processes use them: VeNCrypt, wss, and Plain where it is safe."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import rfb_wire
from support.bus import Bus
from support.certificate import write_certificate
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.ports import free_port
from support.processes import open_descriptors
from support.qemu import Qemu
from support.rfb_client import RfbClient
from support.rfb_session import PLAIN, X509_NONE, X509_PLAIN, X509_VNC, Refused
from support.rfb_wire import Encoding
from support.waiting import wait_until
from support.web_client import by_web

PASSWORD = "open sesame"


@pytest.fixture
def start_daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts the daemon with a certificate in `short_dir`/tls and, with `password`, one to log in."""
    write_certificate(short_dir / "tls")
    (short_dir / "password").write_text(PASSWORD)
    with contextlib.ExitStack() as stack:

        def start(*options: str, password: bool = True) -> Daemon:
            auth = ("--auth", "password", "--password-file", str(short_dir / "password"))
            options = ("--dbus-address", bus.address, "--tls-dir", str(short_dir / "tls"), *options)
            daemon = Daemon(short_dir, *options, **({"auth": auth} if password else {}))
            stack.callback(daemon.close)
            size = {"width": 1024, "height": 768}
            wait_until(
                lambda: size.items() <= daemon.status()["vm"]["consoles"][0].items(), "the daemon is attached"
            )
            dbus_qemu.show(Mode.DESKTOP)
            return daemon

        yield start


def test_x509_none_and_those_who_stall_or_cheat(
    start_daemon: Callable[..., Daemon], short_dir: Path, dbus_qemu: Qemu
) -> None:
    daemon = start_daemon("--auth-timeout", "3", password=False)
    descriptors = open_descriptors(daemon.pid)
    choice = b"RFB 003.008\n\x13\x00\x02" + struct.pack(">I", X509_NONE)
    with contextlib.ExitStack() as stack:
        stalled = [
            stack.enter_context(socket.create_connection(daemon.address, timeout=30)) for _ in range(20)
        ]
        for number, connection in enumerate(stalled):
            # nothing, garbage, or what would be a shared flag and a key if it counted as encrypted
            connection.sendall(choice + (b"", b"", b"\x01\x04\x01\0\0\0\0\0\x61")[number % 3])
            if number % 3 == 1:
                connection.sendall(bytes(100))
        with RfbClient(daemon.address, encodings=(Encoding.TIGHT,)) as client:
            client.until_shown(desktop())
            assert client.offered_security == (19,)
            assert client.offered_subtypes == (X509_NONE,)
            assert [session["tls"] for session in daemon.sessions()] == [True]
            client.send(rfb_wire.key_event(ord("b"), True) + rfb_wire.key_event(ord("b"), False))
            dbus_qemu.com1.wait_for("K30\nKB0\n")
            assert "K1E" not in dbus_qemu.com1.text
        for connection in stalled:
            with contextlib.suppress(ConnectionError):
                while connection.recv(4096):
                    pass
    wait_until(lambda: daemon.status()["sessions"] == [], "nobody is left")
    wait_until(lambda: open_descriptors(daemon.pid) <= descriptors, "every connection is closed")

    (short_dir / "tls" / "tls.crt").write_text("not a certificate")
    with pytest.raises(OSError):  # noqa: PT011 - a reset or an end, as the system has it
        RfbClient(daemon.address)
    write_certificate(short_dir / "tls")
    with RfbClient(daemon.address, encodings=(Encoding.TIGHT,)) as client:
        client.until_shown(desktop())


async def test_passwords_inside_tls_over_the_web_and_on_a_unix_socket(
    start_daemon: Callable[..., Daemon], short_dir: Path
) -> None:
    port = free_port()
    url = f"wss://127.0.0.1:{port}/websockify"
    daemon = start_daemon("--web", f"127.0.0.1:{port}", "--vnc", f"unix:{short_dir}/vnc")
    secret = {"password": PASSWORD, "encodings": (Encoding.TIGHT,)}
    for user, subtype, auth in (("", X509_VNC, "x509-vnc"), ("alice", X509_PLAIN, "x509-plain")):
        with RfbClient(daemon.address, user=user, **secret) as client:
            client.until_shown(desktop())
            assert subtype in client.offered_subtypes
            (session,) = daemon.sessions()
            assert (session["auth"], session["user"], session["tls"]) == (auth, user, True)
        with pytest.raises(Refused, match="Authentication failed"):
            RfbClient(daemon.address, user=user, password="wrong")
        wait_until(lambda: not daemon.sessions(), "nobody is left")

    with RfbClient(f"{short_dir}/vnc", user="bob", **secret) as client:
        client.until_shown(desktop())
        assert client.offered_subtypes == (PLAIN,)
        (session,) = daemon.sessions()
        assert (session["transport"], session["auth"], session["user"]) == ("unix", "plain", "bob")
    with pytest.raises(Refused, match="Authentication failed"):
        RfbClient(f"{short_dir}/vnc", user="bob", password="wrong")

    async with by_web(url, user="carol", **secret) as client:
        await client.until_shown(desktop())
        sessions = await asyncio.to_thread(daemon.sessions)
        assert [(s["transport"], s["auth"], s["tls"]) for s in sessions if s["user"] == "carol"] == [
            ("websocket", "plain", True)
        ]
    with pytest.raises(Refused, match="Authentication failed"):
        async with by_web(url, user="carol", password="wrong"):
            pass
    for _ in range(2):
        expected = write_certificate(short_dir / "tls")
        async with by_web(url, **secret) as client:
            assert client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) == expected
    # a certificate that cannot be used takes nobody's way in
    (short_dir / "tls" / "tls.crt").write_text("not a certificate")
    async with by_web(url, **secret) as client:
        assert client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) == expected
    wait_until(lambda: daemon.status()["sessions"] == [], "nobody is left")
    assert "sesame" not in daemon.process.output
