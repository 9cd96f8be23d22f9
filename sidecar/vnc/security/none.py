"""Security type None, rfbproto 7.2.1."""

from sidecar.vnc.security import Channel, Conversation


def converse(_channel: Channel) -> Conversation:
    """Asks for nothing."""
    yield from ()
