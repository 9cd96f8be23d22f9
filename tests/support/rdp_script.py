"""A scripted RDP client without input or output, for whole conversations and for broken ones.

Every step of the connection sequence is a method that gives its bytes; nothing is checked before, so that a
test can leave steps out, repeat, cut and mix them. `receive` takes what the server sends apart, remembers
what later steps need, and is strict: what a server must not send raises Broken.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_graphics import DynamicChannelReader
from support.rdp_server_pdus import ServerPdu, require

STEPS = (
    "connection_request",
    "connect_initial",
    "erect_domain",
    "attach_user",
    "joins",
    "client_info",
    "confirm_active",
    "synchronize",
    "cooperate",
    "request_control",
    "font_list",
)
"""The connection sequence. The server has something to say after all but erect_domain, synchronize and
cooperate; TLS follows the first."""

ACTIVATION = STEPS[6:]
"""What is repeated after a Deactivate All."""


@dataclass(frozen=True)
class Profile:
    """What a client says of itself."""

    width: int = 1024
    height: int = 768
    channels: tuple[str, ...] = ("rdpdr", "cliprdr", "drdynvc")
    protocols: int | None = client.SSL
    line: bytes = b"Cookie: mstshash=peer\r\n"
    early: int = client.ERRINFO | client.WANT_32BPP
    user: str = "user"
    password: str = "password"
    domain: str = ""
    message_channel: bool = False
    monitors: tuple[tuple[int, int, int, int, int], ...] = ()
    """Left, top, right, bottom (inclusive), flags."""
    capability_sets: tuple[bytes, ...] | None = None
    more_blocks: bytes = b""
    """Client data blocks beside those that every client has."""


@dataclass(frozen=True)
class DynamicMessage:
    """A whole message of a dynamic channel."""

    channel: str
    data: bytes


Received = ServerPdu | DynamicMessage


class RdpScript:
    """One client. What it has heard is in `inbox`, in order."""

    def __init__(self, profile: Profile | None = None) -> None:
        self.profile = profile or Profile()
        self.inbox: list[Received] = []
        self.user = 1002
        self.share_id = 0
        self.desktop: tuple[int, int] | None = None
        """What the last Demand Active says."""
        self.channels: dict[str, int] = {}
        """Ids of the static virtual channels by their names."""
        self.message_channel = 0
        self.joined: set[int] = set()
        self.reader = DynamicChannelReader()
        """The dynamic channels: what the server has asked for and closed."""
        self.authorization_expected = False
        self._buffer = bytearray()
        self._chunks: dict[int, tuple[int, bytearray, int]] = {}
        self._fragments: tuple[int, bytearray] | None = None

    def step(self, name: str) -> bytes:
        """The bytes of one of STEPS."""
        data: bytes = getattr(self, name)()
        return data

    def connection_request(self) -> bytes:
        return client.connection_request(self.profile.protocols, line=self.profile.line)

    def connect_initial(self) -> bytes:
        return client.connect_initial(self.client_data())

    def client_data(self) -> bytes:
        """The client's data blocks, in an order that mstsc has."""
        profile = self.profile
        blocks = client.core_data(profile.width, profile.height, early=profile.early)
        blocks += client.cluster_data() + client.security_data() + client.network_data(profile.channels)
        if profile.monitors:
            blocks += client.monitor_data(profile.monitors)
        if profile.message_channel:
            blocks += client.message_channel_data()
        return blocks + profile.more_blocks

    def erect_domain(self) -> bytes:
        return client.erect_domain()

    def attach_user(self) -> bytes:
        return client.attach_user()

    def joins(self) -> bytes:
        """All joins at once."""
        return b"".join(client.join(self.user, channel) for channel in self.channels_to_join())

    def channels_to_join(self) -> list[int]:
        message_channel = [self.message_channel] if self.message_channel else []
        return [self.user, server.IO_CHANNEL, *message_channel, *self.channels.values()]

    def client_info(self) -> bytes:
        profile = self.profile
        return self.io(client.client_info(profile.user, profile.password, profile.domain))

    def confirm_active(self) -> bytes:
        sets = self.profile.capability_sets
        if sets is None:
            sets = client.capability_sets(*(self.desktop or (1024, 768)))
        return self.io(client.confirm_active(self.user, self.share_id, sets))

    def synchronize(self) -> bytes:
        return self.share(client.SYNCHRONIZE, struct.pack("<HH", 1, 1002))

    def cooperate(self) -> bytes:
        return self.share(client.CONTROL, struct.pack("<HHI", client.COOPERATE, 0, 0))

    def request_control(self) -> bytes:
        return self.share(client.CONTROL, struct.pack("<HHI", client.REQUEST_CONTROL, 0, 0))

    def font_list(self, flags: int = 3) -> bytes:
        return self.share(client.FONT_LIST, struct.pack("<HHHH", 0, 0, flags, 50))

    def io(self, data: bytes) -> bytes:
        """Data on the I/O channel."""
        return client.send_data(self.user, server.IO_CHANNEL, data)

    def share(self, kind: int, body: bytes = b"") -> bytes:
        """A share data PDU."""
        return self.io(client.share_data(self.user, self.share_id, kind, body))

    def channel(self, name: str, data: bytes) -> bytes:
        """A message on a static virtual channel."""
        chunks = client.channel_chunks(data)
        return b"".join(client.send_data(self.user, self.channels[name], chunk) for chunk in chunks)

    def dynamic_create_response(self, number: int, status: int = 0) -> bytes:
        return self.channel("drdynvc", struct.pack("<BBi", 0x10, number, status))

    def dynamic_capabilities(self, version: int = 1) -> bytes:
        return self.channel("drdynvc", struct.pack("<BBH", 0x50, 0, version))

    def dynamic_data(self, number: int, data: bytes) -> bytes:
        """A message of up to 1598 bytes on a dynamic channel."""
        return self.channel("drdynvc", bytes((0x30, number)) + data)

    def auto_detect_response(self, sequence: int, kind: int, body: bytes = b"") -> bytes:
        header = struct.pack("<HHBBHH", client.AUTO_DETECT_RESPONSE, 0, 6 + len(body), 1, sequence, kind)
        return client.send_data(self.user, self.message_channel, header + body)

    def receive(self, data: bytes) -> list[Received]:
        """Takes bytes of the server; what has become whole by them."""
        self._buffer += data
        heard = list(self._pdus())
        self.inbox += heard
        return heard

    def heard(self, kind: type) -> list[Received]:
        """All of `inbox` that is of this kind."""
        return [pdu for pdu in self.inbox if isinstance(pdu, kind)]

    def _pdus(self) -> Iterator[Received]:
        while (pdu := self._next()) is not None:
            is_fast_path, data = pdu
            if is_fast_path:
                yield from self._fast_path(data)
            elif data[0] != 2:
                yield server.parse_connection_confirm(data)
            else:
                require(data[:3] == b"\x02\xf0\x80", f"an X.224 TPDU {data[:3].hex()}")
                yield from self._mcs(data[3:])

    def _next(self) -> tuple[bool, bytes] | None:
        buffer = self._buffer
        if self.authorization_expected and len(buffer) >= 4:
            self.authorization_expected = False
            require(bytes(buffer[:4]) == bytes(4), "the user is not authorized")
            del buffer[:4]
        if len(buffer) < 4:
            return None
        is_fast_path = buffer[0] != 3
        header = 4
        if not is_fast_path:
            length = buffer[2] << 8 | buffer[3]
        elif buffer[1] & 0x80:
            header, length = 3, (buffer[1] & 0x7F) << 8 | buffer[2]
        else:
            header, length = 2, buffer[1]
        require(length > header, f"a PDU of {length} bytes")
        if len(buffer) < length:
            return None
        require(not is_fast_path or buffer[0] == 0, f"a fast-path header {buffer[0]:#x}")
        data = bytes(buffer[header:length])
        del buffer[:length]
        return is_fast_path, data

    def _mcs(self, pdu: bytes) -> Iterator[Received]:
        if pdu.startswith(b"\x7f\x66"):
            response = server.parse_connect_response(pdu)
            self._settle(response.blocks)
            yield response
            return
        match pdu[0] >> 2:
            case 8:
                require(len(pdu) == 2, "bytes behind the ultimatum")
                yield server.Ultimatum((pdu[0] & 3) << 1 | pdu[1] >> 7)
            case 11:
                first, result, user = struct.unpack(">BBH", pdu)
                require((first, result) == (0x2E, 0), "no user was attached")
                self.user = user + 1001
                yield server.AttachUserConfirm(self.user)
            case 15:
                first, result, user, asked, channel = struct.unpack(">BBHHH", pdu)
                require((first, result) == (0x3E, 0) and asked == channel, "a channel was not joined")
                self.joined.add(channel)
                yield server.JoinConfirm(user + 1001, channel)
            case 26:
                _, channel, flags = struct.unpack_from(">HHB", pdu, 1)
                require(flags == 0x70, "a send data indication in segments")
                length, at = server.read_per_length(pdu, 6)
                require(at + length == len(pdu), "a send data indication has the wrong length")
                yield from self._data(channel, pdu[at:])
            case other:
                raise server.Broken(f"MCS PDU {other}")

    def _settle(self, blocks: dict[int, bytes]) -> None:
        network = blocks[0x0C03]
        io, count = struct.unpack_from("<HH", network)
        require(io == server.IO_CHANNEL and count == len(self.profile.channels), "the wrong channels")
        require(len(network) == 4 + 2 * (count + count % 2), "the network block is not padded")
        ids = struct.unpack_from(f"<{count}H", network, 4)
        self.channels = dict(zip(self.profile.channels, ids, strict=True))
        require((0x0C04 in blocks) == self.profile.message_channel, "a message channel for nobody, or none")
        if self.profile.message_channel:
            (self.message_channel,) = struct.unpack("<H", blocks[0x0C04])

    def _data(self, channel: int, data: bytes) -> Iterator[Received]:
        if channel == server.IO_CHANNEL:
            if self.share_id == 0 and data[2:4] == b"\0\0":
                yield server.parse_licence(data)
                return
            for pdu in server.parse_share_pdus(data):
                if isinstance(pdu, server.DemandActive):
                    self.share_id = pdu.share_id
                    self.desktop = struct.unpack_from("<HH", pdu.sets[2], 8)
                yield pdu
        elif channel == self.message_channel:
            flags, _, length, kind, sequence, request = struct.unpack_from("<HHBBHH", data)
            require(flags == server.AUTO_DETECT_REQUEST and kind == 0, "no auto-detect request")
            require(length >= 6, "an auto-detect request has the wrong length")
            yield server.AutoDetect(sequence, request, data[10:])
        else:
            yield from self._channel_data(channel, data)

    def _channel_data(self, channel: int, data: bytes) -> Iterator[Received]:
        names = {number: name for name, number in self.channels.items()}
        require(channel in names, f"data for channel {channel}")
        total, flags = struct.unpack_from("<II", data)
        if flags & server.FIRST_CHUNK:
            require(channel not in self._chunks, "a message begins inside another")
            self._chunks[channel] = total, bytearray(), 0
        require(channel in self._chunks, "a message has no beginning")
        length, message, count = self._chunks[channel]
        require(total == length, "the chunks do not agree on the length")
        message += data[8:]
        self._chunks[channel] = length, message, count + 1
        require(len(message) <= length, "a message is longer than it says")
        if not flags & server.LAST_CHUNK:
            return
        require(len(message) == length, "a message is shorter than it says")
        del self._chunks[channel]
        whole = server.ChannelData(names[channel], bytes(message), count + 1)
        yield whole
        if whole.channel == "drdynvc" and (found := self.reader.feed(whole.data)) is not None:
            yield DynamicMessage(self.reader.asked[found[0]], found[1])

    def _fast_path(self, data: bytes) -> Iterator[Received]:
        while data:
            header = data[0]
            code, fragmentation, compression = header & 0x0F, header >> 4 & 3, header >> 6
            require(compression == 0, "a fast-path update is compressed")
            (size,) = struct.unpack_from("<H", data, 1)
            require(3 + size <= len(data), "a fast-path update is cut off")
            body, data = data[3 : 3 + size], data[3 + size :]
            if fragmentation == 0:
                require(self._fragments is None, "a whole update inside another")
                yield server.FastPathUpdate(code, body)
            elif fragmentation == 2:
                require(self._fragments is None, "an update begins inside another")
                self._fragments = code, bytearray(body)
            else:
                require(self._fragments is not None and self._fragments[0] == code, "a lost fragment")
                assert self._fragments is not None
                self._fragments[1].extend(body)
                if fragmentation == 1:
                    yield server.FastPathUpdate(code, bytes(self._fragments[1]))
                    self._fragments = None


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """`data` in pieces of these sizes, over and over."""
    at, turn = 0, 0
    while at < len(data):
        size = max(1, sizes[turn % len(sizes)])
        yield data[at : at + size]
        at, turn = at + size, turn + 1
