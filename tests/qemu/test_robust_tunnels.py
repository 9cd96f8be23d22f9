"""The daemon as a process before a real QEMU with sound, serial ports and a clipboard, among clients and
guests that abuse them; see `abused_daemon` for what is bounded by what.
"""

import asyncio
import contextlib
import re
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from abused_daemon import SESSION, STREAM, Crowd, Watch, faulted, lines_of, nothing_is_left, resources, say
from numpy.typing import NDArray
from support import rfb_wire
from support.bus import Bus
from support.daemon import Daemon
from support.full_client import EXTENDED_CLIPBOARD, NOTIFY, PROVIDE, REQUEST, TEXT, FullClient
from support.qemu import Qemu, dbus_display
from support.rdp_client_pdus import FIRST_CHUNK, send_data
from support.rdp_rough_client import RoughClient
from support.rdp_script import Profile
from support.rdp_server_pdus import ChannelData
from support.rfb_client import AsyncRfbClient
from support.rfb_wire import Encoding, cut_text, extended_cut_text
from support.stream_client import CLOSE, CREDIT, DATA, HISTORY, OPEN, STREAMS, WRITE
from support.tone import Tone, measure, tone_qemu
from support.vdagent import VdAgent, vdagent_device
from support.waiting import DEADLINE, eventually, wait_until

from sidecar.screen.surface import Surface
from sidecar.terminal.emulator import Emulator
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

MEGABYTE = 1 << 20
SERIAL = "org.qemu.console.serial.0"
FLOOD = b"\1"

PORTS = (
    *("-chardev", f"dbus,id=serial0,name={SERIAL}", "-serial", "chardev:serial0"),
    *("-chardev", f"dbus,id=serial1,name={SERIAL}", "-serial", "chardev:serial1"),
)

CTRL, ALT = 0xFFE3, 0xFFE9

END = b"\x18\x1b\\\x1bc"
"""Ends whatever a terminal is in, and clears it."""


