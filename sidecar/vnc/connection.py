"""The server's side of one RFB connection, without input or output: bytes in, events out."""

import struct
from collections.abc import Iterator
from enum import Enum, auto

from sidecar.encode.pixel_form import PixelForm
from sidecar.vnc import pixel_format
from sidecar.vnc.capabilities import ALWAYS_OFFERED, ClientCapabilities, Extension
from sidecar.vnc.client_messages import ClientMessages
from sidecar.vnc.errors import LocalError, Reason, RemoteError
from sidecar.vnc.events import ClientInit, Event, PlainCredentials, Question, StartTls, VncAuthResponse
from sidecar.vnc.handshake import Handshake, Security
from sidecar.vnc.wire import SecurityType, VeNCryptSubtype, Version, reason_string

MAX_CUT_TEXT = 1 << 20
"""Bytes of a cut text, or of all clipboard contents in one message, as in QEMU and libvncserver."""

MAX_WAITING = 4096
"""Bytes that a client may have sent ahead while a question of its handshake is being answered."""

_SIZE = struct.Struct(">HH")


class Stage(Enum):
    """Where a connection is."""

    HANDSHAKE = auto()
    SESSION = auto()
    CLOSED = auto()
    """refused or failed: send what is outgoing, then close the transport"""


class ServerConnection:
    """Reads what one client sends. The driver owns the transport, the clock and every decision.

    Send `outgoing()` at the beginning and after every call. Iterate over what `receive` returns; answer a
    `Question` by the method that its event names, inside the loop or later. After an answer given later,
    call `receive(b"")` for what the client has sent meanwhile.

    What is buffered stays below the largest message that is accepted (`max_cut_text` and a few bytes, or
    4 KiB while a question is open) plus one argument of `receive`.
    """

    def __init__(
        self,
        security: Security,
        *,
        offered: Extension = ALWAYS_OFFERED,
        max_cut_text: int = MAX_CUT_TEXT,
    ) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._outgoing = bytearray()
        self._stage = Stage.HANDSHAKE
        self._messages = ClientMessages(offered, max_cut_text)
        self._handshake = Handshake(security, self._outgoing.extend)
        self._conversation = self._handshake.converse()
        self._wanted: int | Question | None = next(self._conversation)

    @property
    def stage(self) -> Stage:
        """Where the connection is."""
        return self._stage

    @property
    def version(self) -> Version | None:
        """The protocol version, once the client has named it."""
        return self._handshake.version

    @property
    def security_type(self) -> SecurityType | None:
        """The security type, once it was chosen."""
        return self._handshake.security_type

    @property
    def subtype(self) -> VeNCryptSubtype | None:
        """The VeNCrypt subtype, once it was chosen."""
        return self._handshake.subtype

    @property
    def capabilities(self) -> ClientCapabilities:
        """What the client can take, by its last list of encodings that was read."""
        return self._messages.capabilities

    @property
    def buffered(self) -> int:
        """Bytes that wait for the rest of their message or for an answer."""
        return len(self._buffer) - self._offset

    def outgoing(self) -> bytes:
        """Takes the handshake's bytes for the client that were not taken yet."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> Iterator[Event]:
        """Takes bytes of any number, and reads messages as the result is iterated over.

        Raises RemoteError here or while iterating; the connection is closed then, and what came before in
        the same bytes has been delivered. On a closed connection it does nothing.
        """
        if self._stage is not Stage.CLOSED:
            self._take(data)
        return self._events()

    def tls_started(self) -> None:
        """Answers `StartTls`: all that `receive` gets from now on comes out of TLS."""
        self._answer(StartTls)

    def authenticated(self) -> None:
        """Answers `VncAuthResponse` and `PlainCredentials`: the client is who it says."""
        self._answer(VncAuthResponse, PlainCredentials)

    def authentication_failed(self, text: str) -> None:
        """Answers `VncAuthResponse` and `PlainCredentials`: the client is told so, and closed.

        `text` goes to the client where its version has a place for it (3.8).
        """
        if not isinstance(self._wanted, VncAuthResponse | PlainCredentials):
            raise LocalError("Nobody asked whether the client is authenticated.")
        self._handshake.fail(text)
        self._close()

    def refuse(self, text: str) -> None:
        """Turns the client away as soon as the protocol has a place to say so; then `stage` is CLOSED.

        A reason fits in place of the security types and into the SecurityResult. Until then go on reading,
        with a time limit as always in the handshake. Later than that it closes at once, without a word.
        """
        if self._stage is Stage.CLOSED:
            return
        self._handshake.refusal = text
        if isinstance(self._wanted, VncAuthResponse | PlainCredentials):
            self.authentication_failed(text)
        elif self._wanted is None or self._handshake.is_through:
            self._close()

    def send_server_init(self, width: int, height: int, form: PixelForm, name: str) -> None:
        """Answers `ClientInit`: the framebuffer (pixels, 1..65535), its own pixels, the name."""
        if not isinstance(self._wanted, ClientInit):
            raise LocalError("The client does not wait for ServerInit.")
        self._outgoing += _SIZE.pack(width, height) + pixel_format.pack(form) + reason_string(name)
        self._wanted = None
        self._stage = Stage.SESSION

    def _answer(self, *kinds: type[Question]) -> None:
        if not isinstance(self._wanted, kinds):
            raise LocalError(f"The client did not ask for {kinds[0].__name__}.")
        self._resume(b"")

    def _take(self, data: bytes) -> None:
        messages = self._messages
        discarded = min(messages.to_discard, len(data))
        messages.to_discard -= discarded
        self._compact()
        self._buffer += data[discarded:] if discarded else data
        if isinstance(self._wanted, Question) and self.buffered:
            # what was sent in the clear must never be read as if it had come out of TLS
            limit = 0 if isinstance(self._wanted, StartTls) else MAX_WAITING
            if self.buffered > limit:
                self._close()
                raise RemoteError(Reason.UNEXPECTED_DATA, "The client has sent more than it may by now.")

    def _events(self) -> Iterator[Event]:
        while True:
            try:
                event = self._next()
            except RemoteError:
                self._close()
                raise
            if event is None:
                break
            yield event
        self._compact()

    def _next(self) -> Event | None:
        """The next event that can be made of what is buffered."""
        while isinstance(self._wanted, int):
            end = self._offset + self._wanted
            if end > len(self._buffer):
                return None
            data = bytes(self._buffer[self._offset : end])
            self._offset = end
            self._resume(data)
            if isinstance(self._wanted, Question):
                return self._wanted
        if self._stage is not Stage.SESSION or not self.buffered:
            return None
        message = self._messages.read(self._buffer, self._offset)
        if message is None:
            return None
        event, self._offset = message
        if self._messages.to_discard:
            discarded = min(self._messages.to_discard, self.buffered)
            self._messages.to_discard -= discarded
            self._offset += discarded
        return event

    def _resume(self, data: bytes) -> None:
        try:
            self._wanted = self._conversation.send(data)
        except StopIteration:
            self._close()
        if isinstance(self._wanted, StartTls) and self.buffered:
            raise RemoteError(Reason.UNEXPECTED_DATA, "Bytes came in the clear behind the choice of TLS.")

    def _compact(self) -> None:
        if self._offset:
            del self._buffer[: self._offset]
            self._offset = 0

    def _close(self) -> None:
        self._stage = Stage.CLOSED
        self._wanted = None
        self._buffer.clear()
        self._offset = 0
