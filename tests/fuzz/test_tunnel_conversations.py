"""Random conversations about sound, clipboard and serial ports: what a client is told always makes sense."""

import asyncio
import contextlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import rfb_wire
from support.full_client import EXTENDED_CLIPBOARD, FullClient
from support.rfb_session import Needs
from support.rfb_wire import Encoding
from support.stream_client import CLOSE, CREDIT, DATA, OPEN, STREAMS
from support.synthetic_guest import SyntheticGuest, SyntheticPort

from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.encode.pixel_form import CANONICAL
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.session import Session
from sidecar.vnc.audio import audio_tunnel
from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.connection import ServerConnection
from sidecar.vnc.cut_text import clipboard_tunnel
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.events import SetEncodings
from sidecar.vnc.handshake import Security
from sidecar.vnc.streams import streams_tunnel
from sidecar.vnc.tunnel import Line
from sidecar.vnc.wire import SecurityType

OFFERED = ALWAYS_OFFERED | Extension.QEMU_AUDIO | Extension.EXTENDED_CLIPBOARD | Extension.STREAMS
ALL = (Encoding.QEMU_AUDIO, EXTENDED_CLIPBOARD, STREAMS)
ENABLE = struct.pack(">BBH", 255, 1, 0)
NAMES = ("org.qemu.console.serial.0", "serial1", "serial2")
MOST_ANSWERED = 64
"""Bytes of the longest answer, but for texts and serial output, which wait for one who does not read."""


class Listener(FullClient):
    """Follows what the server says, and fails where that makes no sense."""

    def __init__(self) -> None:
        super().__init__()
        self.encodings = (*self.encodings, *ALL)
        self.credit_of: dict[int, int] = {}
        """What the streams that are open may still send."""
        self._withdrawn: set[int] = set()

    def hear(self, message: bytes) -> None:  # type: ignore[override]
        """Takes a whole message."""
        steps, rest = self.message(), message
        needed = next(steps)
        try:
            while True:
                assert needed <= len(rest)
                part, rest = rest[:needed], rest[needed:]
                needed = steps.send(part)
        except StopIteration:
            assert not rest

    def _audio(self) -> Needs:
        kind, operation = yield from self.unpack(">BH")
        assert kind == 1
        if operation == 2:
            assert self.is_playing
            (length,) = yield from self.unpack(">I")
            yield from self.needs(length)
        else:
            assert self.is_playing is (operation == 0)
            self.is_playing = operation == 1

    def _followed(self, operation: int, number: int, body: bytes) -> None:
        if operation == CLOSE and number in self._withdrawn:
            assert body[0] == 1
            return
        assert number not in self._withdrawn
        if operation == 1:
            self._withdrawn.add(number)
            self.credit_of.pop(number, None)
        elif operation == DATA:
            self.credit_of[number] -= len(body)
            assert self.credit_of[number] >= 0
        super()._followed(operation, number, body)
        self.outgoing.clear()


