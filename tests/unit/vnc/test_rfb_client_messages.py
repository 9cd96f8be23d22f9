"""Every client to server message: what it becomes, and how it is refused."""

import struct
from collections.abc import Callable, Sequence

import pytest

from sidecar.encode.form import Encoding
from sidecar.encode.pixel_form import CANONICAL, PixelForm
from sidecar.screen.rectangle import Rectangle
from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.client_messages import MAX_ENCODINGS
from sidecar.vnc.connection import ServerConnection, Stage
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import (
    ClientCutText,
    ClientFence,
    CutTextTooLong,
    EnableContinuousUpdates,
    Event,
    FramebufferUpdateRequest,
    KeyEvent,
    PointerEvent,
    QemuAudioFormat,
    QemuAudioSwitch,
    QemuKeyEvent,
    Screen,
    SetDesktopSize,
    SetEncodings,
    SetPixelFormat,
    Xvp,
)
from sidecar.vnc.wire import (
    FenceFlag,
    PointerButton,
    PseudoEncoding,
    QemuAudioOperation,
    SampleFormat,
)

OpenSession = Callable[..., ServerConnection]
EVERYTHING = tuple(Extension)
ALL_OFFERED = ~Extension(0)
ALL_ANNOUNCED = (Encoding.RAW, *PseudoEncoding)

MESSAGES: list[tuple[str, Event]] = [
    ("00 000000 20 18 00 01 00ff 00ff 00ff 10 08 00 000000", SetPixelFormat(CANONICAL)),
    (
        "00 ffffff 10 10 01 01 001f 003f 001f 0b 05 00 ffffff",
        SetPixelFormat(PixelForm(16, 16, True, True, 31, 63, 31, 11, 5, 0)),
    ),
    (
        "00 000000 08 08 00 01 0007 0007 0003 00 03 06 000000",
        SetPixelFormat(PixelForm(8, 8, False, True, 7, 7, 3, 0, 3, 6)),
    ),
    ("00 000000 08 08 00 00 0000 0000 0000 00 00 00 000000", SetPixelFormat(PixelForm.indexed())),
    (
        "03 01 0001 0002 ffff ffff",
        FramebufferUpdateRequest(True, Rectangle(1, 2, 65535, 65535)),
    ),
    ("03 00 0000 0000 0280 01e0", FramebufferUpdateRequest(False, Rectangle(0, 0, 640, 480))),
    ("04 01 0000 0000ff0d", KeyEvent(True, 0xFF0D)),
    ("04 00 ffff 01020304", KeyEvent(False, 0x01020304)),
    ("05 05 0010 ffff", PointerEvent(PointerButton.LEFT | PointerButton.RIGHT, 16, 65535)),
    ("05 00 0000 0000", PointerEvent(PointerButton(0), 0, 0)),
    ("05 81 0001 0002 02", PointerEvent(PointerButton.LEFT | PointerButton.FORWARD, 1, 2)),
    ("05 80 0001 0002 ff", PointerEvent(PointerButton.BACK | PointerButton.FORWARD, 1, 2)),
    ("06 000000 00000003 61e40a", ClientCutText("a\u00e4\n")),
    ("06 000000 00000000", ClientCutText("")),
    ("96 01 0000 0000 0280 01e0", EnableContinuousUpdates(True, Rectangle(0, 0, 640, 480))),
    ("96 00 0000 0000 0000 0000", EnableContinuousUpdates(False, Rectangle(0, 0, 0, 0))),
    (
        "f8 000000 80000001 02 beef",
        ClientFence(FenceFlag.REQUEST | FenceFlag.BLOCK_BEFORE, b"\xbe\xef"),
    ),
    ("f8 000000 7ffffff8 00", ClientFence(FenceFlag(0), b"")),
    ("f8 000000 00000000 40" + "ab" * 64, ClientFence(FenceFlag(0), b"\xab" * 64)),
    ("fa 00 01 02", Xvp(2)),
    ("fa ff 01 c8", Xvp(200)),
    (
        "fb 00 0400 0300 01 00 00000007 0000 0000 0400 0300 00000001",
        SetDesktopSize(1024, 768, (Screen(7, Rectangle(0, 0, 1024, 768), 1),)),
    ),
    ("fb 00 0000 0000 00 00", SetDesktopSize(0, 0, ())),
    ("ff 00 0001 00000061 0000001e", QemuKeyEvent(True, 0x61, 0x1E)),
    ("ff 00 0000 00000000 000000c6", QemuKeyEvent(False, 0, 0xC6)),
    ("ff 01 0000", QemuAudioSwitch(QemuAudioOperation.ENABLE)),
    ("ff 01 0001", QemuAudioSwitch(QemuAudioOperation.DISABLE)),
    ("ff 01 0002 03 02 0000bb80", QemuAudioFormat(SampleFormat.S16, 2, 48000)),
    ("ff 01 0002 00 01 00000001", QemuAudioFormat(SampleFormat.U8, 1, 1)),
]


