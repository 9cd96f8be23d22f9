"""Serves one guest over VNC: its listeners, and what its viewers have in common."""

from collections.abc import Callable, Sequence

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.broadcast.vacancy import vacancy
from sidecar.guest import Console, Guest, GuestState, Power
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.input.session_input import SessionInput
from sidecar.log import get_logger
from sidecar.session.registry import Registry
from sidecar.session.session import Session, Transport
from sidecar.session.sight import Sight, may_use_machine
from sidecar.transport.server import Server
from sidecar.vnc.access import Access
from sidecar.vnc.capabilities import ALWAYS_OFFERED, NO_EXTENSIONS, Extension
from sidecar.vnc.desktop import Desktop
from sidecar.vnc.power_switch import NO_POWER
from sidecar.vnc.receiver import UpdateReceiver
from sidecar.vnc.tunnel import TunnelFactory
from sidecar.vnc.viewer import Viewer
from sidecar.vnc.views import Views

log = get_logger(__name__)


class VncServer(Server[Viewer]):
    """Serves VNC, as its base says.

    `power`: the machine's switches for viewers who may use them; the guest's own, if None.
    `name`: what viewers call the machine; empty for the guest's own name. `console`: which console newcomers
    see first; the guest's first one as long as that is None. `switching`: whether a viewer may choose another
    one for itself, by Ctrl-Alt-1 and so on. `tunnels`: what sessions carry beside screen and input, and
    `offered` the extensions that clients are offered for them.
    """

    def __init__(
        self,
        guest: Guest,
        registry: Registry,
        broadcasts: Broadcasts,
        seats: Seats,
        *,
        access: Access | None = None,
        name: str = "",
        layout: Layout,
        auth_timeout: float = 30.0,
        allow_power: bool = False,
        power: Power | None = None,
        console: Callable[[Guest], Console | None] | None = None,
        switching: bool = True,
        tunnels: Sequence[TunnelFactory] = (),
        offered: Extension = NO_EXTENSIONS,
    ) -> None:
        super().__init__(registry, auth_timeout)
        self.access = access or Access()
        self.offered = ALWAYS_OFFERED | offered | (Extension.XVP if allow_power else NO_EXTENSIONS)
        self._guest = guest
        self._power = power
        self._broadcasts = broadcasts
        self._seats = seats
        self._name = name
        self._layout = layout
        self._console = console
        self._switching = switching
        self._tunnels = tuple(tunnels)
        self._unsubscribe: list[Callable[[], None]] = []
        self._title = ""
        self._shown_to_newcomers = self.console

    def _enter(self) -> None:
        self._title = self._compose_title()
        self._unsubscribe = [
            self.registry.changes.subscribe(self._retitle),
            self._guest.lifecycle.subscribe(self._lifecycle_changed),
        ]

    def _leave(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()

    def protocol(self, kind: Transport) -> Viewer:
        """The protocol of a connection that has just come over `kind`."""
        return Viewer(self, kind)

    @property
    def console(self) -> Console:
        """The screen that a newcomer sees."""
        chosen = None if self._console is None else self._console(self._guest)
        return self._first if chosen is None else chosen

    @property
    def _first(self) -> Console:
        return next(iter(self._guest.consoles.values()))

    def console_for(self, session: Session) -> Console:
        """The screen that `session` sees first: that of newcomers, if it may see that."""
        sight, console = Sight(self._guest, session.consoles), self.console
        return console if sight.allows(console) else next(iter(sight.consoles), vacancy())

    @property
    def title(self) -> str:
        """The machine's name, and how many watch it."""
        return self._title

    def open_desktop(self, session: Session, receiver: UpdateReceiver, console: Console) -> Desktop:
        """What an initialized session works with from now on, and `console` what it sees first."""
        session.console = console.index
        return Desktop(
            session,
            receiver,
            console=console,
            views=self._views(session),
            power=(self._power or self._guest.power) if may_use_machine(session) else NO_POWER,
            title=lambda: self._title,
            spawn=self.spawn,
            tunnels=self._tunnels,
        )

    def _views(self, session: Session) -> Views:
        def shown(console: Console) -> None:
            session.console = console.index
            self.registry.changed()

        sight = Sight(self._guest, session.consoles)
        return Views(
            lambda: sight.consoles,
            self._broadcasts,
            lambda console: SessionInput(self._seats.of(console), self._layout, lambda: session.view_only),
            switching=self._switching,
            shown=shown,
        )

    def _lifecycle_changed(self, _state: GuestState) -> None:
        self._retitle()
        before = self._shown_to_newcomers
        self._shown_to_newcomers = self.console
        for viewer in list(self.viewers):
            desktop = viewer.desktop
            if desktop is None:
                continue
            visible = Sight(self._guest, viewer.session.consoles).consoles
            # who had to see another console than it came for goes to that one when it is there
            if desktop.console is before or desktop.console not in visible:
                desktop.show(self.console_for(viewer.session))

    def _compose_title(self) -> str:
        count = self.registry.count()
        watched = "" if not count else f" - {count} viewer{'' if count == 1 else 's'}"
        return f"{self._name or self._guest.name}{watched}"

    def _retitle(self) -> None:
        title = self._compose_title()
        if title != self._title:
            self._title = title
            for viewer in self.viewers:
                if viewer.desktop is not None:
                    viewer.desktop.rename()
