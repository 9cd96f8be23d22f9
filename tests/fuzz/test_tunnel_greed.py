"""RDP clients that want more than their share of the clipboard and of sound."""

import asyncio
import struct

from served_guest import until
from served_rdp_guest import served_rdp
from support.rdp_script import Profile
from support.rdp_server_pdus import ChannelData
from support.synthetic_guest import SyntheticGuest

from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.rdp.audio_channels import Compression, audio_channels
from sidecar.rdp.channel_table import ChannelTable
from sidecar.rdp.clipboard_channel import clipboard_channels
from sidecar.rdp.desktop import Desktop

MEGABYTE = 1 << 20
CHANNELS = Profile(channels=("drdynvc", "rdpsnd", "cliprdr"))
UNICODE_TEXT = 13


def clipboard_pdu(kind: int, flags: int, body: bytes = b"") -> bytes:
    return struct.pack("<HHI", kind, flags, len(body)) + body


def sound_message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, 0, len(body)) + body


async def test_answers_about_the_clipboard_that_nobody_reads_do_not_pile_up() -> None:
    guest, channels = SyntheticGuest(), ChannelTable[Desktop]()
    shared = SharedClipboard(guest.clipboard, direction=ClipboardDirection.BOTH)
    channels.add_static("cliprdr", clipboard_channels(shared))
    # in Windows' form four times as long
    guest.clipboard.copy("\n" * MEGABYTE)
    async with served_rdp(guest=guest, channels=channels) as here:
        witness = await here.connect()
        peer = await here.connect(CHANNELS)
        await peer.expect(ChannelData, lambda pdu: pdu.channel == "cliprdr")
        question = peer.channel("cliprdr", clipboard_pdu(4, 0, struct.pack("<I", UNICODE_TEXT)))
        peer.writer.transport.pause_reading()
        peer.send(question * 1000)
        await until(lambda: here.unsent > 4 * MEGABYTE, "it is answered")
        for _ in range(100):
            # one answer while nothing waited, and the one at which the server stopped reading
            assert here.unsent < 9 * MEGABYTE
            await asyncio.sleep(0)
        await here.serves(witness)
        peer.abort()
        await until(lambda: len(here.server.viewers) == 1)
    shared.close()


async def test_waves_that_are_confirmed_and_never_read_do_not_pile_up() -> None:
    guest, channels = SyntheticGuest(), ChannelTable[Desktop]()
    audio_channels(guest.audio, channels, Compression.NEVER)
    async with served_rdp(guest=guest, channels=channels) as here:
        witness = await here.connect()
        liar = await here.connect(CHANNELS)
        await liar.expect(ChannelData, lambda pdu: pdu.channel == "rdpsnd")
        form = struct.pack("<HHIIHHH", 1, 2, 44100, 176_400, 4, 16, 0)
        fields = struct.pack("<IIIHHBHB", 3, 0, 0, 0, 1, 0, 8, 0)
        liar.send(liar.channel("rdpsnd", sound_message(7, fields + form)))
        liar.send(liar.channel("rdpsnd", sound_message(6, bytes(4))))
        await until(lambda: guest.audio.listeners, "it is played to")
        (session,) = [each for each in here.registry if each.audio]
        confirms = [sound_message(5, struct.pack("<HBB", 0, block, 0)) for block in range(256)]
        all_confirmed = b"".join(liar.channel("rdpsnd", confirm) for confirm in confirms)
        liar.writer.transport.pause_reading()
        guest.audio.begin()
        rounds = 0
        while not session.audio_drop_outs or rounds % 100:
            # the system takes some megabytes first
            assert rounds < 10_000
            rounds += 1
            guest.audio.play(bytes(17_640))
            liar.send(all_confirmed)
            await asyncio.sleep(0.001)
            # what it says is read only as long as it reads, and 1.2 s are sent without a confirmation
            assert here.unsent < MEGABYTE
        await here.serves(witness)
        liar.abort()
        await until(lambda: len(here.server.viewers) == 1)
    assert not guest.audio.listeners