def stream_message(operation: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBHI", 181, operation, stream, len(body)) + body


def opened(stream: int, flags: int, credit: int) -> bytes:
    return stream_message(OPEN, stream, struct.pack(">BI", flags, credit))


@pytest.fixture
def serial_qemu(start_qemu: Callable[..., Qemu], bus: Bus, short_dir: Path) -> Qemu:
    """A machine with two serial ports that repeats what is said to it, see `guest/serial.asm`."""
    image = short_dir / "serial.img"
    source = Path(__file__).parent / "guest" / "serial.asm"
    subprocess.run(["nasm", "-f", "bin", "-o", str(image), str(source)], check=True)
    return start_qemu(dbus_display(bus.address), image=image, extra=PORTS)


@pytest.fixture
def start_daemon(bus: Bus, short_dir: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts the daemon; it must end well, and without complaint, after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, **more: Any) -> Daemon:
            daemon = Daemon(short_dir, "--dbus-address", bus.address, *options, **more)
            stack.callback(daemon.close)
            return daemon

        yield start


def terminal(output: bytes) -> NDArray[np.uint32]:
    """What a text console shows after that."""
    size = TerminalSize()
    surface = Surface(size.columns * 8, size.rows * 16)
    emulator = Emulator(surface, size, TextEncoding.UTF_8)
    emulator.feed(bytearray(output), 1.0, lambda: 0.0)
    emulator.draw()
    return surface.frame.pixels


HOSTILE = {
    "hundreds of parameters": b"\x1b[" + b"1;" * 300 + b"m",
    "a number without end": b"\x1b[" + b"9" * 600 + b"C",
    "a title without end": b"\x1b]0;" + b"t" * 600 + b"\x18",
    "device control": b"\x1bP$qm\x1b\\" * 40,
    "questions": b"\x1b[c\x1b[>c\x1b[5n\x1b[6n\x1b[?15n\x1b]10;?\x07\x05" * 15,
    "other sizes": b"\x1b[8;9999;9999t\x1b[?3h\x1b[?40h\x1b[4;65535;65535t" * 12,
    "repeated a billion times": b"x\x1b[1000000000b" * 30,
    "screens": b"\x1b[?1049h\x1b[?47h\x1b[?1048h\x1b7\x1b[?1049l" * 15,
    "scrolled": b"\x1b[1;25r\x1b[9999S\x1b[9999T\x1b[9999L\x1b[9999M\x1b[9999@\x1b[9999P" * 12,
    "accents": b"a" + b"\xcc\x81" * 200,
    "what is no text": bytes(range(0x80, 0x100)) * 4,
}
"""What a guest says that means harm; more of it is in tests/unit/terminal: this one says 10 KB a second."""


async def all_answered(daemon: Daemon, data: bytes) -> None:
    """Somebody says that, which is messages that open and close streams, and reads until all are answered."""
    reader, writer = await asyncio.open_connection(*daemon.address)
    writer.write(b"RFB 003.008\n\x01\x01" + rfb_wire.set_encodings((STREAMS,)) + data)
    left = data.count(b"\xb5\x02") * len(opened(0, 0, 0))
    try:
        async with asyncio.timeout(4 * DEADLINE):
            while left > 0:
                came = await reader.read(1 << 16)
                assert came
                left -= len(came)
    finally:
        writer.close()


async def shows_text(client: AsyncRfbClient, text: NDArray[np.uint32]) -> None:
    await client.until(
        lambda: client.values.shape == text.shape and client.shows(text), "the console shows what came last"
    )


async def test_escape_floods_and_clients_that_abuse_streams(
    start_daemon: Callable[..., Daemon], serial_qemu: Qemu
) -> None:
    daemon = start_daemon("--max-sessions", "100")
    await eventually(lambda: len(daemon.status()["vm"]["consoles"]) == 3, "the daemon is attached")
    async with contextlib.AsyncExitStack() as clients:
        good = await clients.enter_async_context(await FullClient.connect(daemon.address))
        stream = await good.open(SERIAL)
        await good.follow(lambda: stream.flags & WRITE, "the client may write")

        watch = Watch(daemon)

        async def pours(data: bytes, mark: bytes) -> None:
            """Has the guest say that, and somebody hear it."""
            await good.write(stream, data + mark)
            await good.follow(lambda: mark in stream.data, "the guest says it all")
            watch.look()

        # nobody looks at the console
        await pours(b"".join(HOSTILE.values()), END + b"unseen\r\n")
        # somebody does
        viewer = await clients.enter_async_context(
            await AsyncRfbClient.connect(
                daemon.address, encodings=(Encoding.TIGHT, Encoding.EXTENDED_DESKTOP_SIZE)
            )
        )
        keys = (CTRL, ALT, ord("2"))
        strokes = [(key, True) for key in keys] + [(key, False) for key in reversed(keys)]
        await viewer.send(b"".join(rfb_wire.key_event(*stroke) for stroke in strokes))
        await shows_text(viewer, terminal(b"unseen\r\n"))
        for number, data in enumerate(HOSTILE.values()):
            said = END + b"seen %d\r\n" % number
            await pours(data, said)
            await shows_text(viewer, terminal(said))

        before = resources(daemon)

        # output without end, and all kinds of clients at it
        await good.write(stream, FLOOD)
        crowd = clients.enter_context(Crowd(daemon))
        opens, closes = opened(1, 0, 0), stream_message(CLOSE, 1, b"\0\0\0")
        curious = (opened(0, HISTORY, 0) + stream_message(CLOSE, 0, b"\0\0\0")) * 3000
        for _ in range(10):
            crowd.join((STREAMS,), opened(0, HISTORY, 0))
            crowd.join((STREAMS,), opened(0, WRITE | HISTORY, 1 << 31) + opened(1, 0, 0xFFFFFFFF))
        crowd.join((STREAMS,), curious)
        crowd.join((STREAMS,), (opens + closes) * 65536)
        misers = [crowd.join((STREAMS,), opened(0, HISTORY, 0)) for _ in range(3)]
        wrong = (
            ("oversized", opened(1, WRITE, 0) + stream_message(DATA, 1, bytes(16385))),
            ("malformed", opened(0x1234, 0, 0)),
            ("malformed", opens * 2),
            ("oversized", struct.pack(">BBHI", 181, DATA, 0, 65537)),
        )
        faulty = [(cause, crowd.join((STREAMS,), data).getsockname()[1]) for cause, data in wrong]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(all_answered(daemon, curious))
            tasks.create_task(all_answered(daemon, (opens + closes) * 65536))
            for _ in range(4):
                for client in misers:
                    say(client, stream_message(CREDIT, 0, b"\0\0\0\1") * 100)
                heard, updates = len(stream.data) + 10_000, good.updates
                await good.follow(lambda heard=heard: len(stream.data) > heard, "the flood goes on")
                await good.follow(lambda updates=updates: good.updates > updates, "and the picture")
                await watch.answers()
        for cause, port in faulty:
            await faulted(daemon, port, cause)

        # the machine ends in the midst of it, and comes back
        await asyncio.to_thread(serial_qemu.kill)
        await good.follow(lambda: not stream.flags & WRITE, "nobody may write")
        await watch.answers()
        await asyncio.to_thread(serial_qemu.start)
        await good.follow(lambda: stream.flags & WRITE, "the machine is back")
        await pours(b"", END + b"again\r\n")
        await shows_text(viewer, terminal(END + b"again\r\n"))
        # of some 40 streams and 30 sessions, and what the first text console loads
        assert watch.most < 40 * STREAM + 30 * SESSION + 20 * MEGABYTE
        crowd.close()
        await eventually(lambda: len(daemon.sessions()) == 2, "only those two are left")
        await nothing_is_left(daemon, before)


CAPS, PEEK = 1 << 24, 1 << 26

ENABLE, DISABLE = struct.pack(">BBH", 255, 1, 0), struct.pack(">BBH", 255, 1, 1)
U8, S32 = 0, 5
IMPOSSIBLE = (
    (U8, 2, 0),
    (U8, 2, 0xFFFFFFFF),
    (S32, 2, 48_001),
    (6, 1, 8000),
    (255, 1, 8000),
    (U8, 0, 8000),
    (U8, 255, 8000),
)
"""Numbers of a sample's form, channels, rates."""

CHANNELS = Profile(channels=("drdynvc", "rdpsnd", "cliprdr"))


def audio_form(sample: int, channels: int, rate: int) -> bytes:
    return struct.pack(">BBHBBI", 255, 1, 2, sample, channels, rate)


def sound_message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, 0, len(body)) + body


