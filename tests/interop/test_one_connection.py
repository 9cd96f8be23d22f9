"""One VNC connection to a Linux guest carries its screen, its sound, its clipboard and a login."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.bus import Bus
from support.daemon import Daemon
from support.full_client import FullClient
from support.linux_guest import USER, LinuxGuest, run_commands
from support.qemu import dbus_display
from support.tone import measure
from support.waiting import wait_until

PORT = "org.qemu.console.serial.0"
RATE, HERTZ, SECONDS = 44100, 440, 2


@pytest.fixture
def linux(short_dir: Path, bus: Bus) -> Iterator[LinuxGuest]:
    directory = short_dir / "linux"
    directory.mkdir()
    with closing(
        LinuxGuest(
            directory, dbus_display(bus.address), kind="agent", serial_ports=1, sound="ac97", clipboard=True
        )
    ) as guest:
        yield guest


async def test_everything_goes_through_one_vnc_connection(
    linux: LinuxGuest, bus: Bus, short_dir: Path
) -> None:
    with closing(await asyncio.to_thread(Daemon, short_dir, "--dbus-address", bus.address)) as daemon:
        await asyncio.to_thread(
            wait_until, lambda: daemon.status()["vm"]["state"] == "attached", "the machine is attached"
        )
        async with await FullClient.connect(daemon.address) as client:
            await client.hear()
            await client.until(lambda: client.agreed, "streams are agreed on")

            # a login on the serial port, and commands there
            stream = await client.open(PORT)
            send, receive = await client.shell(stream)
            (who, cards) = await run_commands(send, receive, "id -un", "cat /proc/asound/cards")
            assert who.output == USER
            assert "AC97" in cards.output

            # sound, while the screen goes on
            tone = f"tone {HERTZ} {SECONDS}"
            (played,) = await run_commands(send, receive, tone)
            assert played.status == 0
            await client.until(lambda: client.streams_of_sound and not client.is_playing, "the sound ends")
            heard = measure(client.played, RATE)
            assert heard.frequency == pytest.approx(HERTZ, rel=0.01)
            assert heard.duration == pytest.approx(SECONDS, rel=0.01)
            assert not heard.gaps

            # text, both ways, by the agent of a real desktop
            await run_commands(send, receive, "clip copy 'Grüße aus Linux'")
            await client.until(lambda: client.text == "Grüße aus Linux", "the guest's text is here")
            await client.copy("Grüße\nzurück")
            wanted = "until clip paste | grep -q zurück; do sleep 0.2; done; clip paste"
            (pasted,) = await run_commands(send, receive, wanted)
            assert pasted.output == "Grüße\nzurück"

            # and the screen, exactly
            await client.until(lambda: client.updates > 0, "the screen is there")
            screen = await asyncio.to_thread(linux.screendump)
            await client.until_shown(screen)
            (session,) = daemon.sessions()
            assert session["audio"] == f"s16/{RATE}/2"
            assert session["audio_drop_outs"] == 0
