"""FreeRDP plays what the machine plays, and the machine records what FreeRDP's microphone hears."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import numpy as np
import pytest
import uvloop
from support.bus import Bus
from support.freerdp import Settings, program
from support.freerdp_sound import HUM, PATIENT, PulseAudio, SoundingFreeRdp
from support.rdp_house import RdpHouse, house
from support.synthetic_guest import SyntheticAudio, SyntheticMicrophone
from support.tone import measure, tone_qemu
from support.viewers import XServer
from support.waiting import eventually

from sidecar.qemu.attach import BusAttach
from sidecar.qemu.guest import QemuGuest
from sidecar.rdp.audio_channels import AudioChannel, Compression, audio_channels
from sidecar.rdp.audio_input_channel import MicrophoneChannel, microphone_channels
from sidecar.rdp.channel_table import (
    ChannelTable,
    DynamicChannelHandler,
    MessageSender,
    StaticChannelHandler,
)
from sidecar.rdp.desktop import Desktop
from sidecar.session.microphone import Microphones
from sidecar.session.session import Session

# libuv keeps two pipes for the whole process from its first loop on, which `house` would miss at the end
uvloop.new_event_loop().close()

BOTH = f"/sound:{PATIENT}"
"""The client has the static channel and the dynamic one."""

LOG = "/log-filters:com.freerdp.channels.rdpsnd.client:DEBUG"

DYNAMIC = f"/dvc:rdpsnd,{PATIENT}"
"""The dynamic channel alone. Version 3 has the static one too then, and is served there."""

SAMPLES = {"s16/48000/2"}
COMPRESSED = {"aac/44100/2", "opus/48000/2"}
"""What the client may be sent; version 2 has no Opus."""


class Table(ChannelTable[Desktop]):
    """Knows the only handler for sound, and how many seconds of it that one was given.

    `opened`: how often the channel of the microphone was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels: dict[str, AudioChannel] = {}
        self.seconds = 0.0
        self.opened = 0

    def static_handler(self, name: str, context: Desktop) -> StaticChannelHandler | None:
        handler = super().static_handler(name, context)
        self._watch(name, handler)
        return handler

    def dynamic_handlers(self, context: Desktop) -> Iterator[tuple[str, DynamicChannelHandler]]:
        for name, handler in super().dynamic_handlers(context):
            self._watch(name, handler)
            yield name, handler

    def _watch(self, name: str, handler: object) -> None:
        if isinstance(handler, MicrophoneChannel):
            open_channel = handler.opened

            def opened(channel: MessageSender) -> None:
                open_channel(channel)
                self.opened += 1

            handler.opened = opened  # type: ignore[method-assign]
        if isinstance(handler, AudioChannel):
            self.channels[name] = handler
            handle = handler.heard

            def heard(data: bytes, seconds: float) -> None:
                handle(data, seconds)
                self.seconds += seconds

            handler.heard = heard  # type: ignore[method-assign]


@pytest.fixture
def pulse(short_dir: Path) -> Iterator[PulseAudio]:
    """A sound server."""
    with closing(PulseAudio(short_dir)) as server:
        yield server


@asynccontextmanager
async def running(guest: QemuGuest) -> AsyncIterator[None]:
    """The guest has sound."""
    task = asyncio.create_task(guest.run())
    try:
        await eventually(lambda: guest.audio.is_there, "the machine's sound is there")
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def connected(
    here: RdpHouse, x_server: XServer, pulse: PulseAudio, options: Sequence[str]
) -> AsyncIterator[tuple[SoundingFreeRdp, Session]]:
    """A client and its session."""
    client = SoundingFreeRdp(x_server, pulse, Settings(("127.0.0.1", here.port), options=options))
    try:
        await eventually(lambda: here.registry.count() == 1, "the client is in")
        (session,) = here.registry
        yield client, session
    finally:
        await asyncio.to_thread(client.close)


