"""Random conversations on the RDP channels of sound, microphone and clipboard."""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.synthetic_guest import SyntheticGuest

from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.rdp.audio_channels import Compression, audio_channels
from sidecar.rdp.audio_input_channel import microphone_channels
from sidecar.rdp.channel_table import ChannelHandler, ChannelTable
from sidecar.rdp.clipboard_channel import clipboard_channels
from sidecar.rdp.errors import RemoteError
from sidecar.session.microphone import MicrophonePolicy, Microphones
from sidecar.session.session import Session

SOUND, MICROPHONE, CLIPBOARD = "rdpsnd", "AUDIO_INPUT", "cliprdr"


class Channel:
    """What a handler sends on; it may only while the channel is open."""

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[bytes] = []
        self.has_told = False
        """Whether the client has told what it can record."""

    def send(self, message: bytes) -> None:
        assert self.is_open
        self.sent.append(bytes(message))


class Room:
    """A machine and one session of an RDP client; what a channel takes of a desktop."""

    def __init__(self, taken: list[bytes]) -> None:
        self.taken = taken
        """The formats that the client lists."""
        self.guest = SyntheticGuest()
        self.shared = SharedClipboard(
            self.guest.clipboard, direction=ClipboardDirection.BOTH, between_sessions=True
        )
        self.microphones = Microphones(MicrophonePolicy.LAST)
        self.session = Session(
            "r1", protocol="rdp", transport="tcp", address="", tls=True, connected_at=0, end=lambda _: None
        )
        table: ChannelTable[Any] = ChannelTable()
        audio_channels(self.guest.audio, table, Compression.NEVER)
        microphone_channels(self.guest.microphone, table, self.microphones, linger=0)
        table.add_static(CLIPBOARD, clipboard_channels(self.shared))
        self.handlers: dict[str, ChannelHandler] = dict(table.dynamic_handlers(self))
        for name in (SOUND, CLIPBOARD):
            handler = table.static_handler(name, self)
            assert handler is not None
            self.handlers[name] = handler
        self.channels: dict[str, Channel] = {}
        for name in (SOUND, MICROPHONE, CLIPBOARD):
            self.open(name)

    def flush(self) -> None:
        pass

    def open(self, name: str) -> None:
        if name not in self.channels:
            self.channels[name] = Channel()
            self.handlers[name].opened(self.channels[name])

    def shut(self, name: str) -> None:
        if name in self.channels:
            self.channels.pop(name).is_open = False
            self.handlers[name].closed()

    def reopen(self, handler: ChannelHandler) -> None:
        """Its channel is closed now, and open anew at once or when the client says so."""
        self.channels.pop(MICROPHONE).is_open = False
        self.open(MICROPHONE)

    def say(self, name: str, message: bytes) -> None:
        """The client says that. Raises RemoteError."""
        if name in self.channels and len(message) <= self.handlers[name].max_message:
            self.handlers[name].receive(message)

    def speak(self, message: bytes) -> None:
        """The client says that of its microphone if it was asked to record, or else what comes before."""
        channel = self.channels.get(MICROPHONE)
        if channel is None:
            return
        last = channel.sent[-1]
        if last[0] == 1:
            self.say(MICROPHONE, last)
        elif last[0] == 2 and not channel.has_told:
            channel.has_told = True
            self.say(MICROPHONE, struct.pack("<BII", 2, len(self.taken), 0) + b"".join(self.taken))
        elif last[0] == 3:
            self.say(MICROPHONE, message)

    def close(self) -> None:
        """Ends the session; nothing is left of it."""
        for name in list(self.channels):
            self.shut(name)
        self.shared.close()
        guest = self.guest
        assert not guest.audio.listeners
        assert not len(guest.audio.changes)
        assert not len(guest.microphone.changes)
        assert not len(guest.clipboard.changes)
        assert not len(self.session.view_only_changes)
        assert self.microphones.holder is None
        assert self.session.audio == ""


def look_on(room: Room, view_only: bool) -> None:
    """An administrator takes the session's rights, or gives them back."""
    room.session.view_only = view_only
    room.session.view_only_changes.notify()


