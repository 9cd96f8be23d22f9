"""The bus on which a program meets QEMU and is managed."""

import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from dbus_fast import Message, MessageType

from sidecar.bus_address import bus_address_of, unix_socket_of
from sidecar.drop_in.ending import Ending
from sidecar.errors import SidecarError, UsageError
from sidecar.qemu.connection import Connection, connect_to_bus
from sidecar.qemu.errors import CallRefused, ConnectionLost
from sidecar.qemu.link import BUS, BUS_PATH, subscribe
from sidecar.session.state import EndReason

FLUSH_TIMEOUT: Final = 5.0

_DO_NOT_QUEUE: Final = 4
_PRIMARY_OWNER: Final = 1
_ALREADY_OWNER: Final = 4


class BusUnusable(SidecarError):
    """There is no bus, or it does not let us on."""


class NameTaken(SidecarError):
    """Another program has the name under which this one is managed."""


class QemuNotThere(SidecarError):
    """QEMU is not on the bus, and nobody said to wait for it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not on that bus: start QEMU first, or add --wait")


def session_bus(environment: Mapping[str, str]) -> str:
    """The address of the user's bus. Raises UsageError."""
    address = environment.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return address
    directory = environment.get("XDG_RUNTIME_DIR")
    if directory and os.path.exists(f"{directory}/bus"):
        return bus_address_of(Path(directory) / "bus")
    raise UsageError("there is no session bus here: say --dbus-address ADDRESS")


def connect_to_peer(address: str) -> int:
    """A descriptor connected to the unix socket of a D-Bus address. Raises UsageError, SidecarError."""
    place = unix_socket_of(address)
    if place is None:
        raise UsageError(
            f"{address} is no unix socket, which a peer-to-peer connection needs: add --bus-name"
        )
    with socket.socket(socket.AF_UNIX) as sock:
        # never waits: a unix socket is connected at once, or its queue is full
        sock.setblocking(False)
        try:
            sock.connect(place)
        except BlockingIOError:
            raise SidecarError(f"cannot connect to {address}: QEMU takes nobody now") from None
        except OSError as error:
            raise SidecarError(f"cannot connect to {address}: {error.strerror or error}") from None
        return sock.detach()


@asynccontextmanager
async def management_bus(address: str, ending: Ending) -> AsyncIterator[Connection]:
    """A connection by which a program is managed; its end is that of the program.

    When it is left everything that was sent has reached the bus. What goes wrong on the bus is raised as
    BusUnusable.
    """
    try:
        connection = await connect_to_bus(address)
        connection.on_close = lambda: ending.because("the bus has ended")
        try:
            yield connection
            with suppress(ConnectionLost, CallRefused):
                await connection.request(BUS, BUS_PATH, BUS, "GetId", timeout=FLUSH_TIMEOUT)
        finally:
            connection.close()
    except (ConnectionLost, CallRefused) as error:
        raise BusUnusable(str(error)) from error


async def own(connection: Connection, name: str) -> None:
    """Takes `name` on the bus. Raises NameTaken, and ConnectionLost or CallRefused as `request` does."""
    body = await connection.request(
        BUS, BUS_PATH, BUS, "RequestName", signature="su", body=[name, _DO_NOT_QUEUE]
    )
    if body[0] not in (_PRIMARY_OWNER, _ALREADY_OWNER):
        raise NameTaken(f"another program is {name} on that bus: end it first")


async def watch(connection: Connection, name: str, ending: Ending, *, wait: bool) -> None:
    """Asks for the ending when QEMU, which is `name` on the bus, has left.

    Raises QemuNotThere where it is not there and need not be waited for; ConnectionLost.
    """

    def receive(message: Message) -> None:
        if (
            message.message_type is MessageType.SIGNAL
            and message.sender == BUS
            and message.member == "NameOwnerChanged"
            and message.signature == "sss"
            and message.body[0] == name
            # another owner is another QEMU: the one that was served is gone
            and message.body[1]
        ):
            ending.because(f"D-Bus peer {name} vanished", EndReason.GONE)

    connection.add_message_handler(receive)
    await subscribe(
        connection, f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{name}'"
    )
    try:
        await connection.request(BUS, BUS_PATH, BUS, "GetNameOwner", signature="s", body=[name])
    except CallRefused:
        if not wait:
            raise QemuNotThere(name) from None
