"""Serial ports through one VNC session: what a client is told, what it may do, and what it costs."""

import asyncio
import struct

import pytest
from support.synthetic_guest import SyntheticGuest, SyntheticPort
from support.waiting import eventually

from sidecar.guest import PortKind
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.session import Session
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.stream_messages import (
    HEADER,
    MAX_CREDIT,
    Announce,
    Break,
    Close,
    Credit,
    Data,
    Open,
    Opened,
    Rights,
    Unknown,
    Withdraw,
    parse_server,
)
from sidecar.vnc.streams import (
    KEPT,
    MAX_OPEN,
    QUEUE_CHECK,
    SHARE,
    WINDOW,
    StreamsTunnel,
    left_out,
    streams_tunnel,
)
from sidecar.vnc.tunnel import Line
from sidecar.vnc.wire import StreamEnd, StreamFlag, StreamKind

SERIAL = "org.qemu.console.serial.0"
ACKNOWLEDGEMENT = struct.pack(">BxHHHHHi", 0, 1, 1, 0, 0, 0, 0x56445301)
WRITE, HISTORY, NEITHER = StreamFlag.WRITE, StreamFlag.HISTORY, StreamFlag(0)
BOTH = WRITE | HISTORY
PLENTY = 1 << 30


class Client:
    """A client's end of a tunnel. `reads`: whether what is written leaves at once."""

    def __init__(
        self,
        guest: SyntheticGuest,
        *,
        write: WritePolicy = WritePolicy.EVERYBODY,
        monitors: bool = False,
        lines: SerialLines | None = None,
        agrees: bool = True,
        view_only: bool = False,
    ) -> None:
        self.session = Session(
            "v1", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
        )
        self.session.view_only = view_only
        self.reads = True
        self.queued = 0
        self._written: list[bytes] = []
        self.lines = lines or SerialLines(guest, write=write, monitors=monitors)
        tunnel = streams_tunnel(self.lines)(Line(self.session, self._write, lambda: self.queued))
        assert isinstance(tunnel, StreamsTunnel)
        self.tunnel = tunnel
        if agrees:
            self.agree()

    def _write(self, message: bytes) -> None:
        self._written.append(message)
        if not self.reads:
            self.queued += len(message)

    def agree(self) -> None:
        self.tunnel.agreed(ClientCapabilities(extensions=Extension.STREAMS), Owed.STREAMS_ACK)

    def say(self, *events: object) -> None:
        for event in events:
            self.tunnel.handlers[type(event)](event)

    def taken(self) -> list[object]:
        """What was written since the last call."""
        written, self._written = self._written, []
        return [_parse(message) for message in written]

    def data(self) -> bytes:
        """The data of what was written since the last call; other messages are passed over."""
        return b"".join(message.data for message in self.taken() if isinstance(message, Data))

    def opens(self, number: int = 0, flags: StreamFlag = WRITE, credit: int = PLENTY) -> None:
        self.taken()
        self.say(Open(number, flags, credit))
        assert isinstance(self.taken()[0], Opened)


def _parse(message: bytes) -> object:
    if message[0] != 181:
        return message
    _, operation, stream, length = HEADER.unpack_from(message)
    assert length == len(message) - HEADER.size
    return parse_server(operation, stream, message[HEADER.size :])


@pytest.fixture
def guest() -> SyntheticGuest:
    """One with one serial port."""
    guest = SyntheticGuest()
    guest.add_port(SyntheticPort())
    return guest


@pytest.fixture
def port(guest: SyntheticGuest) -> SyntheticPort:
    return guest.ports[SERIAL]


@pytest.fixture
async def client(guest: SyntheticGuest) -> Client:
    """One that has the serial port open, as stream 0, and takes as much as comes."""
    client = Client(guest)
    client.opens()
    return client


# what there is


