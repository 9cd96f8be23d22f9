"""Credit, both ways."""

from collections.abc import Callable

import pytest

from sidecar.console.attachment import LARGEST_DATA, WINDOW, Attachment
from sidecar.console.connection import ClientConnection
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.stream_messages import (
    MAX_BODY,
    MAX_CREDIT,
    Announce,
    Break,
    Close,
    Credit,
    Data,
    Open,
    Opened,
    Rights,
    pack,
)
from sidecar.vnc.wire import StreamEnd, StreamFlag, StreamKind

OpenConnection = Callable[..., ClientConnection]
WRITE, HISTORY, NOTHING = StreamFlag.WRITE, StreamFlag.HISTORY, StreamFlag(0)
PORT = Announce(3, StreamKind.SERIAL, WRITE, "serial", "")


def attach(connection: ClientConnection, *, write: bool = True) -> Attachment:
    attachment = Attachment(connection, PORT, write=write, history=True)
    connection.outgoing()
    return attachment


@pytest.mark.parametrize(
    ("write", "history", "flags"),
    [(True, True, WRITE | HISTORY), (True, False, WRITE), (False, True, HISTORY), (False, False, NOTHING)],
)
def test_it_is_opened_as_the_person_wishes(
    write: bool, history: bool, flags: StreamFlag, open_connection: OpenConnection
) -> None:
    connection = open_connection()
    Attachment(connection, PORT, write=write, history=history)
    assert connection.outgoing() == pack(Open(3, flags, WINDOW))


def test_no_more_is_sent_than_there_is_credit_for(open_connection: OpenConnection) -> None:
    connection = open_connection()
    attachment = attach(connection)
    assert attachment.send(b"abc") == 0
    attachment.opened(Opened(3, WRITE, 2))
    assert attachment.send(b"abc") == 2
    assert attachment.send(b"c") == 0
    attachment.credited(Credit(3, 10))
    assert attachment.send(b"c") == 1
    assert connection.outgoing() == pack(Data(3, b"ab")) + pack(Data(3, b"c"))
    assert attachment.credit == 9


def test_one_message_is_not_large_and_credit_has_an_end(open_connection: OpenConnection) -> None:
    attachment = attach(open_connection())
    attachment.opened(Opened(3, WRITE, 0xFFFFFFFF))
    attachment.credited(Credit(3, 0xFFFFFFFF))
    assert attachment.credit == MAX_CREDIT
    assert attachment.send(bytes(1 << 20)) == LARGEST_DATA


def test_a_server_may_send_the_window_and_more_only_for_what_was_shown(
    open_connection: OpenConnection,
) -> None:
    connection = open_connection()
    attachment = attach(connection)
    for _ in range(WINDOW // MAX_BODY):
        attachment.received(Data(3, bytes(MAX_BODY)))
    attachment.shown(WINDOW // 4 - 1)
    assert connection.outgoing() == b""
    attachment.shown(1)
    assert connection.outgoing() == pack(Credit(3, WINDOW // 4))
    attachment.received(Data(3, bytes(WINDOW // 4)))
    with pytest.raises(RemoteError):
        attachment.received(Data(3, b"x"))


def test_who_only_reads_never_may_write_whatever_the_server_says(open_connection: OpenConnection) -> None:
    reader, writer = attach(open_connection(), write=False), attach(open_connection())
    for attachment in (reader, writer):
        attachment.opened(Opened(3, NOTHING, 10))
        assert not attachment.may_write
        attachment.righted(Rights(3, WRITE))
    assert not reader.may_write
    assert writer.may_write
    writer.righted(Rights(3, NOTHING))
    assert not writer.may_write


def test_a_break_and_the_end(open_connection: OpenConnection) -> None:
    connection = open_connection()
    attachment = attach(connection)
    attachment.send_break()
    attachment.close()
    assert connection.outgoing() == pack(Break(3)) + pack(Close(3, StreamEnd.DONE))
