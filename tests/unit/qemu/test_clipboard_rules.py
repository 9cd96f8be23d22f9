"""What we do at QEMU's clipboard when it says what the real one says rarely, or never.

QEMU's end is a test double, by the rules of its ui/dbus-clipboard.c; tests/qemu meets the real one.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from dbus_fast import Message, MessageFlag, MessageType
from qemu_side import QemuSide
from support.waiting import eventually

from sidecar.qemu.clipboard import CLIPBOARD, MAX_OFFER, MAX_TEXT, PATH, TEXT, QemuClipboard
from sidecar.qemu.connection import PeerConnection
from sidecar.qemu.errors import CallRefused
from sidecar.qemu.link import PROPERTIES, Link

Answer = Callable[[Message], Message]


class QemuDouble(QemuSide):
    """Writes down what is called, and answers each call well unless `answers` says otherwise."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.calls: list[tuple[Any, ...]] = []
        self.text: bytes = b""
        self.answers: dict[str, Answer] = {}
        self.add_message_handler(self._receive)

    def _receive(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member in self.answers:
            self.calls.append((message.member, *message.body))
            return self.answers[message.member](message)
        if message.member == "GetAll":
            return Message.new_method_return(message, "a{sv}", [{}])
        self.calls.append((message.member, *message.body))
        if message.member == "Request":
            return Message.new_method_return(message, "say", [TEXT, self.text])
        return Message.new_method_return(message)

    async def say(
        self, member: str, signature: str = "", *body: Any, interface: str = CLIPBOARD
    ) -> list[Any]:
        return await self.request(None, PATH, interface, member, signature=signature, body=body, timeout=30)

    async def grab(self, serial: int, *, selection: int = 0, forms: tuple[str, ...] = (TEXT,)) -> None:
        await self.say("Grab", "uuas", selection, serial, list(forms))

    async def asked(self) -> bytes:
        """What is pasted in the guest."""
        form, data = await self.say("Request", "uas", 0, [TEXT])
        assert form == TEXT
        return bytes(data)

    def grabs(self) -> list[int]:
        """The serials of our grabs."""
        return [call[2] for call in self.calls if call[0] == "Grab"]


@asynccontextmanager
async def a_link() -> AsyncIterator[tuple[QemuDouble, Link]]:
    ours, theirs = socket.socketpair()
    qemu, connection = QemuDouble(theirs), PeerConnection(ours)
    try:
        await asyncio.gather(qemu.open(), connection.open())
        yield qemu, Link(connection, None)
    finally:
        connection.close()
        qemu.close()


@asynccontextmanager
async def serving(clipboard: QemuClipboard, link: Link) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(clipboard.serve(link, asyncio.Event()))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Scene:
    def __init__(self, qemu: QemuDouble, clipboard: QemuClipboard) -> None:
        self.qemu = qemu
        self.clipboard = clipboard
        self.heard: list[str | None] = []

    def observe(self) -> None:
        self.clipboard.changes.subscribe(lambda: self.heard.append(self.clipboard.text))

    async def copied(self, text: str, serial: int) -> None:
        """The guest copies a text, and it is here."""
        self.qemu.text = text.encode()
        before = len(self.heard)
        await self.qemu.grab(serial)
        await eventually(lambda: len(self.heard) > before, "the text is here")

    async def offered(self, text: str) -> None:
        """We offer a text, and QEMU has heard of it."""
        before = len(self.qemu.grabs())
        self.clipboard.offer(text)
        await eventually(lambda: len(self.qemu.grabs()) > before, "QEMU hears of the text")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    clipboard = QemuClipboard()
    async with a_link() as (qemu, link), serving(clipboard, link):
        await eventually(lambda: clipboard.is_there, "the clipboard is shared")
        yield Scene(qemu, clipboard)


async def test_serials_go_on_from_whoever_copied_last(scene: Scene) -> None:
    scene.observe()
    await scene.offered("ours")
    await scene.copied("theirs", 7)
    await scene.offered("ours again")
    assert scene.qemu.grabs() == [0, 8]
    assert scene.heard == ["theirs", None]
    assert await scene.qemu.asked() == b"ours again"


async def test_we_win_when_both_copy_at_once(scene: Scene) -> None:
    scene.observe()
    await scene.offered("ours")
    await scene.qemu.grab(0)
    await eventually(lambda: scene.qemu.grabs() == [0, 1], "we grab again")
    assert await scene.qemu.asked() == b"ours"
    assert scene.heard == []


async def test_what_we_offer_is_told_again_when_serials_begin_anew(scene: Scene) -> None:
    await scene.offered("one")
    await scene.offered("two")
    scene.qemu.calls.clear()
    await scene.qemu.say("Register")
    await eventually(scene.qemu.grabs, "QEMU hears of the text again")
    # what it remembers of the time before has a higher serial, and goes first
    assert scene.qemu.calls == [("Release", 0), ("Grab", 0, 0, [TEXT])]


async def test_what_we_offer_is_told_to_the_next_machine() -> None:
    clipboard = QemuClipboard()
    clipboard.offer("early")
    for _ in range(2):
        async with a_link() as (qemu, link), serving(clipboard, link):
            await eventually(qemu.grabs, "QEMU hears of the text")
            assert await qemu.asked() == b"early"
        assert not clipboard.is_there


async def test_only_text_on_the_clipboard_itself_is_ours(scene: Scene) -> None:
    scene.observe()
    await scene.offered("ours")
    await scene.qemu.grab(50, selection=1)
    await scene.qemu.say("Release", "u", 1)
    assert await scene.qemu.asked() == b"ours"
    for selection, forms in ((1, [TEXT]), (0, ["image/png"]), (0xFFFFFFFF, [])):
        with pytest.raises(CallRefused, match="nothing"):
            await scene.qemu.say("Request", "uas", selection, forms)
    assert scene.heard == []


async def test_a_guest_that_copied_a_picture_has_no_text(scene: Scene) -> None:
    scene.observe()
    await scene.copied("text", 0)
    await scene.qemu.grab(1, forms=("image/png",))
    await scene.copied("text", 2)
    await scene.qemu.say("Release", "u", 0)
    assert scene.heard == ["text", None, "text", None]


async def test_nothing_is_fetched_that_nobody_observes(scene: Scene) -> None:
    await scene.qemu.grab(0)
    scene.observe()
    await scene.copied("later", 1)
    assert [call[0] for call in scene.qemu.calls].count("Request") == 1


async def test_nothing_is_fetched_where_no_text_may_come_out_of_the_machine() -> None:
    clipboard, heard = QemuClipboard(fetches=False), []
    clipboard.changes.subscribe(lambda: heard.append((clipboard.is_there, clipboard.text)))
    async with a_link() as (qemu, link), serving(clipboard, link):
        await eventually(lambda: clipboard.is_there, "it is shared")
        await qemu.grab(0)
        clipboard.offer("for the machine")
        await eventually(qemu.grabs, "it is offered")
        assert await qemu.asked() == b"for the machine"
        assert "Request" not in [call[0] for call in qemu.calls]
    assert heard == [(True, None), (False, None)]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((TEXT, "Grüße\r\nz\0".encode()), "Grüße\nz"),
        ((TEXT, b"a\xff"), "a\N{REPLACEMENT CHARACTER}"),
        ((TEXT, b""), None),
        ((TEXT, bytes(MAX_TEXT + 1)), None),
        (("text/html", b"<b>"), None),
    ],
    ids=["text", "no UTF-8", "empty", "too long", "another form"],
)
async def test_what_the_guest_gives_is_text_or_nothing(
    scene: Scene, answer: tuple[str, bytes], text: str | None
) -> None:
    scene.observe()
    await scene.copied("before", 0)
    scene.qemu.answers["Request"] = lambda message: Message.new_method_return(message, "say", list(answer))
    await scene.qemu.grab(1)
    await eventually(lambda: scene.heard[1:] == [text], "the answer is taken in")


