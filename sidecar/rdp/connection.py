"""The server's side of one RDP connection, without input or output: bytes in, events out."""

from collections.abc import Iterable, Iterator

from sidecar.rdp import auto_detect, fast_path, licensing, mcs, slow_path, x224
from sidecar.rdp.authenticator import Authenticator
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.error_info import ErrorInfo
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.events import ChannelMessage, Client, Disconnected, Event, Input, Login, Silence, StartTls
from sidecar.rdp.fast_path import UpdateCode
from sidecar.rdp.handshake import Handshake, Question
from sidecar.rdp.handshake import Security as Security  # noqa: PLC0414 - a connection is made with one
from sidecar.rdp.handshake import Stage as Stage  # noqa: PLC0414 - and it is in one
from sidecar.rdp.mcs import DisconnectReason
from sidecar.rdp.security_header import SecurityFlags, parse_security_header, security_header
from sidecar.rdp.share import Offer, Share
from sidecar.rdp.static_channel import StaticChannel
from sidecar.rdp.tpkt import MAX_PDU, Frame, Framer
from sidecar.rdp.wire import Reader

MAX_HANDSHAKE_PDU = 16 * 1024
"""Bytes of a PDU before the login."""

MAX_WAITING = 16 * 1024
"""Bytes that a client may have sent ahead while its login is being decided."""

MAX_SILENT = 64
"""PDUs in a row that bring no event, above which the driver hears of it."""

MAX_CHANNEL_MESSAGE = 1 << 20
"""Bytes of a message on a static virtual channel."""

_WAITING = (Stage.TLS, Stage.LOGIN, Stage.CLOSED)
_IN_DOMAIN = (Stage.CHANNEL_CONNECTION, Stage.LOGIN)
_SHARED = (Stage.CAPABILITIES, Stage.FINALIZATION, Stage.ACTIVE)


