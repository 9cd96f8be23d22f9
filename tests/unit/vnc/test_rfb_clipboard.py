"""The extended clipboard, both ways."""

import struct
import zlib
from collections.abc import Callable

import pytest

from sidecar.vnc import clipboard
from sidecar.vnc.capabilities import ALWAYS_OFFERED, Extension
from sidecar.vnc.connection import ServerConnection
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import (
    ClipboardCaps,
    ClipboardNotify,
    ClipboardPeek,
    ClipboardProvide,
    ClipboardRequest,
    CutTextTooLong,
)
from sidecar.vnc.wire import ClipboardAction, ClipboardFormat, PseudoEncoding

LIMIT = 1000
TEXT, HTML = ClipboardFormat.TEXT, ClipboardFormat.HTML


def provide(formats: int, inflated: bytes) -> bytes:
    return struct.pack(">I", 1 << 28 | formats) + zlib.compress(inflated)


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (
            "1f000001 00000000",
            ClipboardCaps(
                ClipboardAction.REQUEST
                | ClipboardAction.PEEK
                | ClipboardAction.NOTIFY
                | ClipboardAction.PROVIDE,
                {TEXT: 0},
            ),
        ),
        (
            "13000005 00100000 00000007",
            ClipboardCaps(ClipboardAction.REQUEST | ClipboardAction.PROVIDE, {TEXT: 1 << 20, HTML: 7}),
        ),
        ("01008001 00000005 00000006", ClipboardCaps(ClipboardAction(0), {TEXT: 5})),
        ("02000001", ClipboardRequest(TEXT)),
        ("02008000", ClipboardRequest(ClipboardFormat(0))),
        ("04000000", ClipboardPeek()),
        ("08000005", ClipboardNotify(TEXT | HTML)),
        ("08000000", ClipboardNotify(ClipboardFormat(0))),
    ],
)
def test_a_message_becomes_its_event(body: str, event: object) -> None:
    assert clipboard.parse(bytes.fromhex(body), LIMIT) == event


def test_contents_come_by_their_formats() -> None:
    inflated = b"\x00\x00\x00\x03hi\0" + b"\x00\x00\x00\x00" + b"\x00\x00\x00\x04what"
    assert clipboard.parse(provide(0b1000_0000_0000_0101, inflated), LIMIT) == ClipboardProvide(
        {TEXT: b"hi\0", HTML: b""}
    )


def test_contents_that_just_fit_are_taken_and_longer_ones_are_not() -> None:
    for size, expected in ((LIMIT, ClipboardProvide), (LIMIT + 1, CutTextTooLong)):
        inflated = struct.pack(">I", size) + bytes(size)
        assert isinstance(clipboard.parse(provide(1, inflated), LIMIT), expected)


def test_a_bomb_is_not_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    produced = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self) -> None:
            self._inflater = real()

        def __getattr__(self, name: str) -> object:
            return getattr(self._inflater, name)

        def decompress(self, data: bytes, limit: int) -> bytes:
            result = self._inflater.decompress(data, limit)
            produced.append(len(result))
            return result

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    bomb = provide(1, struct.pack(">I", 1 << 24) + bytes(1 << 24))
    assert len(bomb) < 1 << 15
    assert isinstance(clipboard.parse(bomb, LIMIT), CutTextTooLong)
    assert sum(produced) <= LIMIT + 4 + 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        bytes(4),
        struct.pack(">I", 0x06000001),
        struct.pack(">I", 0x1A000001),
        struct.pack(">I", 0x01000001),
        struct.pack(">III", 0x01000001, 0, 0),
        struct.pack(">II", 0x02000001, 0),
        struct.pack(">I", 0x10000001),
        struct.pack(">I", 0x10000001) + b"no zlib data",
        provide(1, b"\x00\x00\x00"),
        provide(1, b"\x00\x00\x00\x05four"),
        provide(1, b"\xff\xff\xff\xff"),
        provide(1, b"\x00\x00\x00\x00and more"),
        provide(3, b"\x00\x00\x00\x00"),
        provide(1, b"\x00\x00\x00\x20" + bytes(32))[:-8],
    ],
)
def test_a_malformed_message_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteError) as raised:
        clipboard.parse(body, LIMIT)
    assert raised.value.reason is Reason.MALFORMED


def test_a_message_comes_through_a_connection(
    open_session: Callable[..., ServerConnection],
) -> None:
    session = open_session(
        [PseudoEncoding.EXTENDED_CLIPBOARD], offered=ALWAYS_OFFERED | Extension.EXTENDED_CLIPBOARD
    )
    assert list(session.receive(bytes.fromhex("06 000000 fffffffc 08000001"))) == [ClipboardNotify(TEXT)]


@pytest.mark.parametrize(
    ("text", "content"),
    [("", b"\0"), ("a\nb", b"a\r\nb\0"), ("a\r\nb", b"a\r\nb\0"), ("\u20ac", b"\xe2\x82\xac\0")],
)
def test_text_travels_as_utf_8_with_crlf_and_nul(text: str, content: bytes) -> None:
    assert clipboard.content_of(text) == content
    assert clipboard.text_of(content) == text.replace("\r\n", "\n")


def test_text_that_is_not_utf_8_or_has_no_nul_is_shown_as_far_as_it_goes() -> None:
    assert clipboard.text_of(b"a\xffb") == "a\ufffdb"
    assert clipboard.text_of(b"a\0secret rest") == "a"


def test_what_this_side_sends_is_what_it_would_read() -> None:
    actions = ClipboardAction.REQUEST | ClipboardAction.NOTIFY | ClipboardAction.PROVIDE
    assert clipboard.caps({TEXT: 7}, actions) == bytes.fromhex("1b000001 00000007")
    sizes = {HTML: 5, TEXT: 1 << 20}
    assert clipboard.parse(clipboard.caps(sizes, actions), LIMIT) == ClipboardCaps(actions, sizes)
    assert clipboard.request(TEXT) == bytes.fromhex("02000001")
    assert clipboard.notify(TEXT | HTML) == bytes.fromhex("08000005")
    contents = {HTML: b"<b>", TEXT: b"b\0"}
    assert clipboard.parse(clipboard.provide(contents), LIMIT) == ClipboardProvide(contents)


def test_contents_are_one_complete_zlib_stream() -> None:
    inflater = zlib.decompressobj()
    body = clipboard.provide({TEXT: b"b\0"})
    assert inflater.decompress(body[4:]) == b"\x00\x00\x00\x02b\0"
    assert inflater.eof