async def test_a_guest_that_gives_nothing_can_copy_again(scene: Scene) -> None:
    scene.observe()
    scene.qemu.answers["Request"] = lambda message: Message.new_error(message, "a.b.Failed", "Cancelled")
    await scene.qemu.grab(0)
    await eventually(lambda: ("Request", 0, [TEXT]) in scene.qemu.calls, "the text is asked for")
    del scene.qemu.answers["Request"]
    await scene.copied("second", 1)
    assert scene.heard == ["second"]


async def test_a_text_that_comes_when_we_have_copied_is_too_late(scene: Scene) -> None:
    scene.observe()

    def meanwhile(message: Message) -> Message:
        scene.clipboard.offer("ours")
        return Message.new_method_return(message, "say", [TEXT, b"theirs"])

    scene.qemu.answers["Request"] = meanwhile
    await scene.qemu.grab(0)
    await eventually(lambda: scene.qemu.grabs() == [1], "QEMU hears of our text")
    del scene.qemu.answers["Request"]
    await scene.copied("last", 2)
    assert scene.heard == ["last"]


async def test_what_does_not_fit_into_qemus_buffer_is_not_offered(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.offered("x" * MAX_OFFER)
    for _ in range(2):
        scene.clipboard.offer("secret" * MAX_OFFER)
    assert await scene.qemu.asked() == b"x" * MAX_OFFER
    assert caplog.messages == ["a text is too long for the machine's clipboard"]
    assert "secret" not in "".join(str(vars(record)) for record in caplog.records)


async def test_the_last_serial_is_followed_by_the_first(scene: Scene) -> None:
    scene.observe()
    await scene.copied("theirs", 0xFFFFFFFF)
    await scene.offered("ours")
    assert scene.qemu.grabs() == [0]


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [("Grab", "uu", (0, 1)), ("Release", "s", ("x",)), ("Request", "", ()), ("Paste", "", ())],
)
async def test_a_call_that_makes_no_sense_is_refused(
    scene: Scene, member: str, signature: str, body: tuple[Any, ...]
) -> None:
    with pytest.raises(CallRefused):
        await scene.qemu.say(member, signature, *body)
    assert (await scene.qemu.say("GetAll", "s", CLIPBOARD, interface=PROPERTIES))[0]["Interfaces"].value == []


