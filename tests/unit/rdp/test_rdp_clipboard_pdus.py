"""The PDUs of the clipboard channel, byte by byte, and what is refused."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp import clipboard_pdus as pdus
from sidecar.rdp.clipboard_pdus import (
    Capabilities,
    DataAnswer,
    DataRequest,
    FormatList,
    FormatListAnswer,
    GeneralFlag,
    TextFormat,
    parse,
)
from sidecar.rdp.errors import Reason, RemoteError


def pdu(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack("<HHI", kind, flags, len(body)) + body


def long_list(*formats: tuple[int, str]) -> bytes:
    return pdu(2, b"".join(struct.pack("<I", n) + f"{name}\0".encode("utf-16-le") for n, name in formats))


def short_list(*formats: tuple[int, bytes]) -> bytes:
    return pdu(2, b"".join(struct.pack("<I32s", number, name) for number, name in formats))


def test_what_is_sent() -> None:
    assert pdus.capabilities() == bytes.fromhex("0700 0000 10000000 01000000 0100 0c00 02000000 02000000")
    assert pdus.monitor_ready() == bytes.fromhex("0100 0000 00000000")
    assert pdus.format_list_response() == bytes.fromhex("0300 0100 00000000")
    assert pdus.data_request(TextFormat.UNICODETEXT) == bytes.fromhex("0400 0000 04000000 0d000000")
    assert pdus.data_response(b"ab") == bytes.fromhex("0500 0100 02000000 6162")
    assert pdus.data_response(None) == bytes.fromhex("0500 0200 00000000")


def test_format_lists_that_are_sent() -> None:
    formats = tuple(TextFormat)
    assert pdus.format_list(formats, long_names=True) == pdu(2, bytes.fromhex("0d000000 0000 01000000 0000"))
    assert pdus.format_list(formats, long_names=False) == short_list((13, b""), (1, b""))
    assert pdus.format_list((), long_names=True) == pdu(2)


def test_the_capabilities_of_a_client() -> None:
    general = bytes.fromhex("0100 0c00 02000000")
    message = pdu(7, bytes.fromhex("0200 0000 0900 0600 ffff") + general + bytes.fromhex("1e000000"))
    assert parse(message, long_names=False) == Capabilities(GeneralFlag.USE_LONG_FORMAT_NAMES)
    assert parse(pdu(7, bytes(4)), long_names=False) == Capabilities(GeneralFlag(0))


def test_format_lists_with_long_names() -> None:
    message = long_list((13, ""), (0xC0BC, "FileGroupDescriptorW"), (49161, "Datenobjekt €"))
    assert parse(message, long_names=True) == FormatList((13, 0xC0BC, 49161))
    assert parse(pdu(2), long_names=True) == FormatList(())


def test_format_lists_with_short_names() -> None:
    message = short_list((1, b""), (0xC0BC, b"F" * 32))
    assert parse(message, long_names=False) == FormatList((1, 0xC0BC))


def test_other_messages_of_a_client() -> None:
    assert parse(pdu(3, flags=1), long_names=True) == FormatListAnswer()
    assert parse(pdu(3, flags=2), long_names=True) == FormatListAnswer()
    assert parse(pdu(4, struct.pack("<I", 77)), long_names=True) == DataRequest(77)
    assert parse(pdu(5, b"abc", flags=1), long_names=True) == DataAnswer(b"abc")
    assert parse(pdu(5, b"", flags=2), long_names=True) == DataAnswer(None)


@pytest.mark.parametrize("kind", [6, 8, 9, 10, 11, 0, 0xFFFF])
def test_files_locks_and_what_nobody_knows_are_left_alone(kind: int) -> None:
    assert parse(pdu(kind, bytes(50_000)), long_names=True) is None


def test_padding_behind_a_message_is_left_alone() -> None:
    assert parse(pdu(4, struct.pack("<I", 13)) + bytes(4), long_names=False) == DataRequest(13)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(b"\x02\0\0\0\0\0\0", Reason.TRUNCATED, id="no whole header"),
        pytest.param(struct.pack("<HHI", 5, 1, 0xFFFFFFFF) + b"ab", Reason.TRUNCATED, id="too short"),
        pytest.param(pdu(4, b"\x0d\0"), Reason.TRUNCATED, id="half a format"),
        pytest.param(pdu(2, struct.pack("<I", 13) + b"a\0"), Reason.TRUNCATED, id="a name without an end"),
        pytest.param(pdu(7, b"\x01\0\0\0\x01\0\x03\0"), Reason.MALFORMED, id="a set shorter than its header"),
        pytest.param(pdu(7, b"\xff\xff\0\0"), Reason.TRUNCATED, id="sets that are not there"),
        pytest.param(pdu(2, bytes(pdus.MAX_LIST + 2)), Reason.OVERSIZED, id="an endless list"),
        pytest.param(pdu(7, bytes(pdus.MAX_LIST + 2)), Reason.OVERSIZED, id="endless capabilities"),
    ],
)
def test_what_is_broken_is_refused(message: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        parse(message, long_names=True)
    assert caught.value.reason is reason


def test_a_short_name_may_be_cut_short() -> None:
    assert parse(pdu(2, struct.pack("<I", 13) + bytes(31)), long_names=False) == FormatList((13,))


@given(st.binary(max_size=80), st.integers(0, 11), st.integers(0, 2), st.booleans())
def test_whatever_comes_is_a_message_or_the_documented_error(
    body: bytes, kind: int, flags: int, long_names: bool
) -> None:
    for message in (body, pdu(kind, body, flags)):
        with suppress(RemoteError):
            parse(message, long_names=long_names)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", "\0"),
        ("a\nb", "a\r\nb\0"),
        ("a\r\nb\n", "a\r\nb\r\n\0"),
        ("Grüße, 世界 🙂", "Grüße, 世界 🙂\0"),
        ("up to here\0no further", "up to here\0"),
    ],
)
def test_text_as_windows_writes_it(text: str, data: str) -> None:
    assert pdus.data_of(text, TextFormat.UNICODETEXT) == data.encode("utf-16-le")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        ("a\r\nb\r\n\0".encode("utf-16-le"), "a\nb\n"),
        ("a\nb".encode("utf-16-le"), "a\nb"),
        ("Grüße 🙂\0rest".encode("utf-16-le"), "Grüße 🙂"),
        (b"a\0\x00\xd8b\0", "a�b"),
        (b"a\0b", "a�"),
    ],
)
def test_text_from_windows(data: bytes, text: str) -> None:
    assert pdus.text_of(data, TextFormat.UNICODETEXT) == text


def test_text_for_those_who_know_no_unicode() -> None:
    assert pdus.data_of("Grüße €\n世", TextFormat.TEXT) == b"Gr\xfc\xdfe \x80\r\n?\0"
    assert pdus.text_of(b"Gr\xfc\xdfe \x80\r\n\x81\0rest", TextFormat.TEXT) == "Grüße €\n�"


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r")))
def test_text_comes_back_as_it_went(text: str) -> None:
    assert pdus.text_of(pdus.data_of(text, TextFormat.UNICODETEXT), TextFormat.UNICODETEXT) == text


def test_a_list_that_is_shorter_than_it_says_counts_as_far_as_it_goes() -> None:
    message = struct.pack("<HHI", 2, 0, 36) + struct.pack("<I", 13) + b"\0\0"
    assert parse(message, long_names=True) == FormatList((13,))
