"""One session's clipboard: who is told what, and when; the machine behind it is a synthetic one."""

import asyncio
import struct
from collections.abc import Callable

import pytest
from support.rdp_graphics import ChunkCollector
from support.synthetic_guest import SyntheticClipboard

from sidecar.clipboard.shared import MAX_TEXT, ClipboardDirection, SharedClipboard
from sidecar.rdp import clipboard_pdus as pdus
from sidecar.rdp.clipboard_channel import ClipboardChannel, clipboard_channels
from sidecar.rdp.clipboard_pdus import TextFormat
from sidecar.rdp.errors import RemoteError
from sidecar.rdp.static_channel import ChannelFlags, StaticChannel
from sidecar.rdp.wire import Reader
from sidecar.session.session import Session

READY = [pdus.capabilities(), pdus.monitor_ready()]
TAKEN = pdus.format_list_response()
WANTED = pdus.data_request(TextFormat.UNICODETEXT)
TEXT_IS_THERE = pdus.format_list(tuple(TextFormat), long_names=True)
NOTHING_IS_THERE = pdus.format_list((), long_names=True)
REFUSED = pdus.data_response(None)

CAPABILITIES = pdus.capabilities()
LIST_TAKEN = pdus.format_list_response()
UNICODE, ANSI, PICTURE, FILES = 13, 1, 8, 0xC0BC


def copied(*formats: int) -> bytes:
    body = b"".join(struct.pack("<I", known) + b"n\0\0\0" for known in formats)
    return struct.pack("<HHI", 2, 0, len(body)) + body


def wants(known: int) -> bytes:
    return struct.pack("<HHII", 4, 0, 4, known)


def says(text: str) -> bytes:
    return pdus.data_response(pdus.data_of(text, TextFormat.UNICODETEXT))


class Timer(asyncio.TimerHandle):
    """One that runs out when the test says so."""

    def __init__(self, seconds: float, callback: Callable[[], None]) -> None:
        self.seconds = seconds
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def run_out(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Client:
    """A client's end of the channel. `flushed`: how often what was sent had to be sent at once."""

    def __init__(self, clipboard: SharedClipboard, *, view_only: bool = False) -> None:
        self.session = Session(
            "r1", protocol="rdp", transport="tcp", address="", tls=True, connected_at=0, end=lambda _: None
        )
        self.session.view_only = view_only
        self.flushed = 0
        self.sender = ChunkCollector()
        self.timers: list[Timer] = []
        self.handler = ClipboardChannel(clipboard, self.session, self.flush, self.call_later)
        self.handler.opened(self.sender)

    def flush(self) -> None:
        self.flushed += 1

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(seconds, callback))
        return self.timers[-1]

    def wait(self) -> None:
        """Time goes by."""
        for timer in list(self.timers):
            timer.run_out()

    def say_at_once(self, *messages: bytes) -> list[bytes]:
        """What it hears until and in answer to these, and no time goes by."""
        for message in messages:
            self.handler.receive(message)
        return self.sender.taken()

    def say(self, *messages: bytes) -> list[bytes]:
        """The same, with time after each message."""
        for message in messages:
            self.handler.receive(message)
            self.wait()
        return self.sender.taken()

    @property
    def heard(self) -> list[bytes]:
        return self.sender.taken()

    def look_only(self, value: bool) -> None:
        self.session.view_only = value
        self.session.view_only_changes.notify()


@pytest.fixture
def guest() -> SyntheticClipboard:
    return SyntheticClipboard()


@pytest.fixture
def shared(guest: SyntheticClipboard) -> SharedClipboard:
    return SharedClipboard(guest, direction=ClipboardDirection.BOTH)


@pytest.fixture
def client(shared: SharedClipboard) -> Client:
    """One that has come with an empty clipboard."""
    client = Client(shared)
    assert client.say(CAPABILITIES, copied()) == [*READY, TAKEN]
    return client


def test_the_clients_text_is_fetched_before_it_is_offered_to_the_machine(
    client: Client, guest: SyntheticClipboard
) -> None:
    assert client.say(copied(FILES, ANSI, UNICODE)) == [TAKEN, WANTED]
    assert guest.offered == []
    assert client.say(says("Grüße,\n世界 🙂")) == []
    assert guest.offered == ["Grüße,\n世界 🙂"]