async def test_qemu_without_a_clipboard_is_left_alone() -> None:
    clipboard = QemuClipboard()
    async with a_link() as (qemu, link):
        qemu.answers["GetAll"] = lambda message: Message.new_error(message, "a.b.UnknownMethod", "no object")
        first_try = asyncio.Event()
        async with asyncio.timeout(30):
            await clipboard.serve(link, first_try)
        assert first_try.is_set()
        assert not clipboard.is_there
        assert [call[0] for call in qemu.calls] == ["GetAll"]


async def test_a_peer_that_qemu_takes_for_the_one_before_registers_in_its_place() -> None:
    clipboard = QemuClipboard()
    async with a_link() as (qemu, link):

        def refuse(message: Message) -> Message:
            del qemu.answers["Register"]
            return Message.new_error(message, "org.qemu.Display1.Error.Failed", "already registered!")

        qemu.answers["Register"] = refuse
        async with serving(clipboard, link):
            await eventually(lambda: clipboard.is_there, "the clipboard is shared")
        assert [call[0] for call in qemu.calls] == ["Register", "Unregister", "Register"]


async def test_qemu_that_goes_at_any_moment_is_no_error() -> None:
    clipboard = QemuClipboard()
    steps: list[Callable[[QemuDouble], Awaitable[None]]] = [
        lambda qemu: asyncio.sleep(0),
        lambda qemu: qemu.grab(0),
    ]
    clipboard.changes.subscribe(lambda: None)
    for step in steps:
        async with a_link() as (qemu, link), serving(clipboard, link) as task:
            await eventually(lambda: clipboard.is_there, "the clipboard is shared")
            qemu.answers["Request"] = lambda message: qemu.close() or Message.new_method_return(message)
            await step(qemu)
            qemu.close()
            clipboard.offer("after the end")
            await asyncio.sleep(0)
            assert not task.done()


def test_nobody_else_on_the_bus_is_listened_to() -> None:
    clipboard = QemuClipboard()
    clipboard.offer("secret")
    request = Message(
        path=PATH, interface=CLIPBOARD, member="Request", signature="uas", body=[0, [TEXT]], serial=1
    )
    request.sender = ":1.666"
    assert clipboard.handle(":1.7", request) is None
    request.sender = ":1.7"
    answer = clipboard.handle(":1.7", request)
    assert isinstance(answer, Message)
    assert answer.body == [TEXT, b"secret"]
    request.flags = MessageFlag.NO_REPLY_EXPECTED
    assert clipboard.handle(":1.7", request) is True