class House:
    """A guest, and one session of a client that need not read."""

    def __init__(self) -> None:
        self.guest = SyntheticGuest()
        self.ports = [SyntheticPort(name) for name in NAMES]
        for port in self.ports[:2]:
            self.guest.add_port(port)
        self.lines = SerialLines(self.guest, write=WritePolicy.ONE)
        self.shared = SharedClipboard(
            self.guest.clipboard, direction=ClipboardDirection.BOTH, between_sessions=True
        )
        self.session = Session(
            "v1", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
        )
        self.connection = ServerConnection(Security((SecurityType.NONE,), bytes), offered=OFFERED)
        list(self.connection.receive(b"RFB 003.008\n\x01\x01"))
        self.connection.send_server_init(64, 64, CANONICAL, "test")
        self.listener = Listener()
        self.waits = False
        self.queued = 0
        self.unread = 0
        """Bytes written since the client does not read."""
        line = Line(self.session, self._write, lambda: self.queued)
        makers = (audio_tunnel(self.guest.audio), clipboard_tunnel(self.shared), streams_tunnel(self.lines))
        self.tunnels = [make(line) for make in makers]
        self.handlers: dict[type, Callable[[Any], None]] = {}
        for tunnel in self.tunnels:
            self.handlers.update(tunnel.handlers)

    def _write(self, message: bytes) -> None:
        self.session.bytes_sent += len(message)
        if self.waits:
            self.queued += len(message)
            self.unread += len(message)
        self.listener.hear(message)

    def say(self, data: bytes) -> None:
        """The client says that. Raises RemoteError."""
        self.unread = 0
        count = 0
        for event in self.connection.receive(data):
            count += 1
            if isinstance(event, SetEncodings):
                for tunnel in self.tunnels:
                    tunnel.agreed(event.capabilities, event.owed)
                if Extension.QEMU_AUDIO not in event.capabilities.extensions:
                    # such a client is not told that a sound has ended
                    self.listener.is_playing = False
            elif handler := self.handlers.get(type(event)):
                handler(event)
        # a list of encodings has an announcement for each port that there is
        assert self.unread <= MOST_ANSWERED * (count + len(NAMES))

    def happen(self, what: Callable[["House"], None]) -> None:
        """Something comes about that is not the client's doing: nothing for one who does not read."""
        self.unread = 0
        what(self)
        # but the credit for what it had written, and the question what it has copied
        assert self.unread <= MOST_ANSWERED

    def read(self, reads: bool) -> None:
        """The client goes on reading, or stops."""
        if reads is self.waits:
            self.waits = not reads
            if reads:
                self.queued = 0
            for tunnel in self.tunnels:
                tunnel.ready() if reads else tunnel.wait()

    def open(self, number: int, flags: int, credit: int) -> None:
        """Opens a stream, and knows what it may be sent."""
        if number in self.listener.credit_of and flags != 255:
            # with these flags it breaks the protocol
            self.shut(number)
        self.listener.credit_of.setdefault(number, credit)
        self.say(stream(OPEN, number, struct.pack(">BI", flags, credit)))

    def pay(self, number: int, credit: int) -> None:
        """Gives credit for a stream that may be open."""
        if number in self.listener.credit_of:
            self.listener.credit_of[number] += credit
        self.say(stream(CREDIT, number, struct.pack(">I", credit)))

    def shut(self, number: int) -> None:
        """Closes a stream that may be open."""
        self.say(stream(CLOSE, number, b"\0\0\0"))
        self.listener.credit_of.pop(number, None)

    def close(self) -> None:
        """Ends it all; nothing is left."""
        for tunnel in self.tunnels:
            tunnel.close()
        self.shared.close()
        self.lines.close()
        guest = self.guest
        assert not guest.audio.listeners
        assert not len(guest.clipboard.changes)
        assert not len(guest.ports_changes)
        assert not len(self.lines.changes)
        assert not len(self.session.view_only_changes)
        assert not any(len(port.output) or len(port.changes) for port in self.ports)


