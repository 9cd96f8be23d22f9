"""Dynamic virtual channels: any number of them inside the static channel drdynvc (MS-RDPEDYC)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import TypeAlias

from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.virtual_channel import ChannelSender
from sidecar.rdp.wire import Reader

NAME = "drdynvc"
"""The static channel that carries all of this."""

MAX_PDU = 1600
"""Bytes of one PDU with its header (MS-RDPEDYC 2.2.3), whatever the chunk length is."""

MAX_MESSAGE = 1 << 16
"""Bytes of a message from the client, where a channel does not say otherwise."""

_MAX_SINGLE = 1590
"""Bytes of a message that goes without a DYNVC_DATA_FIRST (MS-RDPEDYC 2.2.3.2)."""

_VERSION = 3
"""What is offered: version 3 only adds compressed data, which no client sends unless the server does."""

_CAPABILITIES = struct.Struct("<BxH4H")


class Command(IntEnum):
    """Cmd, the upper four bits of a PDU."""

    CREATE = 0x01
    DATA_FIRST = 0x02
    DATA = 0x03
    CLOSE = 0x04
    CAPABILITIES = 0x05
    DATA_FIRST_COMPRESSED = 0x06
    DATA_COMPRESSED = 0x07
    SOFT_SYNC_REQUEST = 0x08
    SOFT_SYNC_RESPONSE = 0x09


class ChannelState(Enum):
    """Where a dynamic channel is."""

    OPENING = auto()
    """asked for; the client has not answered"""
    OPEN = auto()
    CLOSING = auto()
    """closed by this side; what the client has sent meanwhile is dropped"""
    CLOSED = auto()
    """closed by the client, or refused"""


class DynamicChannel:
    """One dynamic channel. Made by `DynamicChannels.open`; compared by identity."""

    __slots__ = ("_channels", "_header", "id", "max_message", "name", "partial", "state", "wanted")

    def __init__(self, channels: "DynamicChannels", identifier: int, name: str, max_message: int) -> None:
        self.id = identifier
        self.name = name
        self.max_message = max_message
        """Bytes of the longest message that is taken from the client."""
        self.state = ChannelState.OPENING
        self.partial: bytearray | None = None
        """What has come of a message in pieces, up to now; its whole length is `wanted`."""
        self.wanted = 0
        self._channels = channels
        self._header = _header(Command.DATA, identifier)

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self.state is ChannelState.OPEN

    def send(self, message: bytes | bytearray | memoryview) -> None:
        """Sends one message of any length, in pieces where it is longer than 1590 bytes.

        Raises LocalError unless the channel is open.
        """
        if self.state is not ChannelState.OPEN:
            raise LocalError(f"dynamic channel {self.name} is not open")
        sender = self._channels.sender
        length = len(message)
        if length <= min(_MAX_SINGLE, self._channels.pdu_length - len(self._header)):
            sender.send(self._header + message)
            return
        first = _data_first(self.id, length)
        start = self._channels.pdu_length - len(first)
        view = memoryview(message)
        sender.send(first + view[:start])
        if length > start:
            sender.send_slices(self._header, view[start:], self._channels.pdu_length - len(self._header))

    def close(self) -> None:
        """Ends the channel; the client's answer brings no event. Nothing happens on one that is closed."""
        if self.state in (ChannelState.OPENING, ChannelState.OPEN):
            self.state = ChannelState.CLOSING
            self.partial = None
            self._channels.sender.send(_header(Command.CLOSE, self.id))


@dataclass(frozen=True, slots=True)
class Ready:
    """The client has answered the capabilities: channels may be opened. `version`: 1, 2 or 3."""

    version: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The client has this channel: messages may be sent."""

    channel: DynamicChannel


@dataclass(frozen=True, slots=True)
class Refused:
    """The client does not have this channel. `status`: a negative HRESULT."""

    channel: DynamicChannel
    status: int


@dataclass(frozen=True, slots=True)
class Data:
    """A whole message of a channel."""

    channel: DynamicChannel
    message: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The client has ended this channel."""

    channel: DynamicChannel


Event: TypeAlias = Ready | Opened | Refused | Data | Closed