def sound_formats(count: int, *rates: int) -> bytes:
    """What an RDP client says that it takes: so many formats, of which those with these rates follow."""
    pcm = [struct.pack("<HHIIHHH", 1, 2, rate, 4 * rate & 0xFFFFFFFF, 4, 16, 0) for rate in rates]
    return sound_message(7, struct.pack("<IIIHHBHB", 3, 0, 0, 0, count, 0, 8, 0) + b"".join(pcm))


@pytest.fixture
def tone(bus: Bus, short_dir: Path) -> Iterator[Tone]:
    """A machine that plays tones and has a clipboard, see `support.tone` and `support.vdagent`."""
    with tone_qemu(short_dir, bus.address, extra=vdagent_device(short_dir)) as tone:
        yield tone


async def keeps_playing(tone: Tone) -> None:
    """The machine plays tones until this is cancelled."""
    while True:
        tone.play(440, 20)
        await eventually(lambda: re.search("^CARD$", tone.com1.read(), re.MULTILINE), "it plays it all", 90)


async def is_heard(client: FullClient) -> None:
    """What `keeps_playing` plays is what the client hears."""
    await client.until(lambda: client.is_playing, "the machine is heard")
    heard, half = len(client.played), 22_050
    await client.until(lambda: len(client.played) >= heard + half, "it goes on")
    assert measure(client.played[heard : heard + half], 2 * half).frequency == pytest.approx(440, rel=0.02)


async def joined(clients: contextlib.AsyncExitStack, daemon: Daemon, channel: str) -> RoughClient:
    """An RDP client, when the server has spoken on that static channel."""
    peer = await clients.enter_async_context(await RoughClient.connect(*daemon.rdp, CHANNELS))
    await peer.expect(ChannelData, lambda pdu: pdu.channel == channel)
    return peer