def stream(operation: int, number: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBHI", 181, operation, number, len(body)) + body


def plug(house: House, number: int) -> None:
    """Plugs a port in, or unplugs it."""
    port = house.ports[number]
    if port.name in house.guest.ports:
        house.guest.remove_port(port)
    else:
        house.guest.add_port(port)


def look_on(house: House, view_only: bool) -> None:
    """An administrator takes the session's rights, or gives them back."""
    house.session.view_only = view_only
    house.session.view_only_changes.notify()


def caps(actions: int, sizes: list[int]) -> bytes:
    flags = 1 << 24 | actions << 25 | (1 << len(sizes)) - 1
    return rfb_wire.extended_cut_text(flags, struct.pack(f">{len(sizes)}I", *sizes))


u32 = st.integers(0, 0xFFFFFFFF)
credits = st.one_of(st.sampled_from([0, 1, 2, 100, 65536, 1 << 31, 0xFFFFFFFF]), u32)
numbers = st.sampled_from([*[0, 1] * 12, 2, 65535])
"""Of streams, most of which are there."""
content = st.one_of(st.binary(max_size=64), st.text(max_size=20).map(str.encode), st.just(b"\n" * 5000))

said = st.one_of(
    st.lists(st.sampled_from([*ALL, *ALL, Encoding.CURSOR]), max_size=4).map(rfb_wire.set_encodings),
    st.sampled_from([ENABLE, struct.pack(">BBH", 255, 1, 1)]),
    st.builds(
        lambda sample, channels, rate: struct.pack(">BBHBBI", 255, 1, 2, sample, channels, rate),
        st.integers(0, 5),
        st.integers(1, 2),
        st.sampled_from([1, 999, 1000, 8000, 44_100, 47_999, 48_000]),
    ),
    st.builds(stream, st.sampled_from([DATA, CLOSE, 9, 77]), numbers, st.just(b"\0\0\0")),
    st.builds(
        lambda number, size: stream(DATA, number, bytes(size)),
        st.integers(0, 3),
        st.sampled_from([0, 1, 5000, 8192, 16_384]),
    ),
    content.map(rfb_wire.cut_text),
    st.builds(
        lambda action, formats: rfb_wire.extended_cut_text(1 << action | formats),
        st.integers(25, 27),
        st.sampled_from([0, 1, 2, 0xFFFF]),
    ),
    content.map(
        lambda text: rfb_wire.extended_cut_text(
            1 << 28 | 1, zlib.compress(struct.pack(">I", len(text)) + text)
        )
    ),
    st.builds(caps, st.integers(0, 15), st.lists(u32, max_size=16)),
)

Step = Callable[[House], None]

of_client: st.SearchStrategy[Step] = st.one_of(
    said.map(lambda data: lambda house: house.say(data)),
    st.builds(
        lambda number, flags, credit: lambda house: house.open(number, flags, credit),
        numbers,
        st.sampled_from([*[0, 1, 2, 3] * 4, 255]),
        credits,
    ),
    st.builds(lambda number, credit: lambda house: house.pay(number, credit), numbers, credits),
    numbers.map(lambda number: lambda house: house.shut(number)),
)

junk = st.builds(
    lambda kind, rest: bytes((kind,)) + rest, st.sampled_from([2, 6, 181, 255]), st.binary(max_size=12)
)

of_guest: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        lambda port, data: lambda house: house.ports[port].say(data),
        st.integers(0, 2),
        st.one_of(st.binary(max_size=100), st.sampled_from([b"x" * 65536, b"line\n" * 13_000])),
    ),
    st.builds(
        lambda port, opens: lambda house: house.ports[port].open(opens), st.integers(0, 2), st.booleans()
    ),
    st.builds(
        lambda port, takes: lambda house: setattr(house.ports[port], "takes", takes),
        st.integers(0, 2),
        st.sampled_from([0, 1, 1 << 30]),
    ),
    st.integers(0, 2).map(lambda port: lambda house: plug(house, port)),
    st.just(lambda house: house.guest.audio.begin()),
    st.just(lambda house: house.guest.audio.end()),
    st.sampled_from([8, 4000, 80_000]).map(lambda size: lambda house: house.guest.audio.play(bytes(size))),
    st.one_of(st.none(), st.text(min_size=1, max_size=9), st.just("\n" * 4000)).map(
        lambda text: lambda house: house.guest.clipboard.copy(text)
    ),
    st.booleans().map(lambda value: lambda house: look_on(house, value)),
)

step: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("client"), of_client),
    st.tuples(st.just("client"), of_client),
    st.tuples(st.just("guest"), of_guest),
    st.tuples(st.just("guest"), of_guest),
    st.tuples(st.just("reads"), st.booleans()),
    st.tuples(st.just("turn"), st.none()),
)


async def converse(steps: list[tuple[str, Any]], end: bytes) -> None:
    house = House()
    before = asyncio.all_tasks()
    with contextlib.suppress(RemoteError):
        house.say(rfb_wire.set_encodings(ALL) + ENABLE)
        house.open(0, 3, 65536)
        house.open(1, 0, 100)
        for kind, what in steps:
            match kind:
                case "client":
                    what(house)
                case "guest":
                    house.happen(what)
                case "reads":
                    house.read(what)
                case _:
                    await asyncio.sleep(0)
        house.say(end)
    house.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(step, min_size=30, max_size=60), junk)
def test_whatever_is_said_the_other_side_is_told_what_makes_sense(
    steps: list[tuple[str, Any]], end: bytes
) -> None:
    asyncio.run(converse(steps, end))
