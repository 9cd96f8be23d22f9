"""One attached QEMU: its D-Bus objects, for as long as it is there."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from dbus_fast import Message, MessageType, Variant

from sidecar.qemu.connection import CALL_TIMEOUT, Connection
from sidecar.qemu.qmp import Qmp

ROOT: Final = "/org/qemu/Display1"
OBJECT_MANAGER: Final = "org.freedesktop.DBus.ObjectManager"
VM_PATH: Final = f"{ROOT}/VM"
VM: Final = "org.qemu.Display1.VM"
CONSOLE: Final = "org.qemu.Display1.Console"
KEYBOARD: Final = "org.qemu.Display1.Keyboard"
MOUSE: Final = "org.qemu.Display1.Mouse"
BUS: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"

Properties = dict[str, Any]
PropertyObserver = Callable[[str, Properties], None]
"""Called with an interface and those of its properties that changed."""


def console_path(number: int) -> str:
    """The object of a console."""
    return f"{ROOT}/Console_{number}"


class Link:
    """The way to one QEMU process. `gone` is resolved, with the reason, when it has ended.

    `owner`: QEMU's unique name on the bus; None when `connection` leads to QEMU itself. Only signals of
    `owner` are believed. `qmp`: its monitor, where there is one.
    """

    def __init__(self, connection: Connection, owner: str | None, qmp: Qmp | None = None) -> None:
        self.qmp = qmp
        self.owner = owner
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._observers: dict[str, PropertyObserver] = {}
        connection.add_message_handler(self._receive)

    def end(self, reason: str) -> None:
        """Says that QEMU is gone; the first reason counts."""
        if not self.gone.done():
            self.gone.set_result(reason)

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        *,
        signature: str = "",
        body: Sequence[Any] = (),
        unix_fds: Sequence[int] = (),
        timeout: float = CALL_TIMEOUT,
    ) -> list[Any]:
        """Calls a method of QEMU, as `Connection.request` does and with its errors."""
        return await self._connection.request(
            self.owner,
            path,
            interface,
            member,
            signature=signature,
            body=body,
            unix_fds=unix_fds,
            timeout=timeout,
        )

    async def properties(self, path: str, interface: str) -> Properties:
        """All properties of one interface. Raises as `call` does."""
        body = await self.call(path, PROPERTIES, "GetAll", signature="s", body=[interface])
        values = cast(dict[str, Variant], body[0]) if body and isinstance(body[0], dict) else {}
        return {name: variant.value for name, variant in values.items()}

    def observe(self, path: str, observer: PropertyObserver) -> Callable[[], None]:
        """Has `observer` called when properties of the object at `path` change; one for every path.

        The function returned ends it.
        """
        self._observers[path] = observer
        return lambda: self._forget(path, observer)

    def observe_objects(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Has `changed` called when QEMU has got or lost an object; the function returned ends it."""

        def receive(message: Message) -> None:
            if (
                message.message_type is MessageType.SIGNAL
                and message.interface == OBJECT_MANAGER
                and (self.owner is None or message.sender == self.owner)
            ):
                changed()

        return self.answer(receive)

    async def subscribe_to_objects(self) -> None:
        """Asks the bus, where there is one, for what `observe_objects` hears. Raises as `call` does."""
        if self.owner is not None:
            rule = f"type='signal',sender='{self.owner}',interface='{OBJECT_MANAGER}',path='{ROOT}'"
            await subscribe(self._connection, rule)

    def answer(self, handler: Callable[[Message], Message | bool | None]) -> Callable[[], None]:
        """Has `handler` called for each message of the connection; the function returned ends it."""
        self._connection.add_message_handler(handler)
        return lambda: self._connection.remove_message_handler(handler)

    def _forget(self, path: str, observer: PropertyObserver) -> None:
        if self._observers.get(path) is observer:
            del self._observers[path]

    def _receive(self, message: Message) -> None:
        if (
            message.message_type is MessageType.SIGNAL
            and message.interface == PROPERTIES
            and message.member == "PropertiesChanged"
            and message.signature == "sa{sv}as"
            and (self.owner is None or message.sender == self.owner)
            and (observer := self._observers.get(str(message.path)))
        ):
            interface, changed, _ = message.body
            observer(interface, {name: variant.value for name, variant in changed.items()})


async def subscribe(connection: Connection, rule: str) -> None:
    """Asks the bus for the signals that match `rule`."""
    await connection.request(BUS, BUS_PATH, BUS, "AddMatch", signature="s", body=[rule])