@pytest.fixture
def session(open_session: OpenSession) -> ServerConnection:
    return open_session(ALL_ANNOUNCED, offered=ALL_OFFERED)


@pytest.mark.parametrize(("wire", "event"), MESSAGES)
def test_a_message_becomes_its_event(session: ServerConnection, wire: str, event: Event) -> None:
    assert list(session.receive(bytes.fromhex(wire))) == [event]
    assert session.buffered == 0


@pytest.mark.parametrize(("wire", "event"), MESSAGES)
def test_a_message_in_single_bytes_is_the_same(session: ServerConnection, wire: str, event: Event) -> None:
    data = bytes.fromhex(wire)
    for byte in data[:-1]:
        assert list(session.receive(bytes([byte]))) == []
    assert list(session.receive(data[-1:])) == [event]


def test_all_messages_in_one_piece_come_in_order(session: ServerConnection) -> None:
    stream = b"".join(bytes.fromhex(wire) for wire, _ in MESSAGES)
    assert list(session.receive(stream)) == [event for _, event in MESSAGES]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("01", Reason.UNKNOWN_MESSAGE),
        ("07", Reason.UNKNOWN_MESSAGE),
        ("7f", Reason.UNKNOWN_MESSAGE),
        ("f9", Reason.UNKNOWN_MESSAGE),
        ("fc", Reason.UNKNOWN_MESSAGE),
        ("fd", Reason.UNKNOWN_MESSAGE),
        ("fe", Reason.UNKNOWN_MESSAGE),
        ("ff 02 0000", Reason.UNKNOWN_MESSAGE),
        ("ff 01 0003", Reason.UNKNOWN_MESSAGE),
        ("00 000000 18 18 00 01 00ff 00ff 00ff 10 08 00 000000", Reason.MALFORMED),
        ("00 000000 00 18 00 00 00ff 00ff 00ff 10 08 00 000000", Reason.MALFORMED),
        ("00 000000 20 18 00 01 0000 00ff 00ff 10 08 00 000000", Reason.MALFORMED),
        ("00 000000 20 18 00 01 00ff 00ff 00ff ff 08 00 000000", Reason.MALFORMED),
        ("00 000000 08 08 00 01 00ff 00ff 00ff 10 08 00 000000", Reason.MALFORMED),
        ("02 00 0401", Reason.OVERSIZED),
        ("02 00 ffff", Reason.OVERSIZED),
        ("f8 000000 00000000 41", Reason.OVERSIZED),
        ("06 000000 ffffffff", Reason.MALFORMED),
        ("06 000000 fffffffd", Reason.MALFORMED),
        ("fa 00 02 02", Reason.MALFORMED),
        ("ff 01 0002 06 02 0000bb80", Reason.MALFORMED),
        ("ff 01 0002 03 00 0000bb80", Reason.MALFORMED),
        ("ff 01 0002 03 03 0000bb80", Reason.MALFORMED),
        ("ff 01 0002 03 02 00000000", Reason.MALFORMED),
        ("ff 01 0002 03 02 0000bb81", Reason.MALFORMED),
        ("ff 01 0002 03 02 ffffffff", Reason.MALFORMED),
    ],
)
def test_a_bad_message_ends_the_connection_after_what_came_before(
    session: ServerConnection, wire: str, reason: Reason
) -> None:
    events: list[Event] = []
    with pytest.raises(RemoteError) as raised:
        events.extend(session.receive(bytes.fromhex("04 01 0000 00000061" + wire)))
    assert raised.value.reason is reason
    assert events == [KeyEvent(True, 0x61)]
    assert session.stage is Stage.CLOSED
    assert session.buffered == 0
    assert list(session.receive(bytes.fromhex("04 01 0000 00000061"))) == []