def test_what_the_client_has_when_it_comes_is_offered_and_wins(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    guest.copy("older")
    client = Client(shared)
    assert client.say(CAPABILITIES, copied(UNICODE)) == [*READY, TAKEN, WANTED]
    assert client.say(says("newer")) == []
    assert guest.offered == ["newer"]


def test_who_comes_with_nothing_gets_what_the_machine_has(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    guest.copy("machine")
    client = Client(shared)
    assert client.say(CAPABILITIES, copied(PICTURE)) == [*READY, TAKEN, TEXT_IS_THERE]


def test_nothing_is_told_before_the_client_has_told_what_it_has(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    client = Client(shared)
    guest.copy("machine")
    assert client.heard == READY
    assert client.say(CAPABILITIES, copied()) == [TAKEN, TEXT_IS_THERE]


def test_the_machines_text_is_told_at_once_and_given_when_asked_for(
    client: Client, guest: SyntheticClipboard
) -> None:
    guest.copy("Zeile 1\nZeile 2 ½ €")
    assert client.heard == [TEXT_IS_THERE]
    assert client.flushed == 1
    assert client.say(LIST_TAKEN, wants(UNICODE)) == [
        pdus.data_response("Zeile 1\r\nZeile 2 ½ €\0".encode("utf-16-le"))
    ]
    assert client.say(wants(ANSI)) == [pdus.data_response(b"Zeile 1\r\nZeile 2 \xbd \x80\0")]
    assert client.flushed == 3


def test_a_format_that_was_not_offered_is_refused(client: Client, guest: SyntheticClipboard) -> None:
    assert client.say(wants(UNICODE)) == [REFUSED]
    guest.copy("machine")
    assert client.say(wants(PICTURE), wants(FILES)) == [TEXT_IS_THERE, REFUSED, REFUSED]


def test_a_client_without_long_names_gets_short_ones(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    client = Client(shared)
    assert client.say(pdus.format_list((TextFormat.TEXT,), long_names=False)) == [
        *READY,
        TAKEN,
        pdus.data_request(TextFormat.TEXT),
    ]
    client.say(pdus.data_response(b"Gr\xfc\xdfe\0"))
    assert guest.offered == ["Grüße"]
    guest.copy("machine")
    assert client.heard == [pdus.format_list(tuple(TextFormat), long_names=False)]


def test_a_clipboard_that_the_machine_has_cleared_is_empty(client: Client, guest: SyntheticClipboard) -> None:
    guest.copy("machine")
    client.say(LIST_TAKEN)
    guest.copy(None)
    assert client.heard == [NOTHING_IS_THERE]


def test_what_the_client_copied_itself_stays_on_its_clipboard(
    client: Client, guest: SyntheticClipboard
) -> None:
    guest.copy("machine")
    client.say(LIST_TAKEN, copied(UNICODE), says("client"))
    assert guest.offered == ["client"]
    assert client.heard == []
    guest.copy(None)
    assert client.heard == []


def test_a_client_that_tells_what_it_was_told_makes_no_circle(
    client: Client, guest: SyntheticClipboard
) -> None:
    guest.copy("machine")
    client.say(LIST_TAKEN)
    assert client.say(copied(UNICODE)) == [TAKEN, WANTED]
    assert client.say(says("machine")) == []
    assert guest.offered == []


def test_a_picture_after_a_text_clears_what_was_offered(client: Client, guest: SyntheticClipboard) -> None:
    client.say(copied(UNICODE), says("client"), copied(PICTURE))
    assert guest.offered == ["client", ""]


def test_a_text_that_comes_too_late_is_not_offered(client: Client, guest: SyntheticClipboard) -> None:
    client.say(copied(UNICODE), copied(PICTURE), says("late"))
    assert guest.offered == []
    client.say(copied(UNICODE))
    guest.copy("newer")
    client.say(says("older"))
    assert guest.offered == []
    assert guest.text == "newer"


def test_each_answer_counts_where_a_client_was_asked_several_times(
    client: Client, guest: SyntheticClipboard
) -> None:
    client.say(copied(UNICODE), copied(UNICODE), says("one"), says("two"))
    assert guest.offered == ["one", "two"]


def test_a_client_that_never_answers_holds_nothing_up(client: Client, guest: SyntheticClipboard) -> None:
    for _ in range(1000):
        assert client.say(copied(UNICODE)) == [TAKEN, WANTED]
    guest.copy("machine")
    assert client.heard == [TEXT_IS_THERE]
    # nor is it told more than it takes
    for number in range(1000):
        guest.copy(f"machine {number}")
    assert client.heard == []
    assert client.say(LIST_TAKEN) == [TEXT_IS_THERE]
    assert client.say(LIST_TAKEN) == []
    client.say(copied(UNICODE), says("client"))
    assert guest.offered == ["client"]


def test_what_came_and_went_while_the_client_was_busy_is_told_as_it_is_now(
    client: Client, guest: SyntheticClipboard
) -> None:
    guest.copy("one")
    guest.copy("two")
    guest.copy(None)
    assert client.heard == [TEXT_IS_THERE]
    assert client.say(LIST_TAKEN) == [NOTHING_IS_THERE]


def test_a_client_that_loses_what_it_had_is_told_what_there_is_now(
    client: Client, guest: SyntheticClipboard
) -> None:
    guest.copy("one")
    guest.copy("two")
    assert client.heard == [TEXT_IS_THERE]
    assert client.say(copied()) == [TAKEN, TEXT_IS_THERE]


def test_what_a_client_copies_counts_more_than_what_it_was_not_told_yet(
    client: Client, guest: SyntheticClipboard
) -> None:
    guest.copy("one")
    guest.copy("two")
    assert client.heard == [TEXT_IS_THERE]
    assert client.say(copied(UNICODE), LIST_TAKEN) == [TAKEN, WANTED]


def test_an_answer_that_nobody_asked_for_is_left_alone(client: Client, guest: SyntheticClipboard) -> None:
    assert client.say(says("unasked"), REFUSED, LIST_TAKEN) == []
    assert guest.offered == []


def test_a_client_that_cannot_say_what_it_has_is_asked_once_more(
    client: Client, guest: SyntheticClipboard
) -> None:
    assert client.say(copied(UNICODE), REFUSED) == [TAKEN, WANTED, WANTED]
    assert client.say(REFUSED) == []
    assert guest.offered == []


def test_a_client_that_has_nothing_after_all_gets_what_the_machine_has(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    guest.copy("machine")
    client = Client(shared)
    assert client.say(CAPABILITIES, copied(UNICODE), REFUSED) == [*READY, TAKEN, WANTED, WANTED]
    assert client.say(REFUSED) == [TEXT_IS_THERE]


def test_freerdp_that_was_confused_by_a_question_still_gives_its_text(
    client: Client, guest: SyntheticClipboard
) -> None:
    assert client.say(copied(0, UNICODE, ANSI, PICTURE)) == [TAKEN, WANTED]
    assert client.say_at_once(REFUSED, copied()) == [TAKEN]
    client.wait()
    assert client.heard == [WANTED]
    client.say(says("client"))
    assert guest.offered == ["client"]


def test_a_client_is_asked_when_it_has_told_all(client: Client, guest: SyntheticClipboard) -> None:
    assert client.say_at_once(copied(UNICODE, ANSI, PICTURE), copied(ANSI)) == [TAKEN, TAKEN]
    client.wait()
    assert client.heard == [pdus.data_request(TextFormat.TEXT)]
    client.say(pdus.data_response(b"client\0"))
    assert guest.offered == ["client"]


def test_a_client_is_not_asked_for_what_it_has_no_more(client: Client, guest: SyntheticClipboard) -> None:
    assert client.say_at_once(copied(UNICODE), copied(PICTURE)) == [TAKEN, TAKEN]
    client.wait()
    assert client.say_at_once(copied(UNICODE)) == [TAKEN]
    guest.copy("machine")
    client.wait()
    assert client.say_at_once(LIST_TAKEN, copied(UNICODE)) == [TEXT_IS_THERE, TAKEN]
    client.look_only(True)
    client.wait()
    assert client.heard == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(("a" * (MAX_TEXT + 1) + "\0").encode("utf-16-le"), id="just too long"),
        pytest.param(("€" * (MAX_TEXT // 3 + 1)).encode("utf-16-le"), id="too long in UTF-8"),
    ],
)
def test_a_text_that_is_too_long_is_refused_with_one_line(
    client: Client, guest: SyntheticClipboard, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    for _ in range(2):
        client.say(copied(UNICODE), pdus.data_response(data))
    assert guest.offered == []
    assert len(caplog.records) == 1
    client.say(copied(UNICODE), says("short"))
    assert guest.offered == ["short"]


def test_a_text_that_is_not_even_looked_at_is_refused_and_the_session_lives(
    shared: SharedClipboard, guest: SyntheticClipboard, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(shared)
    channel = StaticChannel(1004, lambda _: None, ClipboardChannel.max_message)
    client.handler.opened(channel)
    client.say(CAPABILITIES, copied(UNICODE))
    size = ClipboardChannel.max_message + 1
    for flags in (ChannelFlags.FIRST, ChannelFlags(0), ChannelFlags.LAST):
        assert channel.receive(Reader(struct.pack("<II", size, flags) + bytes(1600), "a chunk")) is None
    assert len(caplog.records) == 1
    client.say(copied(UNICODE), says("short"))
    assert guest.offered == ["short"]


@pytest.mark.parametrize("text", ["a" * MAX_TEXT, "\n" * MAX_TEXT], ids=["letters", "lines"])
def test_a_text_of_the_greatest_length_goes_both_ways(
    client: Client, guest: SyntheticClipboard, text: str
) -> None:
    answer = says(text)
    assert len(answer) <= ClipboardChannel.max_message
    client.say(copied(UNICODE), answer)
    assert guest.offered == [text]
    guest.copy(text)
    assert client.say(wants(UNICODE)) == [TEXT_IS_THERE, answer]


def test_a_session_that_only_looks_on_neither_gives_nor_gets(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    guest.copy("machine")
    client = Client(shared, view_only=True)
    assert client.say(CAPABILITIES, copied(UNICODE), wants(UNICODE)) == [*READY, TAKEN, REFUSED]
    guest.copy("again")
    assert client.heard == []


def test_a_session_that_may_again_gives_and_gets(shared: SharedClipboard, guest: SyntheticClipboard) -> None:
    client = Client(shared, view_only=True)
    client.say(CAPABILITIES, copied(UNICODE))
    client.look_only(False)
    client.wait()
    assert client.heard == [WANTED]
    client.say(says("client"))
    assert guest.offered == ["client"]
    guest.copy("machine")
    assert client.heard == [TEXT_IS_THERE]
    client.say(LIST_TAKEN)
    client.look_only(True)
    assert client.heard == [NOTHING_IS_THERE]
    assert client.say(wants(UNICODE)) == [REFUSED]


def test_a_machine_that_gets_its_clipboard_later_gets_what_the_client_has(
    shared: SharedClipboard, guest: SyntheticClipboard
) -> None:
    guest.is_there = False
    guest.changes.notify()
    client = Client(shared)
    assert client.say(CAPABILITIES, copied(UNICODE)) == [*READY, TAKEN]
    guest.is_there = True
    guest.changes.notify()
    client.wait()
    assert client.heard == [WANTED]


def test_what_one_session_copies_is_for_the_others_if_the_policy_says_so(guest: SyntheticClipboard) -> None:
    shared = SharedClipboard(guest, direction=ClipboardDirection.BOTH, between_sessions=True)
    one, other = Client(shared), Client(shared)
    for client in (one, other):
        client.say(CAPABILITIES, copied())
    one.say(copied(UNICODE), says("one"))
    assert other.heard == [TEXT_IS_THERE]
    assert other.say(LIST_TAKEN, wants(UNICODE)) == [says("one")]
    assert one.say(wants(UNICODE)) == [REFUSED]


def test_a_broken_message_is_the_clients_fault(client: Client) -> None:
    with pytest.raises(RemoteError):
        client.say(b"\x02\0")


def test_nobody_is_told_or_asked_after_the_end(client: Client, guest: SyntheticClipboard) -> None:
    assert client.say_at_once(copied(UNICODE)) == [TAKEN]
    client.handler.closed()
    guest.copy("machine")
    client.wait()
    assert client.heard == []


class Desk:
    """What a factory takes of a desktop."""

    def __init__(self) -> None:
        self.session = Session(
            "r1", protocol="rdp", transport="tcp", address="", tls=True, connected_at=0, end=lambda _: None
        )

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("direction", ClipboardDirection)
async def test_sessions_have_the_channel_unless_sharing_is_off(
    guest: SyntheticClipboard, direction: ClipboardDirection
) -> None:
    make = clipboard_channels(SharedClipboard(guest, direction=direction))
    made = make(Desk())  # type: ignore[arg-type] # a desktop as far as it matters
    assert (made is not None) is (direction is not ClipboardDirection.OFF)