def test_streams_are_announced_when_the_client_agrees_and_only_then(guest: SyntheticGuest) -> None:
    guest.add_port(SyntheticPort("org.qemu.monitor.hmp.0", PortKind.MONITOR))
    client = Client(guest, monitors=True, agrees=False)
    client.tunnel.agreed(ClientCapabilities(), Owed.CURSOR)
    guest.ports[SERIAL].say(b"nobody hears this")
    client.tunnel.wait()
    client.tunnel.ready()
    assert client.taken() == []
    client.agree()
    told = [
        ACKNOWLEDGEMENT,
        Announce(0, StreamKind.SERIAL, WRITE, SERIAL, "0"),
        Announce(1, StreamKind.MONITOR, WRITE, "org.qemu.monitor.hmp.0", "0"),
    ]
    assert client.taken() == told
    client.agree()
    assert client.taken() == []


@pytest.mark.parametrize(
    ("policy", "view_only"), [(WritePolicy.NOBODY, False), (WritePolicy.EVERYBODY, True)]
)
def test_who_may_not_write_is_told_so(guest: SyntheticGuest, policy: WritePolicy, view_only: bool) -> None:
    client = Client(guest, write=policy, view_only=view_only)
    assert client.taken()[1] == Announce(0, StreamKind.SERIAL, NEITHER, SERIAL, "0")
    client.say(Open(0, WRITE, 100))
    assert client.taken() == [Opened(0, NEITHER, WINDOW)]


def test_ports_come_and_go_and_numbers_are_not_used_again(guest: SyntheticGuest) -> None:
    client = Client(guest)
    client.taken()
    second = SyntheticPort("second")
    guest.add_port(second)
    guest.remove_port(second)
    guest.add_port(second)
    assert client.taken() == [
        Announce(1, StreamKind.SERIAL, WRITE, "second", "second"),
        Withdraw(1),
        Announce(2, StreamKind.SERIAL, WRITE, "second", "second"),
    ]


def test_numbers_go_round_without_hitting_one_that_is_there(guest: SyntheticGuest) -> None:
    client = Client(guest)
    client.taken()
    client.tunnel._next_number = 65535
    second = SyntheticPort("second")
    for _ in range(2):
        guest.add_port(second)
        guest.remove_port(second)
    numbers = [message.stream for message in client.taken() if isinstance(message, Announce)]
    assert numbers == [65535, 1]
    # every number has been used: whatever the client asks for may have been on its way
    client.say(Open(4711, WRITE, 10))
    assert client.taken() == [Close(4711, StreamEnd.GONE)]


def test_a_withdrawn_stream_is_closed_and_opening_it_is_answered(
    guest: SyntheticGuest, port: SyntheticPort
) -> None:
    client = Client(guest)
    client.opens()
    guest.remove_port(port)
    assert client.taken() == [Withdraw(0)]
    client.say(Data(0, b"late"), Credit(0, 5), Break(0), Close(0, StreamEnd.DONE))
    assert client.taken() == []
    client.say(Open(0, WRITE, 10))
    assert client.taken() == [Close(0, StreamEnd.GONE)]
    assert len(port.output) == 0


def test_opening_what_never_was_or_what_is_open_breaks_the_protocol(client: Client) -> None:
    for number in (0, 1, 65535):
        with pytest.raises(RemoteError):
            client.say(Open(number, WRITE, 10))


def test_one_session_has_a_limit_of_open_streams(guest: SyntheticGuest) -> None:
    for number in range(MAX_OPEN):
        guest.add_port(SyntheticPort(f"port{number}"))
    client = Client(guest)
    for number in range(MAX_OPEN):
        client.opens(number)
    client.say(Open(MAX_OPEN, WRITE, 10))
    (answer,) = client.taken()
    assert isinstance(answer, Close)
    assert answer.reason is StreamEnd.LIMIT
    client.say(Close(3, StreamEnd.DONE), Open(MAX_OPEN, WRITE, 10))
    assert client.taken() == [Opened(MAX_OPEN, WRITE, WINDOW)]


def test_a_later_operation_is_left_alone(client: Client) -> None:
    client.say(Unknown(0, 77))
    assert client.taken() == []


# what comes out


async def test_what_the_machine_says_is_sent_at_once(client: Client, port: SyntheticPort) -> None:
    port.say(b"login: ")
    assert client.taken() == [Data(0, b"login: ")]