async def test_clients_that_abuse_sound(start_daemon: Callable[..., Daemon], tone: Tone) -> None:
    daemon = start_daemon("--max-sessions", "100", rdp=True)
    async with contextlib.AsyncExitStack() as clients:
        good = await clients.enter_async_context(await FullClient.connect(daemon.address))
        await good.hear()
        await eventually(lambda: daemon.status()["vm"]["state"] == "attached", "the daemon is attached")
        playing = asyncio.create_task(keeps_playing(tone))
        clients.callback(playing.cancel)
        await is_heard(good)
        before, watch = resources(daemon), Watch(daemon)
        crowd = clients.enter_context(Crowd(daemon))

        # VNC: those who never read, and those who cannot decide
        sounding = (Encoding.QEMU_AUDIO,)
        for number in range(40):
            crowd.join(sounding, audio_form(S32, 2, 8000 + 1000 * number) + ENABLE)
        for number in range(5):
            forms = [audio_form(U8, 1, rate) for rate in range(1 + number, 48_001, 16)]
            crowd.join(sounding, ENABLE + b"".join(forms) + (DISABLE + ENABLE) * 10_000)
        stuffed = [
            crowd.join((Encoding.RAW, *sounding), audio_form(S32, 2, 48_000) + ENABLE) for _ in range(10)
        ]
        addresses = {f"127.0.0.1:{client.getsockname()[1]}" for client in stuffed}
        deaf: set[str] = set()
        async with asyncio.timeout(4 * DEADLINE):
            while deaf != addresses:
                for client in stuffed:
                    # until the system takes no more for them
                    say(client, rfb_wire.update_request(False, 0, 0, 65535, 65535))
                heard = len(good.played) + 4410
                await good.until(lambda heard=heard: len(good.played) > heard, "others hear it")
                listed = await asyncio.to_thread(daemon.sessions)
                deaf = {each["address"] for each in listed if each["audio_drop_outs"]} & addresses
                watch.look()

        # and what makes no sense
        for form in IMPOSSIBLE:
            port = crowd.join(sounding, ENABLE + audio_form(*form)).getsockname()[1]
            await faulted(daemon, port, "malformed")
        port = crowd.join(sounding, ENABLE + audio_form(U8, 1, 1)).getsockname()[1]
        (line,) = await eventually(lambda: lines_of(daemon, port), "a rate that nobody can play is logged")
        assert "sound is not played" in line

        # RDP
        peers = [await joined(clients, daemon, "rdpsnd") for _ in range(7)]
        endless, twice, early, *liars = peers
        endless.send(endless.channel("rdpsnd", sound_formats(65535, 44100)))
        await faulted(daemon, endless.port, "malformed")
        twice.send(twice.channel("rdpsnd", sound_formats(1, 44100)) * 2)
        await faulted(daemon, twice.port, "unexpected")
        # speaks before it was asked to
        early.send(early.dynamic_capabilities())
        async with asyncio.timeout(DEADLINE):
            while "AUDIO_INPUT" not in early.reader.asked.values():
                await early.hear()
        (asked,) = [number for number, name in early.reader.asked.items() if name == "AUDIO_INPUT"]
        early.send(early.dynamic_create_response(asked))
        early.send(early.dynamic_data(asked, b"\x06" + bytes(1500)))
        await faulted(daemon, early.port, "unexpected")
        for liar in liars:
            liar.send(liar.channel("rdpsnd", sound_formats(3, 0, 0xFFFFFFFF, 44100)))
            liar.send(liar.channel("rdpsnd", sound_message(6, bytes(4))))
            confirms = [struct.pack("<HBB", 251 * wave & 0xFFFF, wave & 0xFF, 0) for wave in range(3000)]
            liar.send(b"".join(liar.channel("rdpsnd", sound_message(5, confirm)) for confirm in confirms))
        await watch.answers()
        await is_heard(good)

        # the machine ends in the midst of it; the next one is heard too
        playing.cancel()
        await asyncio.to_thread(tone.kill)
        await good.until(lambda: not good.is_playing, "it has ended")
        await watch.answers()
        await asyncio.to_thread(tone.start)
        await eventually(lambda: daemon.status()["vm"]["state"] == "attached", "the machine is back")
        playing = asyncio.create_task(keeps_playing(tone))
        clients.callback(playing.cancel)
        await is_heard(good)
        await watch.answers()
        # sessions, and what resamples; pictures under way for those who asked for them
        assert watch.most < 80 * SESSION + 10 * 3 * MEGABYTE + 20 * MEGABYTE
        crowd.close()
        for peer in peers:
            peer.abort()
        await eventually(lambda: len(daemon.sessions()) == 1, "only the good one is left")
        await nothing_is_left(daemon, before)


def provided(content: bytes) -> bytes:
    """An extended clipboard message that provides that as text."""
    return extended_cut_text(PROVIDE | TEXT, zlib.compress(struct.pack(">I", len(content)) + content, 9))


def clipboard_pdu(kind: int, flags: int, body: bytes = b"") -> bytes:
    return struct.pack("<HHI", kind, flags, len(body)) + body


