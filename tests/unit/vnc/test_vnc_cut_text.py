"""The clipboard of a VNC session: what a client says and hears, byte by byte, without a socket."""

import struct
import zlib
from collections.abc import Callable, Sequence

import pytest
from support.synthetic_guest import SyntheticClipboard

from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.session.session import Session
from sidecar.vnc import clipboard
from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.connection import MAX_CUT_TEXT, ServerConnection
from sidecar.vnc.cut_text import clipboard_tunnel
from sidecar.vnc.events import SetEncodings
from sidecar.vnc.tunnel import Line
from sidecar.vnc.wire import ClipboardAction, ClipboardFormat, PseudoEncoding

TEXT, HTML = ClipboardFormat.TEXT, ClipboardFormat.HTML
EXTENDED = PseudoEncoding.EXTENDED_CLIPBOARD
CURSOR = PseudoEncoding.CURSOR
ALL_ACTIONS = (
    ClipboardAction.REQUEST | ClipboardAction.PEEK | ClipboardAction.NOTIFY | ClipboardAction.PROVIDE
)
CAPS = struct.pack(">B3xiII", 3, -8, 0x1F000001, 0)
"""All that we can do, and that no text is to come unasked."""


def extended(flags: int, body: bytes = b"") -> bytes:
    return struct.pack(">B3xiI", 3, -4 - len(body), flags) + body


REQUEST, PEEK, NOTIFY, EMPTY = (extended(flags) for flags in (0x02000001, 0x04000000, 0x08000001, 0x08000000))


def classic(text: bytes) -> bytes:
    return struct.pack(">B3xI", 3, len(text)) + text


def provided(message: bytes) -> bytes:
    """What a PROVIDE has in it."""
    kind, length, flags = struct.unpack_from(">B3xiI", message)
    assert (kind, -length, flags) == (3, len(message) - 8, 0x10000001)
    inflater = zlib.decompressobj()
    data = inflater.decompress(message[12:])
    assert inflater.eof, "one complete stream"
    (size,) = struct.unpack_from(">I", data)
    assert size == len(data) - 4
    return data[4:]


class Client:
    """What one client says goes through the real parser; what it hears is in `heard`."""

    def __init__(self, shared: SharedClipboard, connection: ServerConnection, *, view_only: bool) -> None:
        self.session = Session(
            "v7", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
        )
        self.session.view_only = view_only
        self.heard: list[bytes] = []
        self._connection = connection
        self.tunnel = clipboard_tunnel(shared)(Line(self.session, self.heard.append, lambda: 0))

    def knows(self, *numbers: int) -> None:
        self.say(struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers))

    def say(self, data: bytes) -> None:
        for event in self._connection.receive(data):
            if isinstance(event, SetEncodings):
                self.tunnel.agreed(event.capabilities, event.owed)
            else:
                self.tunnel.handlers[type(event)](event)

    def cut(self, text: bytes) -> None:
        self.say(struct.pack(">B3xi", 6, len(text)) + text)

    def say_extended(self, body: bytes) -> None:
        self.say(struct.pack(">B3xi", 6, -len(body)) + body)

    def copy(self, text: str) -> None:
        self.say_extended(clipboard.provide({TEXT: clipboard.content_of(text)}))

    def look_on(self, view_only: bool) -> None:
        self.session.view_only = view_only
        self.session.view_only_changes.notify()

    def take(self) -> list[bytes]:
        heard, self.heard[:] = list(self.heard), []
        return heard


class Scene:
    def __init__(self, open_session: Callable[..., ServerConnection], direction: ClipboardDirection) -> None:
        self.machine = SyntheticClipboard()
        self.shared = SharedClipboard(self.machine, direction=direction)
        self._open_session = open_session

    def client(self, encodings: Sequence[int] = (), *, view_only: bool = False) -> Client:
        connection = self._open_session(offered=ALWAYS_OFFERED | Extension.EXTENDED_CLIPBOARD)
        client = Client(self.shared, connection, view_only=view_only)
        client.knows(*encodings)
        return client

    def extended_client(self, *, actions: ClipboardAction = ALL_ACTIONS) -> Client:
        """One that has named the extended clipboard, and has told what it can do."""
        client = self.client((EXTENDED,))
        client.say_extended(clipboard.caps({TEXT: 0}, actions))
        assert client.take() == [CAPS]
        return client


