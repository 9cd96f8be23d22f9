"""A management API for tests: real sockets, a real registry, a synthetic machine."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from support.synthetic_guest import SyntheticGuest
from support.usb_port import SyntheticSlot

from sidecar.access.tickets import Tickets
from sidecar.control.api import ApiServer
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_consoles import Listener, console_operations
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
from sidecar.control.machine_control import MachineControl
from sidecar.control.operation import Operation
from sidecar.control.screenshots import Screenshots
from sidecar.control.session_events import SessionEvents
from sidecar.control.settings import Settings
from sidecar.control.ticket_watch import TicketWatch
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.session import Session
from sidecar.session.state import EndReason
from sidecar.usb.slots import UsbSlots

LISTENERS = (
    Listener("vnc", "127.0.0.1", 5900, tls="within"),
    Listener("vnc", path="/run/vm/vnc", console="serial0"),
    Listener("rdp", "", 3389, tls="always"),
    Listener("websocket", "::1", 6080, "/websockify"),
)


class ApiHouse:
    """What an API is about, and its operations."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.guest = SyntheticGuest()
        self.guest.add_port(SyntheticSlot())
        self.settings = Settings(self.registry)
        self.events = SessionEvents(self.registry)
        self.feed = StatusFeed(self.registry, self.guest)
        self.slots = UsbSlots(self.guest)
        self.screenshots = Screenshots(self.guest, self.registry, lambda: self.settings.screenshots)
        self.tickets = TicketWatch(Tickets(time.time, secrets.randbelow), self.registry)
        self.control = MachineControl(None)
        self.ended: list[EndReason] = []

    @property
    def operations(self) -> list[Operation]:
        return with_overview(
            [
                *status_operations(self.feed),
                *session_operations(self.registry),
                *console_operations(LISTENERS, self.guest),
                *event_operations(self.events),
                *settings_operations(self.settings),
                *message_operations(self.registry),
                *screenshot_operations(self.screenshots),
                *ticket_operations(self.tickets),
                *machine_operations(self.control),
                *usb_operations(self.slots),
            ]
        )

    def connect(self) -> Session:
        return self.registry.connect("vnc", "tcp", "192.0.2.1:40001", end=self.ended.append)

    def log_in(self) -> Session:
        session = self.connect()
        self.registry.initialize(session, user="ann")
        return session

    @contextlib.asynccontextmanager
    async def serving(self, access: ApiAccess | None = None, **options: Any) -> AsyncIterator[ApiServer]:
        server = ApiServer(
            self.operations,
            access or ApiAccess(),
            wrong_password_pause=0.0,
            closing=[self.events.close],
            **options,
        )
        async with server, self.control:
            with self.tickets:
                yield server

    def close(self) -> None:
        self.events.close()
        self.slots.close()
        self.feed.close()


@contextlib.asynccontextmanager
async def as_admin(server: ApiServer, path: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """This user, by a unix socket."""
    await server.listen_unix(path)
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession("http://vm", connector=connector) as session:
        yield session
