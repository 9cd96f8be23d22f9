"""What manages a running daemon, put together as its options say: admin socket, tickets, machine, API."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING

from sidecar.config.options import DaemonOptions
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin import AdminServer
from sidecar.control.admin_commands import CommandTable, session_commands
from sidecar.control.admin_machine import machine_commands
from sidecar.control.admin_screen import screen_commands
from sidecar.control.admin_tickets import ticket_commands
from sidecar.control.listener import Listener
from sidecar.control.machine_control import MachineControl
from sidecar.control.power import ControlledPower
from sidecar.control.screenshots import Screenshots
from sidecar.control.settings import Settings
from sidecar.control.ticket_watch import TicketWatch
from sidecar.entrance import Entrance
from sidecar.guest import Guest, Power
from sidecar.machine import Machine
from sidecar.session.feed import StatusFeed

if TYPE_CHECKING:
    from sidecar.control.api import ApiServer
    from sidecar.usb.slots import UsbSlots


class Management:
    """Manages the sessions of `feed`'s registry, and `machine` where there is one to be asked.

    `why_no_machine`: what is said where there is none; empty: what would help. `listeners`: where frontends
    listen; it may grow until everything does. `usb`: None where there is no API.
    """

    def __init__(
        self,
        options: DaemonOptions,
        feed: StatusFeed,
        entrance: Entrance,
        *,
        machine: Machine | None,
        why_no_machine: str,
        listeners: Sequence[Listener],
        usb: "UsbSlots | None",
    ) -> None:
        registry = feed.registry
        self._options = options
        self._feed = feed
        self._entrance = entrance
        self._listeners = listeners
        self._usb = usb
        self._control = (
            MachineControl(machine, why_not=why_no_machine) if why_no_machine else MachineControl(machine)
        )
        self._tickets = TicketWatch(entrance.tickets, registry)
        self._settings = Settings(registry, screenshots=options.screenshots, log_level=options.log_level)
        self._screenshots = Screenshots(feed.guest, registry, lambda: self._settings.screenshots)

        self.power: Power | None = None if machine is None else ControlledPower(self._control)
        """The machine's switches; None: nobody controls it but the guest itself."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["ApiServer | None"]:
        """Manages while it is entered; the API, which listens nowhere yet. Raises SidecarError."""
        commands = CommandTable(
            *session_commands(self._feed),
            *ticket_commands(self._tickets),
            *machine_commands(self._control),
            *screen_commands(self._feed.registry, self._screenshots),
        )
        async with AdminServer(self._options.run_dir / ADMIN_SOCKET, commands):
            with self._tickets:
                # the control ends first: a change that runs must not hold up the end of those who wait for it
                if self._usb is None:
                    async with self._control:
                        yield None
                    return
                async with self._api(self._usb) as api, self._control:
                    yield api

    @asynccontextmanager
    async def _api(self, usb: "UsbSlots") -> AsyncIterator["ApiServer"]:
        """The management API; aiohttp and msgspec are loaded only where there is one."""
        from sidecar.control.api import ApiServer
        from sidecar.control.api_access import ApiAccess
        from sidecar.control.api_consoles import console_operations
        from sidecar.control.api_events import event_operations
        from sidecar.control.api_machine import machine_operations
        from sidecar.control.api_messages import message_operations
        from sidecar.control.api_overview import with_overview
        from sidecar.control.api_screenshot import screenshot_operations
        from sidecar.control.api_sessions import session_operations
        from sidecar.control.api_settings import settings_operations
        from sidecar.control.api_status import status_operations
        from sidecar.control.api_tickets import ticket_operations
        from sidecar.control.api_usb import usb_operations
        from sidecar.control.roles import RolesFile
        from sidecar.control.session_events import SessionEvents
        from sidecar.web.tls import TlsFiles
        from sidecar.web.upgrade import OriginPolicy

        options, registry = self._options, self._feed.registry
        tls = None if options.tls_dir is None else TlsFiles(options.tls_dir, options.api_client_ca)
        access = ApiAccess(
            self._entrance.logins,
            roles=RolesFile(options.api_roles),
            takes_certificates=options.api_client_ca is not None,
            origins=OriginPolicy(options.web_origin),
        )
        with closing(SessionEvents(registry)) as events:
            operations = with_overview(
                [
                    *status_operations(self._feed),
                    *session_operations(registry),
                    *message_operations(registry),
                    *event_operations(events),
                    *console_operations(self._listeners, self._feed.guest),
                    *screenshot_operations(self._screenshots),
                    *ticket_operations(self._tickets),
                    *machine_operations(self._control),
                    *settings_operations(self._settings),
                    *usb_operations(usb),
                ]
            )
            context = None if tls is None else tls.context
            async with ApiServer(operations, access, ssl=context, closing=[events.close]) as server:
                leave = self._tickets.ended.subscribe(server.end_of_ticket)
                try:
                    yield server
                finally:
                    leave()


@contextmanager
def usb_slots(options: DaemonOptions, guest: Guest) -> Iterator["UsbSlots | None"]:
    """The slots for USB devices, if there is an API to reach them by; loaded only then."""
    if not options.api:
        yield None
        return
    from sidecar.usb.slots import UsbSlots

    with closing(UsbSlots(guest)) as slots:
        yield slots