SceneOf = Callable[..., Scene]


@pytest.fixture
def scene_of(open_session: Callable[..., ServerConnection]) -> SceneOf:
    return lambda direction=ClipboardDirection.BOTH: Scene(open_session, direction)


@pytest.fixture
def scene(scene_of: SceneOf) -> Scene:
    return scene_of()


# a client that knows the extended clipboard


def test_caps_follow_every_list_that_names_it(scene: Scene) -> None:
    client = scene.client((0, EXTENDED))
    assert client.take() == [CAPS]
    client.knows(EXTENDED)
    client.knows(0)
    assert client.take() == [CAPS]


def test_it_is_told_of_a_text_and_gets_it_when_it_asks(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.copy("Grüße\naus 東京")
    assert client.take() == [NOTIFY]
    client.say_extended(clipboard.request(TEXT))
    (message,) = client.take()
    assert provided(message) == "Grüße\r\naus 東京\0".encode()


def test_it_never_gets_classic_text(scene: Scene) -> None:
    client = scene.extended_client()
    # not even when a later list has it no more: it would be taken for a second clipboard
    client.knows(CURSOR)
    scene.machine.copy("text")
    assert client.take() == [NOTIFY]


def test_it_is_told_when_there_is_nothing_more(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.copy("text")
    scene.machine.copy(None)
    assert client.take() == [NOTIFY, EMPTY]
    client.say_extended(clipboard.request(TEXT))
    assert client.take() == []


def test_what_it_copies_is_asked_for_at_once(scene: Scene) -> None:
    client = scene.extended_client()
    client.say_extended(clipboard.notify(TEXT | HTML))
    assert client.take() == [REQUEST]
    client.copy("naïve\n文字")
    assert scene.machine.offered == ["naïve\n文字"]
    client.say_extended(clipboard.notify(ClipboardFormat(0)))
    assert scene.machine.offered == ["naïve\n文字", ""]
    assert client.take() == []


def test_formats_that_are_no_text_are_left_alone(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.copy("text")
    client.take()
    client.say_extended(clipboard.request(HTML))
    client.say_extended(clipboard.provide({HTML: b"<b>bold</b>"}))
    assert (client.take(), scene.machine.offered) == ([], [])


def test_a_peek_is_answered(scene: Scene) -> None:
    client = scene.extended_client()
    client.say_extended(clipboard.peek())
    scene.machine.copy("text")
    client.take()
    client.say_extended(clipboard.peek())
    assert client.take() == [NOTIFY]


def test_one_that_comes_later_hears_of_an_earlier_text_only_when_it_asks(scene: Scene) -> None:
    scene.machine.copy("early")
    client = scene.extended_client()
    client.say_extended(clipboard.peek())
    assert client.take() == [NOTIFY]


def test_one_that_cannot_be_notified_is_not(scene: Scene) -> None:
    client = scene.extended_client(actions=ClipboardAction.PROVIDE)
    scene.machine.copy("text")
    assert client.take() == []


def test_what_it_got_and_sends_back_is_no_new_text(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.copy("echo")
    client.copy("echo")
    assert scene.machine.offered == []


def test_a_text_that_is_too_long_with_the_line_ends_of_the_protocol_is_not_sent(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.copy("\n" * (MAX_CUT_TEXT // 2))
    client.take()
    client.say_extended(clipboard.request(TEXT))
    assert client.take() == []


# a client that knows classic text only


def test_classic_text_is_latin_1(scene: Scene) -> None:
    client = scene.client((CURSOR,))
    scene.machine.copy("Grüße\naus 東京")
    scene.machine.copy(None)
    assert client.take() == [classic(b"Gr\xfc\xdfe\naus ??")]


def test_nothing_is_sent_before_the_machine_has_copied_something(scene: Scene) -> None:
    scene.machine.copy("early")
    client = scene.client((CURSOR,))
    client.cut(b"mine")
    client.look_on(True)
    client.look_on(False)
    assert client.take() == []


@pytest.mark.parametrize("encodings", [(), (6,), (0, 1)], ids=["none", "asyncvnc's", "pixels"])
def test_one_that_knows_of_nothing_but_pixels_gets_no_text(scene: Scene, encodings: Sequence[int]) -> None:
    client = scene.client(encodings)
    scene.machine.copy("text")
    assert client.take() == []


def test_classic_text_of_the_client_reaches_the_machine(scene: Scene) -> None:
    client = scene.client()
    client.cut(b"na\xefve\r\nline\nline")
    assert scene.machine.offered == ["naïve\nline\nline"]


def test_classic_text_that_comes_back_poorer_is_no_new_text(scene: Scene) -> None:
    client = scene.client((CURSOR,))
    scene.machine.copy("東京")
    client.cut(b"??")
    assert scene.machine.offered == []


# who may not


@pytest.mark.parametrize("way", ["view only", "off"])
def test_one_that_may_not_is_told_nothing_and_not_heard(scene_of: SceneOf, way: str) -> None:
    scene = scene_of(ClipboardDirection.OFF if way == "off" else ClipboardDirection.BOTH)
    old, new = (scene.client((number,), view_only=way != "off") for number in (CURSOR, EXTENDED))
    scene.machine.copy("secret")
    new.say_extended(clipboard.request(TEXT))
    new.say_extended(clipboard.peek())
    new.say_extended(clipboard.notify(TEXT))
    new.copy("intruder")
    new.cut(b"intruder")
    old.cut(b"intruder")
    assert (old.take(), new.take(), scene.machine.offered) == ([], [], [])


def test_one_that_looks_on_no_more_gets_its_caps(scene: Scene) -> None:
    client = scene.client((EXTENDED,), view_only=True)
    client.look_on(False)
    client.look_on(True)
    client.look_on(False)
    assert client.take() == [CAPS]


def test_what_was_copied_meanwhile_is_asked_for(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.is_there = False
    scene.machine.changes.notify()
    client.say_extended(clipboard.notify(TEXT))
    assert client.take() == []
    scene.machine.is_there = True
    scene.machine.changes.notify()
    assert client.take() == [PEEK]


@pytest.mark.parametrize(
    ("direction", "offered", "heard"),
    [(ClipboardDirection.TO_GUEST, ["up"], []), (ClipboardDirection.FROM_GUEST, [], [NOTIFY])],
)
def test_text_goes_one_way_only(
    scene_of: SceneOf, direction: ClipboardDirection, offered: list[str], heard: list[bytes]
) -> None:
    scene = scene_of(direction)
    client = scene.extended_client()
    client.copy("up")
    scene.machine.copy("down")
    assert (scene.machine.offered, client.take()) == (offered, heard)


# bad input, and clients that do not read


def test_a_text_that_is_too_long_is_logged_once_without_a_word_of_it(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    client = scene.extended_client()
    for _ in range(2):
        client.say(struct.pack(">B3xi", 6, 2 << 20) + b"secrets!" * (1 << 18))
    client.say_extended(clipboard.provide({TEXT: bytes(64 << 20)}))
    assert scene.machine.offered == []
    (record,) = caplog.records
    assert record.message == "a text was too long for the clipboard"
    assert record.sidecar_context["session"] == "v7"  # type: ignore[attr-defined]


def test_one_that_does_not_read_gets_the_last_text_once_when_it_does(scene: Scene) -> None:
    client = scene.extended_client()
    scene.machine.copy("first")
    client.take()
    client.tunnel.wait()
    for text in ("second", "third"):
        scene.machine.copy(text)
        for _ in range(100):
            client.say_extended(clipboard.request(TEXT))
    assert client.take() == []
    client.tunnel.ready()
    notification, message = client.take()
    assert notification == NOTIFY
    assert provided(message) == b"third\0"
    client.tunnel.ready()
    assert client.take() == []


def test_a_text_is_compressed_once_for_all(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    provide = clipboard.provide
    monkeypatch.setattr(clipboard, "provide", lambda contents: calls.append(1) or provide(contents))
    client = scene.extended_client()
    scene.machine.copy("text")
    for _ in range(10):
        client.say_extended(clipboard.request(TEXT))
    assert len(client.take()) == 11
    assert len(calls) == 1


def test_after_its_end_a_session_hears_nothing(scene: Scene) -> None:
    client = scene.extended_client()
    client.tunnel.close()
    scene.machine.copy("text")
    client.look_on(True)
    assert client.take() == []