u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
audio_format = st.one_of(
    st.sampled_from(
        [struct.pack("<HHIIHHH", 1, 2, rate, 4 * rate, 4, 16, 0) for rate in (44_100, 48_000, 22_050)]
    ),
    st.builds(
        lambda tag, channels, rate: struct.pack("<HHIIHHH", tag, channels, rate, 0, 0, 16, 0),
        st.sampled_from([1, 0xA106, 0x704F, 7]),
        u16,
        st.sampled_from([0, 1, 8000, 44_100, 0xFFFFFFFF]),
    ),
)
formats = st.lists(audio_format, min_size=1, max_size=4)
text = st.one_of(
    st.text(max_size=9).map(lambda each: each.encode("utf-16-le", "replace")), st.binary(max_size=9)
)


def sound(kind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, 0, len(body)) + body


def clipboard(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("<HHI", kind, flags, len(body)) + body


SAYS: dict[str, st.SearchStrategy[bytes]] = {
    SOUND: st.one_of(
        st.builds(lambda stamp, block: sound(5, struct.pack("<HBB", stamp, block, 0)), u16, u8),
        u16.map(lambda quality: sound(12, struct.pack("<HH", quality, 0))),
        st.integers(8, 255).map(lambda kind: sound(kind, bytes(9))),
    ),
    MICROPHONE: st.one_of(
        st.binary(max_size=99).map(lambda data: b"\x06" + data),
        u8.map(lambda number: struct.pack("<BI", 7, number % 5)),
        st.sampled_from([0, -1]).map(lambda result: struct.pack("<Bi", 4, result)),
    ),
    CLIPBOARD: st.one_of(
        st.lists(st.sampled_from([1, 13, 16, 0xC000]), max_size=4).map(
            lambda known: clipboard(2, 0, b"".join(struct.pack("<I", each) + bytes(32) for each in known))
        ),
        st.just(clipboard(3, 1, b"")),
        st.sampled_from([1, 13, 99]).map(lambda known: clipboard(4, 0, struct.pack("<I", known))),
        st.builds(lambda flags, data: clipboard(5, flags, data), st.sampled_from([1, 2]), text),
        u16.map(lambda kind: clipboard(kind | 8, 0, bytes(4))),
    ),
}

Step = Callable[[Room], None]

step: st.SearchStrategy[Step | None] = st.one_of(
    SAYS[SOUND].map(lambda message: lambda room: room.say(SOUND, message)),
    SAYS[CLIPBOARD].map(lambda message: lambda room: room.say(CLIPBOARD, message)),
    SAYS[MICROPHONE].map(lambda message: lambda room: room.speak(message)),
    st.sampled_from([SOUND, CLIPBOARD, MICROPHONE]).map(lambda name: lambda room: room.open(name)),
    st.just(lambda room: room.shut(MICROPHONE)),
    st.one_of(st.none(), st.text(min_size=1, max_size=9)).map(
        lambda copied: lambda room: room.guest.clipboard.copy(copied)
    ),
    st.just(lambda room: room.guest.audio.begin()),
    st.just(lambda room: room.guest.audio.end()),
    st.sampled_from([4, 400, 200_000]).map(lambda size: lambda room: room.guest.audio.play(bytes(size))),
    st.booleans().map(lambda wanted: lambda room: room.guest.microphone.want(wanted)),
    st.booleans().map(lambda value: lambda room: look_on(room, value)),
    st.none(),
)

junk = st.tuples(st.sampled_from([SOUND, MICROPHONE, CLIPBOARD]), st.binary(max_size=40))


async def converse(taken: list[bytes], steps: list[Step | None], end: tuple[str, bytes]) -> None:
    room = Room(taken)
    before = asyncio.all_tasks()
    with contextlib.suppress(RemoteError):
        fields = struct.pack("<IIIHHBHB", 3, 0, 0, 0, len(taken), 0, 8, 0)
        room.say(SOUND, sound(7, fields + b"".join(taken)))
        room.say(SOUND, sound(6, bytes(4)))
        for each in steps:
            if each is None:
                await asyncio.sleep(0)
            else:
                each(room)
        room.say(*end)
    room.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(formats, st.lists(step, min_size=20, max_size=50), junk)
def test_whatever_is_said_nothing_fails_and_nothing_is_left(
    taken: list[bytes], steps: list[Step | None], end: tuple[str, bytes]
) -> None:
    asyncio.run(converse(taken, steps, end))
