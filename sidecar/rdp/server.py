"""Serves one guest over RDP: what its sessions have in common."""

from collections.abc import Callable

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.guest import Console, Guest
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.input.session_input import SessionInput
from sidecar.rdp.access import Access
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.channel_table import ChannelTable
from sidecar.rdp.connection import ServerConnection
from sidecar.rdp.desktop import Desktop
from sidecar.rdp.events import Client
from sidecar.rdp.viewer import Viewer
from sidecar.session.registry import Registry
from sidecar.session.session import Session, Transport
from sidecar.transport.server import Server


class RdpServer(Server[Viewer]):
    """Serves RDP, as its base says. `channels`: which virtual channels sessions have besides the screen's."""

    def __init__(
        self,
        guest: Guest,
        registry: Registry,
        broadcasts: Broadcasts,
        seats: Seats,
        *,
        access: Access,
        layout: Layout,
        channels: ChannelTable[Desktop] | None = None,
        auth_timeout: float = 30.0,
    ) -> None:
        super().__init__(registry, auth_timeout)
        self.access = access
        self._guest = guest
        self._broadcasts = broadcasts
        self._seats = seats
        self._layout = layout
        self._channels = ChannelTable[Desktop]() if channels is None else channels

    def protocol(self, kind: Transport) -> Viewer:
        """The protocol of a connection that has just come over `kind`."""
        return Viewer(self, kind)

    def consoles(self, client: Client) -> list[Console]:
        """The screens that a client may see, the first one first."""
        consoles = list(self._guest.consoles.values())
        return consoles if client.graphics_pipeline else consoles[:1]

    def has_relative_mouse(self, client: Client) -> bool:
        """Whether the guest's mouse only moves, as it is now."""
        return not self.consoles(client)[0].pointer.is_absolute

    def size_for(self, client: Client) -> tuple[int, int]:
        """The desktop that a client is let in to: as large as its first console."""
        frame = self.consoles(client)[0].surface.frame
        return frame.width, frame.height

    def open_desktop(
        self,
        session: Session,
        connection: ServerConnection,
        client: Client,
        capabilities: ClientCapabilities,
        size: tuple[int, int],
        *,
        flush: Callable[[], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
    ) -> Desktop:
        """What an initialized session works with from now on."""
        consoles = self.consoles(client)
        session.console = consoles[0].index
        return Desktop(
            session,
            connection,
            client,
            capabilities,
            size,
            consoles=consoles,
            watched=max(1, len(client.monitors)),
            inputs={
                console.index: SessionInput(self._seats.of(console), self._layout, lambda: session.view_only)
                for console in consoles
            },
            seats=self._seats,
            broadcasts=self._broadcasts,
            table=self._channels,
            flush=flush,
            queued=queued,
            fail=fail,
            spawn=self.spawn,
        )
