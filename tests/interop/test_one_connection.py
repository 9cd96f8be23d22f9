"""One connection to a Linux guest carries its screen, its sound, its clipboard and a login: VNC, and RDP."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.bus import Bus
from support.daemon import COMMAND, Daemon
from support.freerdp import Graphics, Settings
from support.freerdp_clipboard import copied, paste
from support.freerdp_sound import PATIENT, PulseAudio, SoundingFreeRdp
from support.full_client import FullClient
from support.linux_guest import USER, LinuxGuest, Shell, run_commands
from support.processes import Process
from support.qemu import dbus_display
from support.tone import measure
from support.viewers import XServer, XWindow
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

PORT = "org.qemu.console.serial.0"
HERTZ, SECONDS = 440, 2
CLOSING = "/log-filters:com.freerdp.channels.rdpsnd.client:DEBUG"
"""It says in its log when a sound is over."""


@dataclass
class Served:
    """The guest, and the daemon that serves it."""

    linux: LinuxGuest
    daemon: Daemon


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="vdi-", dir="/tmp"))
        stack.callback(shutil.rmtree, directory)
        bus = stack.enter_context(closing(Bus(directory)))
        (directory / "linux").mkdir()
        display = dbus_display(bus.address)
        linux = LinuxGuest(
            directory / "linux", display, kind="agent", serial_ports=1, sound="ac97", clipboard=True
        )
        stack.callback(linux.close)
        daemon = stack.enter_context(closing(Daemon(directory, "--dbus-address", bus.address, rdp=True)))
        # the machine, and the serial port's console
        wait_until(lambda: len(daemon.status()["vm"]["consoles"]) == 2, "the daemon is attached")
        yield Served(linux, daemon)


async def test_everything_goes_through_one_vnc_connection(served: Served) -> None:
    async with await FullClient.connect(served.daemon.address) as client:
        await client.hear()
        await client.until(lambda: client.agreed, "streams are agreed on")

        # a login on the serial port, and commands there
        stream = await client.open(PORT)
        send, receive = await client.shell(stream)
        who, cards = await run_commands(send, receive, "id -un", "cat /proc/asound/cards")
        assert who.output == USER
        assert "AC97" in cards.output

        # sound
        (played,) = await run_commands(send, receive, f"tone {HERTZ} {SECONDS}")
        assert played.status == 0
        await client.until(lambda: client.streams_of_sound and not client.is_playing, "the sound ends")
        heard = measure(client.played, 44100)
        assert heard.frequency == pytest.approx(HERTZ, rel=0.01)
        assert heard.duration == pytest.approx(SECONDS, rel=0.01)
        assert not heard.gaps

        # text, both ways, by the agent of a desktop
        await run_commands(send, receive, "clip copy 'Grüße aus Linux'")
        await client.until(lambda: client.text == "Grüße aus Linux", "the guest's text is here")
        await client.copy("Grüße\nzurück")
        wanted = "until clip paste | grep -q zurück; do sleep 0.2; done; clip paste"
        (pasted,) = await run_commands(send, receive, wanted)
        assert pasted.output == "Grüße\nzurück"

        # and the screen, exactly
        await client.until(lambda: client.updates > 0, "the screen is there")
        await client.until_shown(await asyncio.to_thread(served.linux.screendump))
        (session,) = served.daemon.sessions()
        assert session["audio"] == "s16/44100/2"
        assert session["audio_drop_outs"] == 0


def typist(x_server: XServer) -> Callable[[bytes], None]:
    """Types at the keyboard what is wanted."""

    def type_text(data: bytes) -> None:
        line, enter, rest = data.decode().partition("\n")
        assert not rest
        if line:
            x_server.run("xdotool", "type", "--delay", "30", line)
        if enter:
            x_server.run("xdotool", "key", "Return")

    return type_text


def test_everything_goes_through_one_rdp_connection(served: Served, short_dir: Path) -> None:
    with ExitStack() as stack:
        pulse = stack.enter_context(closing(PulseAudio(short_dir)))
        x_server = stack.enter_context(closing(XServer(short_dir, "2304x800")))
        x_server.run("xrandr", "--setmonitor", "left", "1152/300x800/200+0+0", "screen")
        x_server.run("xrandr", "--setmonitor", "right", "1152/300x800/200+1152+0", "none")
        options = ("/multimon", "+clipboard", f"/sound:{PATIENT}", CLOSING)
        settings = Settings(served.daemon.rdp, graphics=Graphics.PIPELINE, options=options)
        viewer = stack.enter_context(closing(SoundingFreeRdp(x_server, pulse, settings)))
        find = ("xdotool", "search", "--onlyvisible", "--name", "^speaker0$")
        window = XWindow(x_server, wait_until(lambda: x_server.run(*find).strip(), "its window is there"))

        # the screen on one monitor, the serial port on the other
        screen = served.linux.screendump()
        height, width = screen.shape
        wait_until(lambda: (window.picture()[:height, :width] == screen).all(), "the screen is shown")
        wait_until(lambda: window.picture()[:400, width : width + 640].any(), "there is text")

        # a login there, by the client's own keys; what comes of it is seen by somebody who only watches
        watch = [*COMMAND, "console", "--vnc", f"127.0.0.1:{served.daemon.port}", "--read-only"]
        watcher = Process(watch, short_dir / "watched")
        stack.callback(watcher.stop)
        seen = 0

        def receive() -> bytes:
            nonlocal seen
            data = watcher.log.read_bytes()[seen:]
            seen += len(data)
            return data

        window.click(width + 320, 200)
        shell = Shell(typist(x_server), receive)
        assert shell.check("id -un") == USER

        # text, both ways
        with copied(x_server, "Hallo\nSüden"):
            wanted = "until clip paste | grep -q Hallo; do sleep 1; done; clip paste"
            assert shell.check(wanted) == "Hallo\nSüden"
        shell.check("clip copy from-linux")
        wait_until(lambda: paste(x_server) == "from-linux", "the guest's text is here")

        # sound
        (session,) = [each for each in served.daemon.sessions() if each["protocol"] == "rdp"]
        rate = int(session["audio"].split("/")[1])
        shell.check(f"tone {HERTZ} {SECONDS}")
        wait_until(lambda: "Closing device" in viewer.process.output, "the client has heard the end")
        run = ("--run-dir", str(served.daemon.run_directory))
        subprocess.run([*COMMAND, "disconnect", session["id"], *run], check=True)
        heard = measure(viewer.recording(), rate)
        assert heard.frequency == pytest.approx(HERTZ, rel=0.01)
        assert heard.duration == pytest.approx(SECONDS, rel=0.05)