@pytest.mark.parametrize(
    ("wire", "encodings"),
    [
        ("96", [PseudoEncoding.CONTINUOUS_UPDATES, PseudoEncoding.FENCE]),
        ("f8", [PseudoEncoding.FENCE]),
        ("fa", [PseudoEncoding.XVP]),
        ("fb", [PseudoEncoding.EXTENDED_DESKTOP_SIZE]),
        ("ff 00 0001", [PseudoEncoding.QEMU_EXTENDED_KEY_EVENT]),
        ("ff 01 0000", [PseudoEncoding.QEMU_AUDIO]),
        ("06 000000 fffffff0", [PseudoEncoding.EXTENDED_CLIPBOARD]),
    ],
)
def test_a_message_of_an_extension_needs_both_sides(
    open_session: OpenSession, wire: str, encodings: Sequence[int]
) -> None:
    data = bytes.fromhex(wire)
    others = [number for number in PseudoEncoding if number not in encodings]
    for announced, offered in ((others, ALL_OFFERED), (encodings, Extension(0))):
        with pytest.raises(RemoteError) as raised:
            list(open_session(announced, offered=offered).receive(data))
        assert raised.value.reason is Reason.NOT_NEGOTIATED
    list(open_session(encodings, offered=ALL_OFFERED).receive(data))


def test_xvp_audio_and_the_clipboard_are_not_offered_unless_asked_for() -> None:
    assert not ALWAYS_OFFERED & (Extension.XVP | Extension.QEMU_AUDIO | Extension.EXTENDED_CLIPBOARD)


def test_a_message_that_an_earlier_list_allowed_is_still_read(open_session: OpenSession) -> None:
    session = open_session([PseudoEncoding.FENCE])
    session_events = list(session.receive(bytes.fromhex("02 00 0000 f8 000000 00000000 00")))
    assert session_events[1] == ClientFence(FenceFlag(0), b"")


def test_continuous_updates_need_fences(open_session: OpenSession) -> None:
    session = open_session([PseudoEncoding.CONTINUOUS_UPDATES])
    with pytest.raises(RemoteError):
        list(session.receive(b"\x96"))


def test_bit_seven_is_the_back_button_where_extended_buttons_were_not_agreed_on(
    open_session: OpenSession,
) -> None:
    session = open_session([Encoding.RAW])
    assert list(session.receive(bytes.fromhex("05 80 0001 0002"))) == [PointerEvent(PointerButton.BACK, 1, 2)]


def test_an_empty_list_of_encodings_means_raw(session: ServerConnection) -> None:
    [event] = session.receive(bytes.fromhex("02 00 0000"))
    assert isinstance(event, SetEncodings)
    assert event.numbers == ()
    assert event.capabilities.encoding is Encoding.RAW


def test_encodings_are_signed_and_keep_their_order(session: ServerConnection) -> None:
    [event] = session.receive(bytes.fromhex("02 00 0003 00000007 ffffff21 c0a1e5ce"))
    assert isinstance(event, SetEncodings)
    assert event.numbers == (7, -223, PseudoEncoding.EXTENDED_CLIPBOARD)


def test_the_longest_list_of_encodings_is_taken(session: ServerConnection) -> None:
    wire = struct.pack(f">BxH{MAX_ENCODINGS}i", 2, MAX_ENCODINGS, *range(MAX_ENCODINGS))
    [event] = session.receive(wire)
    assert isinstance(event, SetEncodings)
    assert event.numbers == tuple(range(MAX_ENCODINGS))


@pytest.mark.parametrize("chunk", [1, 7, 4096])
@pytest.mark.parametrize("length", [5000, -5000])
def test_a_cut_text_above_the_limit_is_thrown_away_as_it_comes(
    open_session: OpenSession, length: int, chunk: int
) -> None:
    session = open_session(ALL_ANNOUNCED, offered=ALL_OFFERED, max_cut_text=100)
    stream = struct.pack(">B3xi", 6, length) + b"\x04" * 5000 + bytes.fromhex("04 01 0000 00000061")
    events: list[Event] = []
    for start in range(0, len(stream), chunk):
        events += session.receive(stream[start : start + chunk])
        assert session.buffered <= 16
    assert events == [CutTextTooLong(5000), KeyEvent(True, 0x61)]


def test_the_most_negative_length_is_only_thrown_away(session: ServerConnection) -> None:
    assert list(session.receive(bytes.fromhex("06 000000 80000000"))) == [CutTextTooLong(1 << 31)]
    for _ in range(100):
        assert list(session.receive(bytes(1 << 16))) == []
        assert session.buffered == 0


def test_many_small_messages_are_read_one_by_one_and_leave_nothing(session: ServerConnection) -> None:
    stream = bytes.fromhex("04 01 0000 00000061") * 10000
    count = 0
    for start in range(0, len(stream), 1001):
        count += sum(1 for _ in session.receive(stream[start : start + 1001]))
        assert session.buffered < 8
    assert count == 10000


def test_clipboard_texts_do_not_show_in_logs() -> None:
    assert "geheim" not in repr(ClientCutText("geheim"))
