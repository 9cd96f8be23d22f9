"""The extended clipboard: bodies of cut text messages with a negative length (facts: RFB section 3.1)."""

import struct
import zlib
from collections.abc import Mapping

from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.events import (
    ClipboardCaps,
    ClipboardNotify,
    ClipboardPeek,
    ClipboardProvide,
    ClipboardRequest,
    CutTextTooLong,
)
from sidecar.vnc.wire import CLIPBOARD_FORMATS, ClipboardAction, ClipboardFormat, Reader

try:
    from isal.isal_zlib import compress
except ImportError:
    # no wheel for this machine
    from zlib import compress

_U32 = struct.Struct(">I")

_ACTIONS = (
    ClipboardAction.CAPS
    | ClipboardAction.REQUEST
    | ClipboardAction.PEEK
    | ClipboardAction.NOTIFY
    | ClipboardAction.PROVIDE
)

_KNOWN = {int(known): known for known in ClipboardFormat}

ClipboardEvent = (
    ClipboardCaps | ClipboardRequest | ClipboardPeek | ClipboardNotify | ClipboardProvide | CutTextTooLong
)


def parse(body: bytes, limit: int) -> ClipboardEvent:
    """Reads one message: flags and what belongs to them.

    `limit`: most bytes that a PROVIDE may inflate to; a longer one becomes `CutTextTooLong`. Formats nobody
    knows are dropped. Raises RemoteError (MALFORMED).
    """
    reader = Reader(body, "The clipboard message")
    flags = reader.u32()
    formats = [1 << bit for bit in range(16) if flags & CLIPBOARD_FORMATS & 1 << bit]
    known = ClipboardFormat(flags & sum(ClipboardFormat))
    actions = ClipboardAction(flags & _ACTIONS)
    if ClipboardAction.CAPS in actions:
        sizes = {number: reader.u32() for number in formats}
        reader.end()
        known_sizes = {_KNOWN[number]: size for number, size in sizes.items() if number in _KNOWN}
        return ClipboardCaps(actions & ~ClipboardAction.CAPS, known_sizes)
    if actions is ClipboardAction.PROVIDE:
        return _parse_provide(reader.take(reader.remaining), formats, limit)
    reader.end()
    if actions is ClipboardAction.REQUEST:
        return ClipboardRequest(known)
    if actions is ClipboardAction.PEEK:
        return ClipboardPeek()
    if actions is ClipboardAction.NOTIFY:
        return ClipboardNotify(known)
    raise RemoteError(Reason.MALFORMED, "A clipboard message must have exactly one action.")


def _parse_provide(compressed: bytes, formats: list[int], limit: int) -> ClipboardProvide | CutTextTooLong:
    most = limit + len(formats) * _U32.size
    try:
        # the bound holds inside zlib: a bomb is never unfolded (CVE-2023-3255 was a loop around it)
        data = zlib.decompressobj().decompress(compressed, most + 1)
    except zlib.error:
        raise RemoteError(Reason.MALFORMED, "The clipboard's contents are not zlib data.") from None
    if len(data) > most:
        return CutTextTooLong(len(data))
    reader = Reader(data, "The clipboard's contents")
    contents = {}
    for number in formats:
        content = reader.take(reader.u32())
        if number in _KNOWN:
            contents[_KNOWN[number]] = content
    reader.end()
    return ClipboardProvide(contents)


def text_of(content: bytes) -> str:
    """The text of a TEXT content: UTF-8 up to its NUL, with LF for CRLF; what is not UTF-8 is replaced."""
    return content.partition(b"\0")[0].decode("utf-8", "replace").replace("\r\n", "\n")


def content_of(text: str) -> bytes:
    """The TEXT content for a text: UTF-8 with CRLF and a NUL at its end."""
    lines = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return lines.encode("utf-8", "replace") + b"\0"


def caps(sizes: Mapping[ClipboardFormat, int], actions: ClipboardAction) -> bytes:
    """The body that tells this side's formats, their greatest unsolicited sizes in bytes, and its actions."""
    ordered = sorted(sizes)
    flags = int(ClipboardAction.CAPS | actions) | sum(ordered)
    return struct.pack(f">I{len(ordered)}I", flags, *(sizes[known] for known in ordered))


def request(formats: ClipboardFormat) -> bytes:
    """The body that asks for contents."""
    return _U32.pack(ClipboardAction.REQUEST | formats)


def peek() -> bytes:
    """The body that asks what there is."""
    return _U32.pack(ClipboardAction.PEEK)


def notify(formats: ClipboardFormat) -> bytes:
    """The body that tells in which formats there is something; none: the clipboard is empty."""
    return _U32.pack(ClipboardAction.NOTIFY | formats)


def provide(contents: Mapping[ClipboardFormat, bytes]) -> bytes:
    """The body with contents: one complete zlib stream of its own."""
    ordered = sorted(contents)
    data = b"".join(_U32.pack(len(contents[known])) + contents[known] for known in ordered)
    return _U32.pack(int(ClipboardAction.PROVIDE) | sum(ordered)) + bytes(compress(data, 1))
