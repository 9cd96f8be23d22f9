"""What a server has said: one frozen dataclass for each thing; of streams those of `vnc.stream_messages`."""

from dataclasses import dataclass

from sidecar.vnc.stream_messages import ServerStreamMessage


@dataclass(frozen=True, slots=True)
class StartTls:
    """The server waits for a TLS client. Send what is outgoing, start TLS, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class CredentialsWanted:
    """The server asks for a password, and for a user's name if `user`. Answer with `authenticate`."""

    user: bool


@dataclass(frozen=True, slots=True)
class Initialized:
    """The handshake is through. `name`: what the server calls the desktop, of printable characters."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamsAgreed:
    """The server carries streams, in this version of the extension, and announces them from now on."""

    version: int


@dataclass(frozen=True, slots=True)
class FenceAnswered:
    """All that the server owed for our list of encodings has come before this."""


Question = StartTls | CredentialsWanted
"""What the driver must answer before the conversation goes on."""

Event = Question | Initialized | StreamsAgreed | FenceAnswered | ServerStreamMessage
