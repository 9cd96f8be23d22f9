"""Which virtual channels a session serves beside graphics, display control and touch: by name.

A feature (sound, clipboard) brings a handler for each of its channels and puts a factory of it into the
table; the driver makes one handler per session and channel, and knows no more of it. An example, which
sends back what it gets on a dynamic channel:

    class Echo:
        max_message = 1 << 16

        def opened(self, channel: MessageSender) -> None:
            self._channel = channel

        def receive(self, message: bytes) -> None:
            self._channel.send(message)

        def closed(self) -> None:
            pass

    table: ChannelTable[Desktop] = ChannelTable()
    table.add_dynamic("ECHO", lambda desktop: Echo())

A factory gets what the driver gives to `static_handler` and `dynamic_handlers`: the session's own object,
with its guest, its rights and so on. One that returns None leaves that session without the channel.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from sidecar.session.session import Session

Context = TypeVar("Context")
Handler = TypeVar("Handler", bound="ChannelHandler")


class MessageSender(Protocol):
    """A channel as its handler sees it; a `ChannelSender` and a `DynamicChannel` are one."""

    def send(self, message: bytes) -> None:
        """Sends one message."""
        ...


class ChannelHandler(Protocol):
    """Serves one channel of one session, on the main loop. It raises nothing but RemoteError."""

    @property
    def max_message(self) -> int:
        """Bytes of the longest message that is taken from the client."""
        ...

    def opened(self, channel: MessageSender) -> None:
        """The channel may be sent on; called once, before anything else, and once more for each `reopen` of
        the session's object."""
        ...

    def receive(self, message: bytes) -> None:
        """A whole message has come. Raises RemoteError, which ends the session."""
        ...

    def closed(self) -> None:
        """The channel or the session has ended; called once after `opened`."""
        ...


class SessionLine(Protocol):
    """What most channels need of their session; a `Desktop` is one."""

    @property
    def session(self) -> Session:
        """Its record."""
        ...

    @property
    def flush(self) -> Callable[[], None]:
        """Sends what was sent on the channel outside of `receive`."""
        ...


class StaticChannelHandler(ChannelHandler, Protocol):
    """Serves a static channel: opened when the session is active, if the client has joined the channel."""


class DynamicChannelHandler(ChannelHandler, Protocol):
    """Serves a dynamic channel: asked for once graphics are under way, opened if the client has it too."""


class ChannelTable(Generic[Context]):
    """Factories of handlers by channel name. `Context`: what the driver knows of a session."""

    def __init__(self) -> None:
        self._static: dict[str, Callable[[Context], StaticChannelHandler | None]] = {}
        self._dynamic: dict[str, Callable[[Context], DynamicChannelHandler | None]] = {}

    def add_static(self, name: str, factory: Callable[[Context], StaticChannelHandler | None]) -> None:
        """Serves a static channel in every session. Raises ValueError where the name is taken."""
        _add(self._static, name, factory)

    def add_dynamic(self, name: str, factory: Callable[[Context], DynamicChannelHandler | None]) -> None:
        """Offers a dynamic channel to every client. Raises ValueError where the name is taken."""
        _add(self._dynamic, name, factory)

    def static_handler(self, name: str, context: Context) -> StaticChannelHandler | None:
        """A new handler for a channel that the client has asked for; None where nothing serves it."""
        factory = self._static.get(name)
        return factory(context) if factory else None

    def dynamic_handlers(self, context: Context) -> Iterator[tuple[str, DynamicChannelHandler]]:
        """New handlers for the channels to open, with their names, in the order in which they were added."""
        for name, factory in self._dynamic.items():
            handler = factory(context)
            if handler is not None:
                yield name, handler


def _add(
    table: dict[str, Callable[[Context], Handler | None]],
    name: str,
    factory: Callable[[Context], Handler | None],
) -> None:
    if name in table:
        raise ValueError(f"channel {name} is served twice")
    table[name] = factory