async def test_history_comes_first_for_those_who_want_it(guest: SyntheticGuest, port: SyntheticPort) -> None:
    lines = SerialLines(guest, write=WritePolicy.EVERYBODY)
    port.say(b"booting\r\n")
    wants, does_not = Client(guest, lines=lines), Client(guest, lines=lines)
    for client, flags in ((wants, BOTH), (does_not, WRITE)):
        client.taken()
        client.say(Open(0, flags, PLENTY))
    port.say(b"login: ")
    assert wants.taken() == [Opened(0, BOTH, WINDOW), Data(0, b"booting\r\n"), Data(0, b"login: ")]
    assert does_not.taken() == [Opened(0, WRITE, WINDOW), Data(0, b"login: ")]


async def test_no_more_is_sent_than_there_is_credit_for(guest: SyntheticGuest, port: SyntheticPort) -> None:
    client = Client(guest)
    client.opens(credit=5)
    port.say(b"0123456789")
    assert client.taken() == [Data(0, b"01234")]
    client.say(Credit(0, 3))
    assert client.taken() == [Data(0, b"567")]
    client.say(Credit(0, 0xFFFFFFFF), Credit(0, 0xFFFFFFFF))
    assert client.taken() == [Data(0, b"89")]
    assert client.tunnel._streams[0].credit == MAX_CREDIT