async def play_tone(audio: SyntheticAudio, table: Table, hertz: int, seconds: float) -> None:
    """As fast as encoder and client take it, whatever the machine of the test is busy with."""
    ((form, _),) = audio.listeners
    (channel,) = table.channels.values()
    frames = form.rate // 50
    audio.begin()
    for start in range(0, int(seconds * form.rate), frames):
        at = np.arange(start, start + frames) / form.rate
        audio.play(np.repeat((8000 * np.sin(2 * np.pi * hertz * at)).astype("<i2"), form.channels).tobytes())
        # encoders look ahead
        due = start / form.rate - 0.06
        await eventually(lambda due=due: table.seconds >= due and channel.behind < 0.1, "they keep up")
    audio.end()


CHANNELS = [pytest.param(BOTH, "rdpsnd", id="static")]
if program()[1] == 2:
    CHANNELS.append(pytest.param(DYNAMIC, "AUDIO_PLAYBACK_DVC", id="dynamic"))


@pytest.mark.parametrize(
    ("compression", "forms"),
    [(Compression.NEVER, SAMPLES), (Compression.ALWAYS, COMPRESSED)],
    ids=["samples", "compressed"],
)
@pytest.mark.parametrize(("option", "name"), CHANNELS)
async def test_the_client_plays_the_tone(
    x_server: XServer, pulse: PulseAudio, option: str, name: str, compression: Compression, forms: set[str]
) -> None:
    audio, table = SyntheticAudio(), Table()
    audio_channels(audio, table, compression)
    async with (
        house(channels=table) as here,
        connected(here, x_server, pulse, [option, LOG]) as (client, session),
    ):
        await eventually(lambda: session.audio, "the client listens")
        assert session.audio in forms
        assert list(table.channels) == [name]
        await play_tone(audio, table, 440, 2.0)
        rate = int(session.audio.split("/")[1])
        await eventually(lambda: "Closing device" in client.process.output, "the client has heard the end")
        here.registry.end(session.id)
        heard = measure(await asyncio.to_thread(client.recording), rate)
        assert heard.frequency == pytest.approx(440, rel=0.01)
        assert heard.duration == pytest.approx(2.0, rel=0.01)
        assert not heard.gaps
        assert session.audio_drop_outs == 0


async def test_the_client_plays_what_a_real_machine_plays(
    bus: Bus, short_dir: Path, x_server: XServer, pulse: PulseAudio
) -> None:
    guest, table = QemuGuest(BusAttach(bus.address)), Table()
    audio_channels(guest.audio, table, Compression.NEVER)
    with tone_qemu(short_dir, bus.address) as machine:
        async with house(channels=table) as here, running(guest):
            for _ in range(5):
                async with connected(here, x_server, pulse, [BOTH, LOG]) as (client, session):
                    await eventually(lambda session=session: session.audio, "the client listens")
                    machine.play(440, 2.0)
                    await asyncio.to_thread(machine.wait)
                    await eventually(
                        lambda client=client: "Closing device" in client.process.output, "the sound has ended"
                    )
                    here.registry.end(session.id)
                    heard = measure(await asyncio.to_thread(client.recording), 48_000)
                # a machine plays on while its listener waits for the processor, and that one misses something
                if not session.audio_drop_outs:
                    break
            assert session.audio_drop_outs == 0
            assert heard.frequency == pytest.approx(440, rel=0.01)
            assert heard.duration == pytest.approx(2.0, rel=0.01)
            assert not heard.gaps


async def test_the_machine_records_the_clients_microphone(x_server: XServer, pulse: PulseAudio) -> None:
    microphone, table = SyntheticMicrophone(), Table()
    microphone_channels(microphone, table, Microphones(), linger=0.0)
    async with (
        house(channels=table) as here,
        connected(here, x_server, pulse, ["/microphone:sys:pulse"]) as (_, session),
    ):
        await eventually(lambda: session.microphone, "the client could speak")
        for time in (1, 2):
            microphone.want(True)
            await eventually(
                lambda: sum(len(data) for _, data in microphone.heard) > 192_000, "a second of it"
            )
            microphone.want(False)
            await eventually(lambda time=time: table.opened == time + 1, "the client has stopped")
            (form,) = {form for form, _ in microphone.heard}
            samples = np.frombuffer(b"".join(data for _, data in microphone.heard), "<i2")
            heard = measure(samples.reshape(-1, form.channels), form.rate)
            assert heard.frequency == pytest.approx(HUM, rel=0.01)
            microphone.heard.clear()
