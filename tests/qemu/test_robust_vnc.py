"""The daemon as a process, before a real QEMU, among clients that do everything wrong.

Endless keys are in test_robust_rdp.py, together with those that come over RDP.
"""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import rfb_wire
from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.processes import open_descriptors, resident_bytes
from support.qemu import Qemu
from support.rfb_client import AsyncRfbClient, RfbClient
from support.rfb_session import Refused
from support.rfb_wire import Encoding
from support.waiting import wait_until

MEGABYTE = 1 << 20
CROWD = 64


@pytest.fixture
def start_daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts the daemon, attached to `dbus_qemu`; it must end well, and without complaint, after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, **more: Any) -> Daemon:
            daemon = Daemon(short_dir, "--dbus-address", bus.address, *options, **more)
            stack.callback(daemon.close)
            size = {"width": 1024, "height": 768}
            wait_until(
                lambda: size.items() <= daemon.status()["vm"]["consoles"][0].items(), "the daemon is attached"
            )
            dbus_qemu.show(Mode.DESKTOP)
            return daemon

        yield start


def nobody_is_left(daemon: Daemon, descriptors: int) -> None:
    wait_until(lambda: daemon.status()["sessions"] == [], "nobody is counted")
    wait_until(lambda: open_descriptors(daemon.pid) <= descriptors, "every connection is closed")


def silent(daemon: Daemon, count: int, stack: contextlib.ExitStack) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection(daemon.address, timeout=30))


async def test_two_hundred_silent_connections_and_sixty_four_viewers_in_one_instant(
    start_daemon: Callable[..., Daemon],
) -> None:
    daemon = start_daemon("--max-sessions", str(CROWD))
    descriptors = open_descriptors(daemon.pid)
    encodings = (Encoding.TIGHT, Encoding.CURSOR, Encoding.DESKTOP_NAME)
    with contextlib.ExitStack() as stack:
        silent(daemon, 200, stack)
        async with contextlib.AsyncExitStack() as clients:

            async def watch(kind: int) -> AsyncRfbClient:
                client = await AsyncRfbClient.connect(daemon.address, encodings=encodings)
                await clients.enter_async_context(client)
                await client.until_shown(desktop())
                return client

            crowd = await asyncio.gather(*(watch(number) for number in range(CROWD)))
            assert daemon.status()["service"]["vnc"]["sessions"] == CROWD
            with pytest.raises(Refused, match="as many sessions as it may have"):
                await AsyncRfbClient.connect(daemon.address)
            title = f"guest - {CROWD} viewers"
            await asyncio.gather(
                *(client.until(lambda client=client: client.name == title, "the name") for client in crowd)
            )
    nobody_is_left(daemon, descriptors)
    assert resident_bytes(daemon.pid) < 160 * MEGABYTE


def test_a_client_that_never_reads_while_the_guest_repaints(
    start_daemon: Callable[..., Daemon], dbus_qemu: Qemu
) -> None:
    daemon = start_daemon()
    with contextlib.ExitStack() as stack:
        reads = stack.enter_context(RfbClient(daemon.address, encodings=(Encoding.TIGHT,)))
        reads.until_shown(desktop())
        stuck = [
            stack.enter_context(RfbClient(daemon.address, encodings=(Encoding.RAW, *rfb_wire.ALL_PSEUDO)))
            for _ in range(4)
        ]
        before = resident_bytes(daemon.pid)
        dbus_qemu.show(Mode.REPAINT)
        most = 0
        for number in range(50):
            for client in stuck:
                client._socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client._socket.send(rfb_wire.update_request(number % 2 == 0, 0, 0, 1024, 768))
            reads.refresh(incremental=True)
            most = max(most, resident_bytes(daemon.pid))
        # each may have one whole picture of 3 MB unsent, and a little more
        assert most < before + 4 * 8 * MEGABYTE + 20 * MEGABYTE
        assert len(daemon.sessions()) == 5
    wait_until(lambda: not daemon.sessions(), "nobody is counted")


STAGES = (
    b"",
    b"RFB 003.008\n",
    b"RFB 003.008\n\x01",
    b"RFB 003.008\n\x01\x01",
    b"RFB 003.003\n\x01",
    b"RFB 003.007\n\x01\x01",
    b"RFB 003.008\n\x01\x01" + rfb_wire.set_encodings([Encoding.ZRLE, *rfb_wire.ALL_PSEUDO]),
)


def test_random_bytes_at_every_stage_harm_nobody(
    start_daemon: Callable[..., Daemon], dbus_qemu: Qemu
) -> None:
    daemon = start_daemon("--allow-power")
    descriptors = open_descriptors(daemon.pid)
    chance = random.Random(7)
    with RfbClient(daemon.address, encodings=(Encoding.ZRLE,)) as good:
        good.until_shown(desktop())
        before = resident_bytes(daemon.pid)
        for number in range(200):
            stage = STAGES[number % len(STAGES)]
            with socket.create_connection(daemon.address, timeout=30) as client:
                # no power switch and no key: the picture must stay
                noise = chance.randbytes(chance.randrange(1, 3000)).translate(_HARMLESS)
                with contextlib.suppress(ConnectionError):
                    client.sendall(stage + noise)
                    if number % 3 == 0:
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(1 << 16):
                            pass
        requests = [
            rfb_wire.update_request(incremental, x, y, width, height)
            for incremental in (False, True)
            for x, y in ((0, 0), (65535, 65535), (1023, 767), (40000, 1))
            for width, height in ((0, 0), (65535, 65535), (1, 1))
        ]
        good.send(b"".join(requests) * 10)
        dbus_qemu.show(Mode.STILL)
        dbus_qemu.show(Mode.DESKTOP)
        good.until_shown(desktop())
        wait_until(lambda: len(daemon.status()["sessions"]) == 1, "only the good one is left")
        assert resident_bytes(daemon.pid) < before + 40 * MEGABYTE
    nobody_is_left(daemon, descriptors)


_HARMLESS = bytes(9 if byte in (4, 5, 250, 251, 255) else byte for byte in range(256))


def test_fifty_wrong_passwords_and_then_the_right_one_from_another_address(
    start_daemon: Callable[..., Daemon], short_dir: Path
) -> None:
    password_file = short_dir / "password"
    password_file.write_text("open sesame\n")
    daemon = start_daemon(auth=("--auth", "password", "--password-file", str(password_file)))
    descriptors = open_descriptors(daemon.pid)
    for number in range(50):
        with pytest.raises(Refused, match=r"Authentication failed|Too many failed logins"):
            RfbClient(daemon.address, password=f"wrong{number}")
    with RfbClient(daemon.address, password="open sesame", source="127.0.0.2") as client:
        client.until_shown(desktop())
        assert [session["auth"] for session in daemon.sessions()] == ["vnc-authentication"]
    nobody_is_left(daemon, descriptors)
    assert "sesame" not in daemon.process.output
    assert "wrong7" not in daemon.process.output
    os.chmod(password_file, 0o600)
