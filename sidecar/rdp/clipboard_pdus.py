"""The PDUs of the clipboard channel, as far as text needs them (MS-RDPECLIP 2.2)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import TypeAlias

from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.wire import Reader

NAME = "cliprdr"
"""The static channel."""

HEADER_LENGTH = 8

MAX_LIST = 1 << 15
"""Bytes of a format list or of capabilities: programs that offer everything have lists of 4 KiB."""

_HEADER = struct.Struct("<HHI")
_GENERAL_CAPABILITY = struct.Struct("<HHHHII")
_SHORT_NAME = 32


class MessageType(IntEnum):
    """msgType of the PDUs that are sent or read, 2.2.1; the names have CB_ in front in the specification."""

    MONITOR_READY = 0x0001
    FORMAT_LIST = 0x0002
    FORMAT_LIST_RESPONSE = 0x0003
    FORMAT_DATA_REQUEST = 0x0004
    FORMAT_DATA_RESPONSE = 0x0005
    CLIP_CAPS = 0x0007


class MessageFlag(IntFlag):
    """msgFlags, 2.2.1."""

    RESPONSE_OK = 0x0001
    RESPONSE_FAIL = 0x0002


class GeneralFlag(IntFlag):
    """generalFlags of the general capability set, 2.2.2.1.1.1; only what is served."""

    USE_LONG_FORMAT_NAMES = 0x00000002


class TextFormat(IntEnum):
    """The clipboard formats that are text, by Windows' numbers, the better one first."""

    UNICODETEXT = 13
    TEXT = 1


_GENERAL = 0x0001
_VERSION_2 = 2