async def test_clipboard_bombs(start_daemon: Callable[..., Daemon], tone: Tone, short_dir: Path) -> None:
    daemon = start_daemon("--max-sessions", "100", "--share-clipboard", rdp=True)
    async with contextlib.AsyncExitStack() as clients:
        agent = clients.enter_context(contextlib.closing(VdAgent(short_dir)))
        await asyncio.to_thread(agent.start)
        good = await clients.enter_async_context(await FullClient.connect(daemon.address))
        await eventually(lambda: daemon.status()["vm"]["state"] == "attached", "the daemon is attached")
        await asyncio.to_thread(agent.copy, "the guest's secret")
        await asyncio.to_thread(agent.run_until_requested)
        await good.until(lambda: good.text == "the guest's secret", "what the guest copied is here")
        before, watch = resources(daemon), Watch(daemon)
        crowd = clients.enter_context(Crowd(daemon))

        bomb, burst = provided(b"A" * (MEGABYTE - 1)), provided(b"A" * (64 * MEGABYTE))
        assert len(bomb) < 2048
        asks = [extended_cut_text(action | TEXT) for action in (NOTIFY, PEEK, REQUEST)]
        harmless = (
            bomb * 20,
            provided(bytes(MEGABYTE - 1)) * 20,
            burst * 5,
            cut_text(b"A" * (8 * MEGABYTE)),
            cut_text(b"A" * MEGABYTE) * 4,
            *((ask * 1000) for ask in asks),
            extended_cut_text(CAPS | 0xFFFF, b"\xff" * 64) * 1000,
        )
        for data in harmless:
            crowd.join((EXTENDED_CLIPBOARD,), data)
        faulty = (
            extended_cut_text(PROVIDE | TEXT, b"no zlib data"),
            extended_cut_text(PROVIDE | TEXT, zlib.compress(b"\xff" * 99)),
            extended_cut_text(NOTIFY | PROVIDE | TEXT),
            extended_cut_text(CAPS | TEXT),
            struct.pack(">Bxxxi", 6, -1) + bytes(9),
        )
        for data in faulty:
            port = crowd.join((EXTENDED_CLIPBOARD,), data).getsockname()[1]
            await faulted(daemon, port, "malformed")
        await watch.answers()

        # RDP
        peers = [await joined(clients, daemon, "cliprdr") for _ in range(6)]
        huge, listed, short, *rude = peers
        # two gigabytes are announced, of which the first megabytes come: dropped as they come
        for flags in (FIRST_CHUNK, *[0] * 4000):
            chunk = struct.pack("<II", 0x7FFFFFFF, flags) + bytes(1600)
            huge.send(send_data(huge.user, huge.channels["cliprdr"], chunk))
        listed.send(listed.channel("cliprdr", clipboard_pdu(2, 0, bytes(36) * 2000)))
        await faulted(daemon, listed.port, "oversized")
        short.send(short.channel("cliprdr", struct.pack("<HHI", 5, 1, 1 << 31) + bytes(99)))
        await faulted(daemon, short.port, "truncated")
        for peer in rude:
            # what nobody asked for, lists without end, and questions whose answers are not read
            peer.send(peer.channel("cliprdr", clipboard_pdu(5, 1, b"A\0" * 100_000)) * 5)
            peer.send(peer.channel("cliprdr", clipboard_pdu(2, 0, struct.pack("<I", 13) + bytes(32))) * 1000)
            peer.send(peer.channel("cliprdr", clipboard_pdu(4, 0, struct.pack("<I", 13))) * 1000)
        await watch.answers()
        # a text that has come in part for each session, four times as long in RDP, and what is loaded for it
        assert watch.most < len(harmless) * (SESSION + MEGABYTE) + len(peers) * 5 * MEGABYTE + 20 * MEGABYTE
        crowd.close()
        for peer in peers:
            peer.abort()
        await eventually(lambda: len(daemon.sessions()) == 1, "only the good one is left")
        await nothing_is_left(daemon, before)

        # text goes both ways as before, and none of it was ever logged
        def is_pasted() -> None:
            agent.run_until_offered()
            wait_until(lambda: agent.paste() == "a client's secret", "the last text is pasted")

        pasting = asyncio.create_task(asyncio.to_thread(is_pasted))
        await good.copy("a client's secret")
        await good.until(pasting.done, "somebody pastes what was copied", 4 * DEADLINE)
        await pasting
        assert "secret" not in daemon.process.output
        assert "AAAA" not in daemon.process.output
