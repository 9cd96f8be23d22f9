"""Serves one guest over RDP: what its sessions have in common."""

from collections.abc import Callable, Sequence

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.broadcast.vacancy import vacancy
from sidecar.guest import Console, Guest, GuestState
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
from sidecar.session.sight import Sight, may_use_machine
from sidecar.session.state import EndReason
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
        self._unsubscribe: Callable[[], None] = lambda: None

    def protocol(self, kind: Transport) -> Viewer:
        """The protocol of a connection that has just come over `kind`."""
        return Viewer(self, kind)

    def _enter(self) -> None:
        self._unsubscribe = self._guest.lifecycle.subscribe(self._lifecycle_changed)

    def _leave(self) -> None:
        self._unsubscribe()

    def consoles(self, client: Client, names: frozenset[str] | None) -> list[Console]:
        """The screens that a client gets, the first one first. `names`: see `Session.consoles`."""
        consoles = Sight(self._guest, names).consoles or [vacancy()]
        return consoles if client.graphics_pipeline else consoles[:1]

    def open_desktop(
        self,
        session: Session,
        connection: ServerConnection,
        client: Client,
        capabilities: ClientCapabilities,
        size: tuple[int, int],
        *,
        consoles: Sequence[Console],
        flush: Callable[[], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
    ) -> Desktop:
        """What an initialized session works with from now on; `consoles` is what it sees, to its end."""
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
            table=self._channels if may_use_machine(session) else ChannelTable(),
            flush=flush,
            queued=queued,
            fail=fail,
            spawn=self.spawn,
        )

    def _lifecycle_changed(self, _state: GuestState) -> None:
        """Ends those who see what is not theirs any more, or could see what is: they may connect again.

        A desktop has the same consoles from its beginning to its end.
        """
        for viewer in list(self.viewers):
            sight = Sight(self._guest, viewer.session.consoles)
            seen = [console for console in viewer.consoles if console is not vacancy()]
            if not all(map(sight.allows, seen)) or (viewer.consoles and not seen and sight.consoles):
                viewer.end(EndReason.GONE)
