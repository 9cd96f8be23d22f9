"""Channels that features bring along, from the table through drdynvc to their handlers and back."""

import pytest
from support.rdp_graphics import ChunkCollector

from sidecar.rdp.channel_table import ChannelTable, DynamicChannelHandler, MessageSender, StaticChannelHandler
from sidecar.rdp.dynamic_channels import Closed, Data, DynamicChannels, Opened


class Echo:
    """The example of the table's documentation, which keeps count of its calls."""

    max_message = 100

    def __init__(self, session: str) -> None:
        self.session = session
        self.is_closed = False

    def opened(self, channel: MessageSender) -> None:
        self._channel = channel

    def receive(self, message: bytes) -> None:
        self._channel.send(message + b" " + self.session.encode())

    def closed(self) -> None:
        self.is_closed = True


def test_a_dynamic_handler_echoes() -> None:
    table: ChannelTable[str] = ChannelTable()
    table.add_dynamic("ECHO", Echo)
    sender = ChunkCollector()
    channels = DynamicChannels(sender)
    list(channels.receive(bytes.fromhex("50000300")))
    handlers: dict[int, DynamicChannelHandler] = {}
    for name, handler in table.dynamic_handlers("alice"):
        handlers[channels.open(name, handler.max_message).id] = handler
    assert sender.taken() == [b"\x10\x01ECHO\0"]
    for message in (bytes.fromhex("10 01 00000000"), b"\x30\x01hello", b"\x40\x01"):
        for event in channels.receive(message):
            if isinstance(event, Opened):
                handlers[event.channel.id].opened(event.channel)
            elif isinstance(event, Data):
                handlers[event.channel.id].receive(event.message)
            elif isinstance(event, Closed):
                handlers[event.channel.id].closed()
    assert sender.taken() == [b"\x30\x01hello alice"]
    echo = handlers[1]
    assert isinstance(echo, Echo)
    assert echo.is_closed


def test_a_static_handler_echoes() -> None:
    table: ChannelTable[str] = ChannelTable()
    table.add_static("echo", Echo)
    sender = ChunkCollector()
    handler = table.static_handler("echo", "bob")
    assert handler is not None
    handler.opened(sender)
    handler.receive(b"hello")
    assert sender.taken() == [b"hello bob"]


def test_channels_that_nothing_serves_have_no_handler() -> None:
    table: ChannelTable[str] = ChannelTable()
    assert table.static_handler("rdpdr", "carol") is None
    assert list(table.dynamic_handlers("carol")) == []


def test_a_factory_may_leave_a_session_out() -> None:
    def only_alice(session: str) -> Echo | None:
        return Echo(session) if session == "alice" else None

    table: ChannelTable[str] = ChannelTable()
    table.add_static("one", only_alice)
    table.add_dynamic("two", only_alice)
    assert table.static_handler("one", "alice") is not None
    assert table.static_handler("one", "bob") is None
    assert [name for name, _ in table.dynamic_handlers("alice")] == ["two"]
    assert list(table.dynamic_handlers("bob")) == []


def test_every_session_has_handlers_of_its_own() -> None:
    table: ChannelTable[str] = ChannelTable()
    table.add_static("echo", Echo)
    made: list[StaticChannelHandler | None] = [table.static_handler("echo", name) for name in ("a", "b")]
    assert made[0] is not made[1]


def test_a_name_is_served_once() -> None:
    table: ChannelTable[str] = ChannelTable()
    table.add_static("echo", Echo)
    table.add_dynamic("echo", Echo)
    with pytest.raises(ValueError, match="echo"):
        table.add_static("echo", Echo)
    with pytest.raises(ValueError, match="echo"):
        table.add_dynamic("echo", Echo)