async def test_a_client_without_credit_misses_the_oldest_and_is_told_so(
    guest: SyntheticGuest, port: SyntheticPort
) -> None:
    client = Client(guest)
    client.opens(credit=0)
    line, count = b"%078d\r\n", 2 * KEPT // 80
    for number in range(count):
        port.say(line % number)
    client.say(Credit(0, PLENTY))
    await eventually(lambda: not client.tunnel._streams[0].sendable, "all is sent")
    data = client.data()
    _, told, rest = data.split(b"\r\n", 2)
    missed = count * 80 - len(rest)
    assert b"\r\n" + told + b"\r\n" == left_out(missed)
    assert KEPT - 80 <= len(rest) <= KEPT
    assert rest == b"".join(line % number for number in range(missed // 80, count))


async def test_a_client_that_does_not_read_is_sent_nothing_and_others_are(
    guest: SyntheticGuest, port: SyntheticPort
) -> None:
    lines = SerialLines(guest, write=WritePolicy.EVERYBODY)
    slow, quick = Client(guest, lines=lines), Client(guest, lines=lines)
    for client in (slow, quick):
        client.opens()
    slow.tunnel.wait()
    port.say(b"a")
    guest.add_port(SyntheticPort("second"))
    assert slow.taken() == []
    assert quick.data() == b"a"
    slow.tunnel.ready()
    assert slow.taken() == [Announce(1, StreamKind.SERIAL, WRITE, "second", "second"), Data(0, b"a")]


async def test_a_flood_leaves_room_in_the_queue_for_the_picture(client: Client, port: SyntheticPort) -> None:
    client.reads = False
    for _ in range(20):
        port.say(bytes(65536))
        assert client.queued < 2 * SHARE + HEADER.size
    client.queued = 0
    client.taken()
    # nobody says that there is room: it is looked for
    await eventually(lambda: client.queued >= SHARE, "it goes on")
    client.tunnel.close()


async def test_streams_take_turns(guest: SyntheticGuest, port: SyntheticPort) -> None:
    second = SyntheticPort("second")
    guest.add_port(second)
    client = Client(guest)
    client.opens(0)
    client.opens(1)
    client.reads = False
    port.say(bytes(200_000))
    second.say(b"also")
    order: list[int] = []
    while 1 not in order:
        assert len(order) < 3
        order += [message.stream for message in client.taken() if isinstance(message, Data)]
        client.queued = 0
        await asyncio.sleep(0)
    client.tunnel.close()


# what goes in


async def test_what_the_client_writes_goes_into_the_machine(client: Client, port: SyntheticPort) -> None:
    client.say(Data(0, b"ro"), Data(0, b""), Data(0, b"ot\r"))
    assert port.written == b"root\r"
    assert client.taken() == []


async def test_credit_is_given_back_as_the_machine_takes_the_bytes(
    client: Client, port: SyntheticPort
) -> None:
    port.takes = 0
    client.say(Data(0, bytes(WINDOW)))
    await asyncio.sleep(0)
    assert client.taken() == []
    with pytest.raises(RemoteError):
        client.say(Data(0, b"x"))
    port.takes = PLENTY
    await eventually(lambda: len(port.written) == WINDOW, "the machine takes it")
    assert client.taken() == [Credit(0, WINDOW)]
    client.say(Data(0, b"x"))
    assert port.written[-1:] == b"x"


async def test_order_is_kept_when_the_machine_takes_a_part(client: Client, port: SyntheticPort) -> None:
    port.takes = 3
    client.say(Data(0, b"01234"), Data(0, b"567"))
    assert port.written == b"012"
    port.takes = PLENTY
    await eventually(lambda: port.written == b"01234567", "the rest is taken in order")


async def test_what_may_not_be_written_is_dropped_and_costs_no_credit(
    guest: SyntheticGuest, port: SyntheticPort
) -> None:
    client = Client(guest, write=WritePolicy.NOBODY)
    client.opens()
    for _ in range(3):
        client.say(Data(0, bytes(WINDOW)))
        assert client.taken() == [Rights(0, NEITHER), Credit(0, WINDOW)]
    client.say(Break(0))
    await asyncio.sleep(0)
    assert not port.written
    assert not port.breaks


async def test_who_did_not_ask_to_write_cannot(guest: SyntheticGuest, port: SyntheticPort) -> None:
    client = Client(guest)
    client.opens(flags=HISTORY)
    client.say(Data(0, b"x"), Break(0))
    await asyncio.sleep(0)
    assert client.taken() == [Rights(0, NEITHER)]
    assert not port.written
    assert not port.breaks


async def test_rights_are_told_when_they_change(client: Client) -> None:
    for view_only, flags in ((True, NEITHER), (False, WRITE)):
        client.session.view_only = view_only
        client.session.view_only_changes.notify()
        assert client.taken() == [Rights(0, flags)]


async def test_rights_that_changed_while_the_client_did_not_read_are_told_later(
    client: Client, port: SyntheticPort
) -> None:
    client.tunnel.wait()
    port.open(False)
    assert client.taken() == []
    client.tunnel.ready()
    assert client.taken() == [Rights(0, NEITHER)]


async def test_a_stream_outlives_the_machine(client: Client, port: SyntheticPort) -> None:
    port.takes = 0
    client.say(Data(0, bytes(WINDOW)))
    port.open(False)
    assert client.taken() == [Credit(0, WINDOW), Rights(0, NEITHER)]
    port.takes = PLENTY
    port.open(True)
    port.say(b"again")
    assert client.taken() == [Rights(0, WRITE), Data(0, b"again")]
    client.say(Data(0, b"yes"))
    # what was typed at the machine before is not typed at this one
    assert port.written == b"yes"


async def test_a_break_is_sent(client: Client, port: SyntheticPort) -> None:
    client.say(Break(0, 250))
    await eventually(lambda: port.breaks == 1, "a break is sent")


# how it ends


async def test_a_closed_stream_is_silent_and_can_be_opened_again(client: Client, port: SyntheticPort) -> None:
    client.say(Close(0, StreamEnd.DONE))
    port.say(b"unheard")
    client.say(Data(0, b"unwritten"), Credit(0, 1), Close(0, StreamEnd.DONE))
    assert client.taken() == []
    assert not port.written
    client.say(Open(0, BOTH, PLENTY))
    assert client.taken() == [Opened(0, BOTH, WINDOW), Data(0, b"unheard")]


async def test_nothing_is_left_of_a_session(guest: SyntheticGuest, port: SyntheticPort) -> None:
    lines = SerialLines(guest, write=WritePolicy.EVERYBODY)
    client = Client(guest, lines=lines)
    client.opens()
    client.reads = False
    port.say(bytes(100_000))
    client.tunnel.close()
    client.taken()
    port.say(b"more")
    guest.add_port(SyntheticPort("second"))
    await asyncio.sleep(2 * QUEUE_CHECK)
    assert client.taken() == []
    assert len(lines.changes) == len(client.session.view_only_changes) == 0


async def test_a_session_that_never_agreed_leaves_nothing_either(guest: SyntheticGuest) -> None:
    client = Client(guest, agrees=False)
    client.tunnel.close()
    assert client.taken() == []
