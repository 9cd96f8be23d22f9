"""The examples of docs/rfb-streams.md are what is packed and read."""

import re
from pathlib import Path

from sidecar.vnc import messages
from sidecar.vnc.stream_messages import (
    HEADER,
    VERSION,
    Announce,
    Break,
    Close,
    Credit,
    Data,
    Open,
    Opened,
    Rights,
    Withdraw,
    check_length,
    pack,
    parse_client,
    parse_server,
)
from sidecar.vnc.wire import PseudoEncoding, StreamEnd, StreamFlag, StreamKind

PAGE = Path(__file__).parents[3] / "docs" / "rfb-streams.md"

WRITE, BOTH, NEITHER = StreamFlag.WRITE, StreamFlag.WRITE | StreamFlag.HISTORY, StreamFlag(0)

TOLD = [
    Announce(0, StreamKind.SERIAL, WRITE, "guest.console.0", "serial0"),
    Open(0, BOTH, 65536),
    Opened(0, BOTH, 16384),
    Data(0, b"login: "),
    Credit(0, 7),
    Data(0, b"root\r"),
    Break(0, 0),
    Rights(0, NEITHER),
    Close(0, StreamEnd.DONE, ""),
    Withdraw(0),
    Open(0, NEITHER, 4096),
    Close(0, StreamEnd.GONE, ""),
]


def examples() -> list[bytes]:
    """Each line of bytes below the heading."""
    text = PAGE.read_text().partition("## Examples")[2].partition("\n## ")[0]
    return [bytes.fromhex(line) for line in re.findall(r"^    ((?:[0-9a-f]{2} *)+)$", text, re.MULTILINE)]


def test_the_examples_are_what_is_packed() -> None:
    agreement, *rest = examples()
    assert agreement == messages.update_header(1) + messages.rectangle_header(
        VERSION, 0, 0, 0, PseudoEncoding.STREAMS
    )
    assert rest == [pack(message) for message in TOLD]


def test_the_examples_are_read_as_what_they_say() -> None:
    read = []
    for example, message in zip(examples()[1:], TOLD, strict=True):
        kind, operation, stream, length = HEADER.unpack_from(example)
        check_length(operation, length)
        assert (kind, length) == (181, len(example) - HEADER.size)
        parse = parse_client if isinstance(message, Open | Credit | Break) else parse_server
        read.append(parse(operation, stream, example[HEADER.size :]))
    assert read == TOLD
