"""noVNC's own page in a browser shows exactly what QEMU shows, and types into the guest."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode, was_typed
from support.novnc import NoVnc, novnc
from support.ports import free_port
from support.qemu import Qemu
from support.waiting import eventually, eventually_true, wait_until

PASSWORD = "opensesame"  # VNC takes eight characters of it


@pytest.fixture
def web_port() -> int:
    return free_port()


@pytest.fixture
def web_daemon(bus: Bus, dbus_qemu: Qemu, short_dir: Path, web_port: int) -> Iterator[Daemon]:
    """`vdi-sidecar serve` with a WebSocket, for those who know the password."""
    file = short_dir / "password"
    file.write_text(PASSWORD)
    daemon = Daemon(
        short_dir,
        *("--dbus-address", bus.address, "--web", f"127.0.0.1:{web_port}"),
        auth=("--password-file", str(file)),
    )
    wait_until(lambda: daemon.status()["vm"]["consoles"][0]["width"] == 1024, "the daemon is attached")
    yield daemon
    daemon.close()


async def shows(page: NoVnc, qemu: Qemu) -> bool:
    return bool(np.array_equal(await page.picture(), qemu.screendump()))


async def test_novnc_shows_exactly_what_qemu_shows_and_types_into_the_guest(
    web_daemon: Daemon, web_port: int, dbus_qemu: Qemu, short_dir: Path
) -> None:
    async with novnc(short_dir, web_port, PASSWORD) as page:
        dbus_qemu.show(Mode.TEXT)
        await eventually_true(lambda: shows_anything(page), "noVNC shows a picture")
        dbus_qemu.show(Mode.STILL)
        await eventually_true(lambda: shows(page, dbus_qemu), "noVNC shows what QEMU shows")
        (session,) = web_daemon.sessions()
        assert (session["transport"], session["state"]) == ("websocket", "initialized")
        said = dbus_qemu.com1
        await page.type("a")
        await eventually(lambda: was_typed(said.read(), 0x1E), "what is typed arrives")
    await eventually(lambda: not web_daemon.sessions(), "nobody is left")


async def shows_anything(page: NoVnc) -> bool:
    return (await page.picture()).shape == (768, 1024)


async def test_who_does_not_know_the_password_sees_nothing_in_novnc(
    web_daemon: Daemon, web_port: int, short_dir: Path
) -> None:
    async with novnc(short_dir, web_port, "guessing") as page:

        async def is_refused() -> bool:
            return "closed" in await page.status() or "wrong" in await page.status()

        await eventually_true(is_refused, "noVNC says that it is not let in")
        assert (await page.picture()).size == 0
        assert not [each for each in web_daemon.sessions() if each["state"] == "initialized"]