class DynamicChannels:
    """The server's side of drdynvc on one connection, without input or output.

    `sender`: the static channel. `chunk_length`: the client's chunk length in bytes; PDUs are no longer than
    that and than 1600.

    What a client can make it hold is bounded by the `max_message` of the channels that are open.
    """

    def __init__(self, sender: ChannelSender, chunk_length: int = MAX_PDU) -> None:
        self.sender = sender
        self.pdu_length = min(chunk_length, MAX_PDU)
        """Bytes of the longest PDU that is sent."""
        self._version = 0
        self._channels: dict[int, DynamicChannel] = {}
        self._last_id = 0

    @property
    def version(self) -> int:
        """What client and server both have: 1, 2 or 3; 0 before the client has answered."""
        return self._version

    def start(self) -> None:
        """Sends the capabilities (DYNVC_CAPS_VERSION3). To be called once, when the connection is active."""
        # all four priority classes alike
        self.sender.send(_CAPABILITIES.pack(Command.CAPABILITIES << 4, _VERSION, 0, 0, 0, 0))

    def open(self, name: str, max_message: int = MAX_MESSAGE, priority: int = 0) -> DynamicChannel:
        """Asks the client for a channel; `Opened` or `Refused` follows.

        `name`: ASCII. `max_message`: bytes of the longest message that is taken from the client.
        `priority`: 0..3. Raises LocalError before `Ready`.
        """
        if not self._version:
            raise LocalError(f"dynamic channel {name} is wanted before the client is ready")
        self._last_id += 1
        channel = DynamicChannel(self, self._last_id, name, max_message)
        self._channels[channel.id] = channel
        self.sender.send(_header(Command.CREATE, channel.id, priority) + name.encode("ascii") + b"\0")
        return channel

    def receive(self, message: bytes) -> Iterator[Event]:
        """Takes one message of the static channel.

        Raises RemoteError while iterating: for a broken PDU, for one of a channel that was never opened, for
        a message that its channel does not take, and for compressed data, which this side never asks for.
        """
        pdu = Reader(message, "a DYNVC PDU")
        header = pdu.u8()
        command = header >> 4
        if command in (Command.SOFT_SYNC_REQUEST, Command.SOFT_SYNC_RESPONSE):
            return
        if command == Command.CAPABILITIES:
            yield from self._capabilities(pdu)
            return
        identifier = _sized(pdu, header & 3)
        if not 0 < identifier <= self._last_id:
            raise RemoteError(Reason.UNKNOWN_CHANNEL, f"no dynamic channel has the number {identifier}")
        channel = self._channels.get(identifier)
        if command == Command.DATA:
            yield from self._data(self._open_channel(channel, identifier), pdu.rest())
        elif command == Command.DATA_FIRST:
            length = _sized(pdu, (header >> 2) & 3)
            yield from self._data_first(self._open_channel(channel, identifier), length, pdu.rest())
        elif command == Command.CREATE:
            yield from self._created(channel, identifier, pdu)
        elif command == Command.CLOSE:
            yield from self._closed(channel)
        elif command in (Command.DATA_FIRST_COMPRESSED, Command.DATA_COMPRESSED):
            raise RemoteError(
                Reason.UNEXPECTED, "compressed data on a dynamic channel, which was not agreed on"
            )
        else:
            raise pdu.malformed(f"there is no command {command:#x}")

    def _capabilities(self, pdu: Reader) -> Iterator[Event]:
        pdu.skip(1)
        version = pdu.u16()
        pdu.end()
        if not version:
            raise pdu.malformed("version 0")
        if not self._version:
            self._version = min(version, _VERSION)
            yield Ready(self._version)

    def _created(self, channel: DynamicChannel | None, identifier: int, pdu: Reader) -> Iterator[Event]:
        status = pdu.i32()
        pdu.end()
        if channel is not None and channel.state is ChannelState.CLOSING:
            if status < 0:
                self._forget(channel)
            return
        if channel is None or channel.state is not ChannelState.OPENING:
            raise RemoteError(Reason.UNEXPECTED, f"nobody asked for dynamic channel {identifier} again")
        if status < 0:
            self._forget(channel)
            yield Refused(channel, status)
        else:
            channel.state = ChannelState.OPEN
            yield Opened(channel)

    def _data_first(self, channel: DynamicChannel, length: int, part: bytes) -> Iterator[Event]:
        if channel.state is ChannelState.CLOSING:
            return
        if channel.partial is not None:
            raise RemoteError(
                Reason.UNEXPECTED, f"a message on dynamic channel {channel.name} begins inside another"
            )
        _check_length(channel, length)
        channel.partial = bytearray()
        channel.wanted = length
        yield from self._data(channel, part)

    def _data(self, channel: DynamicChannel, part: bytes) -> Iterator[Event]:
        if channel.state is ChannelState.CLOSING:
            return
        if channel.partial is None:
            _check_length(channel, len(part))
            yield Data(channel, part)
            return
        if len(channel.partial) + len(part) > channel.wanted:
            raise RemoteError(
                Reason.MALFORMED, f"a message on dynamic channel {channel.name} is longer than it says"
            )
        channel.partial += part
        if len(channel.partial) == channel.wanted:
            whole, channel.partial = bytes(channel.partial), None
            yield Data(channel, whole)

    def _closed(self, channel: DynamicChannel | None) -> Iterator[Event]:
        # two closes may cross on their way, and then the second one is of a channel that is gone
        if channel is not None:
            was_closing = channel.state is ChannelState.CLOSING
            self._forget(channel)
            if not was_closing:
                yield Closed(channel)

    def _open_channel(self, channel: DynamicChannel | None, identifier: int) -> DynamicChannel:
        if channel is None or channel.state is ChannelState.OPENING:
            raise RemoteError(
                Reason.UNKNOWN_CHANNEL, f"data for dynamic channel {identifier}, which is not open"
            )
        return channel

    def _forget(self, channel: DynamicChannel) -> None:
        channel.state = ChannelState.CLOSED
        channel.partial = None
        del self._channels[channel.id]


def _check_length(channel: DynamicChannel, length: int) -> None:
    if length > channel.max_message:
        raise RemoteError(
            Reason.OVERSIZED,
            f"{length} bytes on dynamic channel {channel.name}, which takes {channel.max_message} at a time",
        )


def _sized(pdu: Reader, size: int) -> int:
    """A field of one, two or four bytes as cbId and Len say: 0, 1 or 2."""
    if size == 0:
        return pdu.u8()
    if size == 1:
        return pdu.u16()
    if size == 2:
        return pdu.u32()
    raise pdu.malformed("a field length of 3")


def _size(value: int) -> tuple[int, bytes]:
    """cbId or Len for a value, and the value's bytes."""
    if value <= 0xFF:
        return 0, value.to_bytes(1, "little")
    if value <= 0xFFFF:
        return 1, value.to_bytes(2, "little")
    return 2, value.to_bytes(4, "little")


def _header(command: Command, identifier: int, priority: int = 0) -> bytes:
    size, field = _size(identifier)
    return bytes((command << 4 | priority << 2 | size,)) + field


def _data_first(identifier: int, length: int) -> bytes:
    size, field = _size(identifier)
    length_size, length_field = _size(length)
    return bytes((Command.DATA_FIRST << 4 | length_size << 2 | size,)) + field + length_field