_CODECS = {TextFormat.UNICODETEXT: "utf-16-le", TextFormat.TEXT: "cp1252"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the client's clipboard can do; one that says nothing can do nothing of it."""

    flags: GeneralFlag


@dataclass(frozen=True, slots=True)
class FormatList:
    """The client's clipboard has new contents, in these formats; none: it is empty."""

    formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FormatListAnswer:
    """The client has taken a format list, or failed to."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """The client wants what we have, in a format that may be any number."""

    format: int


@dataclass(frozen=True, slots=True)
class DataAnswer:
    """What the client's clipboard holds in the format that it was asked for; None: it did not say."""

    data: bytes | None = field(repr=False)


Event: TypeAlias = Capabilities | FormatList | FormatListAnswer | DataRequest | DataAnswer


def parse(message: bytes, *, long_names: bool) -> Event | None:
    """Takes one message of the channel; None where it is about files or locks, or unknown.

    `long_names`: whether both sides use them. Bytes behind the PDU are left alone: rdesktop pads. Raises
    RemoteError.
    """
    reader = Reader(message, "a PDU on the clipboard channel")
    kind, flags = reader.u16(), reader.u16()
    length = reader.u32()
    if kind == MessageType.FORMAT_LIST:
        # who writes a list anew may leave the length that it had with names: PyRDP does
        length = min(length, reader.remaining)
    body = reader.part(length, f"clipboard PDU {kind:#06x}")
    match kind:
        case MessageType.CLIP_CAPS:
            return Capabilities(_general_flags(_short(body)))
        case MessageType.FORMAT_LIST:
            return FormatList(_long_list(_short(body)) if long_names else _short_list(_short(body)))
        case MessageType.FORMAT_LIST_RESPONSE:
            return FormatListAnswer()
        case MessageType.FORMAT_DATA_REQUEST:
            return DataRequest(body.u32())
        case MessageType.FORMAT_DATA_RESPONSE:
            return DataAnswer(body.rest() if flags & MessageFlag.RESPONSE_OK else None)
        case _:
            return None


def capabilities() -> bytes:
    """CLIPRDR_CAPS: version 2, with long format names."""
    length = _GENERAL_CAPABILITY.size - 4
    flags = GeneralFlag.USE_LONG_FORMAT_NAMES
    return _message(
        MessageType.CLIP_CAPS, _GENERAL_CAPABILITY.pack(1, 0, _GENERAL, length, _VERSION_2, flags)
    )


def monitor_ready() -> bytes:
    """CLIPRDR_MONITOR_READY: the client may tell what it has."""
    return _message(MessageType.MONITOR_READY)


def format_list(formats: Sequence[TextFormat], *, long_names: bool) -> bytes:
    """CLIPRDR_FORMAT_LIST: the contents are new and to be had in these formats; none: there are none."""
    name = bytes(2 if long_names else _SHORT_NAME)
    body = b"".join(struct.pack("<I", known) + name for known in formats)
    return _message(MessageType.FORMAT_LIST, body)


def format_list_response() -> bytes:
    """FORMAT_LIST_RESPONSE: the client's list was taken."""
    return _message(MessageType.FORMAT_LIST_RESPONSE, flags=MessageFlag.RESPONSE_OK)


def data_request(wanted: TextFormat) -> bytes:
    """CLIPRDR_FORMAT_DATA_REQUEST."""
    return _message(MessageType.FORMAT_DATA_REQUEST, struct.pack("<I", wanted))


def data_response(data: bytes | None) -> bytes:
    """CLIPRDR_FORMAT_DATA_RESPONSE; None: there is nothing in the format that was asked for."""
    if data is None:
        return _message(MessageType.FORMAT_DATA_RESPONSE, flags=MessageFlag.RESPONSE_FAIL)
    return _message(MessageType.FORMAT_DATA_RESPONSE, data, MessageFlag.RESPONSE_OK)


def text_of(data: bytes, known: TextFormat) -> str:
    """The text up to its NUL, with LF for CRLF; what is none is replaced."""
    return data.decode(_CODECS[known], "replace").partition("\0")[0].replace("\r\n", "\n")


def data_of(text: str, known: TextFormat) -> bytes:
    """The text up to a NUL, with CRLF and a NUL at its end; what the format does not have is replaced."""
    lines = text.partition("\0")[0].replace("\r\n", "\n").replace("\n", "\r\n")
    return f"{lines}\0".encode(_CODECS[known], "replace")


def _message(kind: MessageType, body: bytes = b"", flags: int = 0) -> bytes:
    return _HEADER.pack(kind, flags, len(body)) + body


def _short(body: Reader) -> Reader:
    """`body`, if it is not too long to be gone through."""
    if body.remaining > MAX_LIST:
        raise RemoteError(Reason.OVERSIZED, f"A PDU on the clipboard channel has {body.remaining} bytes.")
    return body


def _general_flags(body: Reader) -> GeneralFlag:
    """Those of the general capability set, 2.2.2.1; other sets are skipped."""
    flags = 0
    count = body.u16()
    body.skip(2)
    for _ in range(count):
        kind, length = body.u16(), body.u16() - 4
        if length < 0:
            raise body.malformed("a capability set that is shorter than its header")
        capability = body.part(length, f"clipboard capability set {kind}")
        if kind == _GENERAL:
            capability.skip(4)
            flags = capability.u32()
    return GeneralFlag(flags & sum(GeneralFlag))


def _long_list(body: Reader) -> tuple[int, ...]:
    """CLIPRDR_LONG_FORMAT_NAMES, 2.2.3.1.2: the numbers alone, since text goes by no name."""
    formats = []
    while body.remaining:
        formats.append(body.u32())
        while body.u16():
            pass
    return tuple(formats)


def _short_list(body: Reader) -> tuple[int, ...]:
    """CLIPRDR_SHORT_FORMAT_NAMES, 2.2.3.1.1."""
    formats = []
    while body.remaining:
        formats.append(body.u32())
        # PyRDP writes long names where both sides have agreed on short ones
        body.skip(min(_SHORT_NAME, body.remaining))
    return tuple(formats)
