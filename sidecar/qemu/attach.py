"""The three ways to a QEMU: over a bus, by its monitor, by a socket that was handed to us."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from dbus_fast import Message, MessageType

from sidecar.log import get_logger
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.connection import Connection, PeerConnection, connect_to_bus
from sidecar.qemu.errors import AttachError, CallRefused, ConnectionLost, QmpRefused
from sidecar.qemu.link import BUS, BUS_PATH, PROPERTIES, ROOT, Link, subscribe
from sidecar.qemu.qmp import Qmp

log = get_logger(__name__)

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 2.0
"""Seconds between attempts."""

_FD_NAME: Final = "vdi-sidecar-display"


class Attach(Protocol):
    """A way to a QEMU."""

    @property
    def comes_back(self) -> bool:
        """Whether another QEMU can come by the same way after the first one has ended."""
        ...

    def link(self) -> AbstractAsyncContextManager[Link]:
        """Waits for a QEMU, for as long as it takes; the link is closed with the context.

        Raises AttachError where waiting is of no use.
        """
        ...


@dataclass(frozen=True)
class BusAttach:
    """QEMU with `-display dbus,addr=ADDRESS`, which owns `name` on that bus."""

    address: str
    name: str = "org.qemu"
    comes_back: bool = True

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """See `Attach.link`."""
        async with AsyncExitStack() as stack:
            yield await _until_it_works(stack, self._try)

    async def _try(self, stack: AsyncExitStack) -> Link:
        connection = await connect_to_bus(self.address)
        stack.callback(connection.close)
        watch = _NameWatch(connection, self.name)
        owner = await watch.wait_for_owner()
        link = Link(connection, owner)
        watch.report_end_to(link)
        rule = (
            f"type='signal',sender='{self.name}',interface='{PROPERTIES}',member='PropertiesChanged',"
            f"path_namespace='{ROOT}'"
        )
        await subscribe(connection, rule)
        return link


class _NameWatch:
    """Who owns a name on the bus."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._owner = ""
        self._appeared = asyncio.Event()
        self._link: Link | None = None
        connection.add_message_handler(self._receive)
        connection.on_close = self._closed

    async def wait_for_owner(self) -> str:
        """The unique name of the owner, as soon as there is one. Raises ConnectionLost."""
        await subscribe(
            self._connection,
            f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{self._name}'",
        )
        try:
            body = await self._connection.request(
                BUS, BUS_PATH, BUS, "GetNameOwner", signature="s", body=[self._name]
            )
            self._set_owner(str(body[0]))
        except CallRefused:
            log.debug("waiting for a name on the bus", name=self._name)
        while not self._owner:
            self._appeared.clear()
            await self._appeared.wait()
            if not self._connection.is_open:
                raise ConnectionLost("the bus has ended")
        return self._owner

    def report_end_to(self, link: Link) -> None:
        """Has `link` end when its owner loses the name, or when the bus ends."""
        self._link = link
        if self._owner != link.owner:
            link.end("QEMU has left the bus")
        if not self._connection.is_open:
            link.end("the bus has ended")

    def _receive(self, message: Message) -> None:
        if (
            message.message_type is MessageType.SIGNAL
            and message.sender == BUS
            and message.member == "NameOwnerChanged"
            and message.signature == "sss"
            and message.body[0] == self._name
        ):
            self._set_owner(message.body[2])

    def _set_owner(self, owner: str) -> None:
        self._owner = owner
        self._appeared.set()
        if self._link and owner != self._link.owner:
            self._link.end("QEMU has left the bus")

    def _closed(self) -> None:
        self._appeared.set()
        if self._link:
            self._link.end("the bus has ended")


@dataclass(frozen=True)
class QmpAttach:
    """QEMU with `-display dbus,p2p=yes` and a monitor on the unix socket `path`.

    QEMU may run as any user. It takes one such peer at a time, and the last one that comes.
    """

    path: Path
    comes_back: bool = True

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """See `Attach.link`."""
        async with AsyncExitStack() as stack:
            yield await _until_it_works(stack, self._try)

    async def _try(self, stack: AsyncExitStack) -> Link:
        qmp = await stack.enter_async_context(Qmp(self.path))
        ours, theirs = socket.socketpair()
        with theirs:
            connection = PeerConnection(ours)
            stack.callback(connection.close)
            await qmp.execute("getfd", {"fdname": _FD_NAME}, [theirs.fileno()])
            await qmp.execute("add_client", {"protocol": "@dbus-display", "fdname": _FD_NAME})
        await connection.open()
        return peer_link(connection, qmp)


@dataclass(frozen=True)
class FdAttach:
    """A unix socket whose other end QEMU has got by `add_client`; the descriptor becomes ours.

    Whoever has made the two, and whatever user QEMU runs as.
    """

    descriptor: int
    comes_back: bool = False

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """See `Attach.link`; works once."""
        try:
            sock = socket.socket(fileno=self.descriptor)
        except OSError as error:
            why = "is not open" if error.errno == errno.EBADF else "is not a socket"
            raise AttachError(f"file descriptor {self.descriptor} {why}") from error
        connection = PeerConnection(sock)
        try:
            await connection.open()
        except ConnectionLost as error:
            raise AttachError(
                f"file descriptor {self.descriptor}: {error}; it must lead to QEMU's D-Bus display"
            ) from error
        try:
            yield peer_link(connection)
        finally:
            connection.close()


def peer_link(connection: PeerConnection, qmp: Qmp | None = None) -> Link:
    """The link to the QEMU at the other end; it ends with the connection."""
    link = Link(connection, None, qmp)
    connection.on_close = lambda: link.end("QEMU has closed the connection")
    if not connection.is_open:
        link.end("QEMU has closed the connection")
    return link


class _Try(Protocol):
    async def __call__(self, stack: AsyncExitStack, /) -> Link: ...


async def _until_it_works(stack: AsyncExitStack, attempt: _Try) -> Link:
    back_off = BackOff(FIRST_WAIT, LONGEST_WAIT)
    last_reason = ""
    while True:
        async with AsyncExitStack() as trial:
            try:
                link = await attempt(trial)
            except (ConnectionLost, CallRefused, QmpRefused) as error:
                reason = str(error)
            else:
                stack.push_async_callback(trial.pop_all().aclose)
                return link
        if reason != last_reason:
            log.info("no virtual machine can be reached, trying again", cause=reason)
            last_reason = reason
        await asyncio.sleep(back_off.next())