class ServerConnection:
    """Reads what one client sends. The driver owns the transport, the clock and every decision.

    Send `outgoing()` after every call. Iterate over what `receive` returns; answer StartTls by `tls_started`
    and Login by `accept` or `refuse`, inside the loop or later. After an answer given later, call
    `receive(b"")` for what the client has sent meanwhile.

    What is buffered stays below one PDU (16 KiB before the login, 64 KiB behind it), one message for each
    channel that `channel` was called for, and one argument of `receive`.
    """

    def __init__(self, security: Security) -> None:
        self._framer = Framer(MAX_HANDSHAKE_PDU)
        self._outgoing: list[bytes | memoryview] = []
        self._stage: Stage | None = Stage.NEGOTIATION
        """None: it is the share's."""
        self._handshake = Handshake(security, self._outgoing.append)
        self._conversation = self._handshake.converse()
        self._question: Question | None = next(self._conversation)
        self._authenticator: Authenticator | None = None
        self._client: Client | None = None
        self._share = Share(self._send_io)
        self._channels: dict[int, StaticChannel] = {}
        self._pending: Iterator[Event] = iter(())
        """What the last PDU has brought and was not asked for yet."""

    @property
    def stage(self) -> Stage:
        """Where the connection is."""
        return self._share.stage if self._stage is None else self._stage

    @property
    def client(self) -> Client | None:
        """What the client says of itself, once it wants to log in."""
        return self._client

    @property
    def capabilities(self) -> ClientCapabilities | None:
        """What the client can do, once it has said so."""
        return self._share.capabilities

    @property
    def buffered(self) -> int:
        """Bytes that wait for the rest of their PDU or for an answer."""
        return self._framer.buffered

    def outgoing(self) -> list[bytes | memoryview]:
        """Takes what is to be sent and was not taken yet, in order. Nobody writes to its memory any more."""
        parts = self._outgoing.copy()
        self._outgoing.clear()
        return parts

    def receive(self, data: bytes) -> Iterator[Event]:
        """Takes bytes of any number, and reads PDUs as the result is iterated over.

        Raises RemoteError here or while iterating; the connection is closed then, as `disconnect` does it,
        and what came before in the same bytes has been delivered. On a closed connection it does nothing.
        """
        if self._stage is not Stage.CLOSED:
            self._framer.feed(data)
            if self._stage in _WAITING:
                self._check_waiting()
        return self._events()

    def tls_started(self, authenticator: Authenticator | None = None) -> None:
        """Answers StartTls: all that `receive` gets from now on comes out of TLS.

        `authenticator`: the server's side of CredSSP if StartTls said `nla`, else None.
        """
        if not isinstance(self._question, StartTls):
            raise LocalError("The client did not ask for TLS.")
        if self._question.nla != (authenticator is not None):
            raise LocalError("An authenticator is for NLA, and NLA needs one.")
        if authenticator is None:
            self._resume(b"")
        else:
            self._authenticator = authenticator
            self._stage = Stage.AUTHENTICATION

    def accept(
        self,
        width: int,
        height: int,
        colour_depth: int = 32,
        *,
        unicode_input: bool = True,
        relative_mouse: bool = False,
    ) -> None:
        """Answers Login: the client gets a desktop of this size in pixels, 1..8192 each way.

        `colour_depth`: bits per pixel (8, 15, 16, 24 or 32) that it is offered; what it confirms is in
        `Activated`. `unicode_input`, `relative_mouse`: whether it may send such events.
        """
        self._answer_login()
        self._share.demand(Offer(width, height, colour_depth, unicode_input, relative_mouse))

    def refuse(self, error: ErrorInfo) -> None:
        """Answers Login: the client is told why, if it can be, and closed."""
        # clients look for the error only once they have their licence
        self._answer_login()
        self.disconnect(error)

    def reactivate(self, width: int, height: int) -> None:
        """Gives the client a desktop of another size; Activated comes again.

        Until then nothing is shown; what the client has sent meanwhile is delivered. A client that is being
        activated is served to the end first, and is not Activated by that.
        """
        self._need(*_SHARED)
        self._share.resize(width, height)

    def disconnect(self, error: ErrorInfo | None = None) -> None:
        """Closes the connection; tells the client so, and why, as far as the sequence has come."""
        stage = self.stage
        if stage in _SHARED and error is not None and self._client is not None and self._client.error_info:
            self._share.tell_error(error)
        if stage in _SHARED or stage in _IN_DOMAIN:
            self._outgoing.append(mcs.disconnect_provider_ultimatum(DisconnectReason.PROVIDER_INITIATED))
        self._close()

    def send(self, parts: Iterable[bytes | memoryview]) -> None:
        """Sends PDUs that were made before, such as updates that several clients get, without a copy.

        Dropped while the client is not ACTIVE: it shows nothing then.
        """
        if self.stage is Stage.ACTIVE:
            self._outgoing.extend(parts)

    def send_fast_path(self, code: UpdateCode, payload: bytes) -> None:
        """Sends an update: on the fast path, in fragments where it is long, or on the slow path to a client
        that takes no other. Dropped while the client is not ACTIVE.

        Raises LocalError where it is too long for the client, or a surface command for the slow path.
        """
        capabilities = self._share.capabilities
        if capabilities is None:
            return
        if capabilities.fast_path_output:
            self.send(fast_path.update(code, payload, max_request_size=capabilities.max_request_size))
        else:
            self.send_share_data(*slow_path.update(code, payload))

    def send_share_data(self, pdu_type2: int, payload: bytes) -> None:
        """Sends a share data PDU. Dropped while the client is not ACTIVE."""
        if self.stage is Stage.ACTIVE:
            self._share.send_data(pdu_type2, payload)

    def channel(self, name: str, max_message: int = MAX_CHANNEL_MESSAGE) -> StaticChannel:
        """Opens a static virtual channel that the client has joined (`Client.channels`), for sending.

        Its messages (up to `max_message` bytes) come as ChannelMessage from now on; what a client sends on
        channels that are not open is dropped. Only behind the login. Every call gives the same object.
        """
        self._need(*_SHARED)
        for number, definition in self._handshake.joined_channels.items():
            if definition.name == name:
                if number not in self._channels:
                    self._channels[number] = StaticChannel(
                        number, self._outgoing.append, max_message, show_protocol=definition.shows_protocol
                    )
                return self._channels[number]
        raise LocalError(f"The client has not joined the channel {name}.")

    def measure_round_trip(self, sequence: int) -> bool:
        """Asks the client to answer at once, by RoundTripMeasured. False: this client cannot.

        `sequence`: 0..65535, by which the answer is known.
        """
        return self._detect(auto_detect.round_trip_request(sequence))

    def start_bandwidth_measure(self, sequence: int) -> bool:
        """Asks the client to count the bytes that it gets from now on. False: this client cannot."""
        return self._detect(auto_detect.bandwidth_start(sequence))

    def stop_bandwidth_measure(self, sequence: int) -> bool:
        """Asks the client what it has counted: BandwidthMeasured. False: this client cannot."""
        return self._detect(auto_detect.bandwidth_stop(sequence))

    def _detect(self, request: bytes) -> bool:
        self._need(*_SHARED)
        if self._client is None or not self._client.auto_detect:
            return False
        data = security_header(SecurityFlags.AUTODETECT_REQ) + request
        self._outgoing.append(mcs.send_data_indication(mcs.MESSAGE_CHANNEL, data))
        return True

    def _send_io(self, data: bytes) -> None:
        self._outgoing.append(mcs.send_data_indication(mcs.IO_CHANNEL, data))

    def _need(self, *stages: Stage) -> None:
        if self.stage not in stages:
            raise LocalError(f"This cannot be done in the stage {self.stage.name}.")

    def _answer_login(self) -> None:
        if not isinstance(self._question, Login):
            raise LocalError("The client does not wait to be let in.")
        self._question = None
        self._stage = None
        self._framer.limit = MAX_PDU
        self._send_io(licensing.valid_client())

    def _check_waiting(self) -> None:
        # what was sent in the clear must never be read as if it had come out of TLS
        limit = 0 if self._stage is Stage.TLS else MAX_WAITING
        if self._framer.buffered > limit:
            self._close()
            raise RemoteError(Reason.UNEXPECTED, "The client has sent more than it may by now.")

    def _events(self) -> Iterator[Event]:
        try:
            while (event := self._next()) is not None:
                yield event
        except RemoteError:
            self.disconnect(ErrorInfo.UNKNOWNPDUTYPE)
            raise

    def _next(self) -> Event | None:
        """The next event, None where there is none yet."""
        for _ in range(MAX_SILENT):
            if (event := next(self._pending, None)) is not None:
                return event
            if self._stage in _WAITING:
                return None
            if self._stage is Stage.AUTHENTICATION:
                if not self._authenticate():
                    return None
                continue
            frame = self._framer.next()
            if frame is None:
                return None
            self._pending = self._take(frame)
        return Silence()

    def _take(self, frame: Frame) -> Iterator[Event]:
        if frame.is_fast_path:
            return self._take_input(frame.data)
        if x224.is_disconnect_request(frame.data):
            return self._goodbye()
        if self._stage is not None:
            return self._resume(frame.data)
        match mcs.parse_domain_pdu(x224.parse_data(frame.data, "MCS PDU")):
            case mcs.SendDataRequest(channel=channel, data=data):
                return self._take_data(channel, data)
            case mcs.DisconnectProviderUltimatum():
                return self._goodbye()
            case other:
                raise RemoteError(Reason.UNEXPECTED, f"{type(other).__name__} behind the login.")

    def _take_input(self, data: bytes) -> Iterator[Event]:
        if self._stage is not None:
            raise RemoteError(Reason.UNEXPECTED, "Fast-path input came before the login.")
        events = fast_path.parse_input(data)
        if events and self._share.has_begun:
            yield Input(events)

    def _take_data(self, channel: int, data: Reader) -> Iterator[Event]:
        if channel not in self._handshake.joined:
            raise RemoteError(Reason.UNKNOWN_CHANNEL, f"Data for channel {channel}, which was not joined.")
        if channel == mcs.IO_CHANNEL:
            yield from self._share.receive(data)
        elif channel == mcs.MESSAGE_CHANNEL:
            if parse_security_header(data) & SecurityFlags.AUTODETECT_RSP:
                measured = auto_detect.parse_response(data)
                if measured is not None:
                    yield measured
        elif channel in self._channels:
            message = self._channels[channel].receive(data)
            if message is not None:
                yield ChannelMessage(self._handshake.channels[channel].name, message)

    def _goodbye(self) -> Iterator[Event]:
        self._close()
        return iter((Disconnected(),))

    def _resume(self, data: bytes) -> Iterator[Event]:
        """Goes on with the handshake; its question, if it has one."""
        self._question = question = self._conversation.send(data)
        self._stage = self._handshake.stage
        match question:
            case None:
                return iter(())
            case Disconnected():
                return self._goodbye()
            case StartTls() if self._framer.buffered:
                raise RemoteError(Reason.UNEXPECTED, "Bytes came in the clear behind the choice of TLS.")
            case Login():
                self._client = question.client
        return iter((question,))

    def _authenticate(self) -> bool:
        """Gives CredSSP what has come. False: it waits for more."""
        authenticator, data = self._authenticator, self._framer.take()
        if authenticator is None or not data:
            return False
        try:
            rest = authenticator.receive(data)
        finally:
            if answer := authenticator.outgoing():
                self._outgoing.append(answer)
        if authenticator.identity is None:
            return False
        self._handshake.identity = authenticator.identity
        self._authenticator = None
        self._resume(b"")
        self._framer.feed(rest)
        return True

    def _close(self) -> None:
        self._stage = Stage.CLOSED
        self._question = None
        self._pending = iter(())
        self._authenticator = None
        self._channels.clear()
        self._framer.clear()
