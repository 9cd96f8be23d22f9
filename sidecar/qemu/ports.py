"""QEMU's character devices."""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Final

from dbus_fast import Variant

from sidecar.guest import PortKind, SerialPort
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.errors import CallRefused, ConnectionLost
from sidecar.qemu.link import OBJECT_MANAGER, ROOT, Link
from sidecar.qemu.serial_port import CHARDEV, QemuSerialPort

log = get_logger(__name__)

MAX_PORTS: Final = 64
"""More than a machine has; what is beyond is left alone."""

MAX_NAME: Final = 128
"""Characters of a name or label: they are for people, and for command lines."""

_PATH: Final = f"{ROOT}/Chardev_"
_KINDS: Final = (
    ("org.qemu.console.serial.", PortKind.SERIAL),
    ("org.qemu.monitor.", PortKind.MONITOR),
    ("org.qemu.usbredir", PortKind.USB_REDIRECTION),
)
_KINDS_OF_NAMELESS: Final = (("serial", PortKind.SERIAL), ("compat_monitor", PortKind.MONITOR))
_AGENT: Final = "org.qemu.vdagent"


class QemuPorts:
    """All character devices that QEMU has on its D-Bus display, but for those of its clipboard agent.

    A port stays, closed, when its machine ends, and is the same when the next one has it too. It goes when it
    is unplugged, or when the next machine does not have it.
    """

    def __init__(self) -> None:
        self._ports: dict[str, QemuSerialPort] = {}
        self._changes: Observers[[]] = Observers()

    @property
    def by_name(self) -> Mapping[str, SerialPort]:
        """The ports that are there, as `sidecar.guest.Guest.ports`."""
        return MappingProxyType(self._ports)

    @property
    def changes(self) -> Observers[[]]:
        """Called when the set of ports has changed."""
        return self._changes

    async def serve(self, link: Link) -> None:
        """Opens the ports of this machine while it is attached, until it is cancelled."""
        serving: dict[QemuSerialPort, asyncio.Task[None]] = {}
        changed = asyncio.Event()
        back_off = BackOff(0.1, 5.0)
        with ExitStack() as stack:
            # observed before they are listed: no change is missed
            stack.callback(link.observe_objects(changed.set))
            subscribed = False
            try:
                while True:
                    changed.clear()
                    try:
                        if not subscribed:
                            await link.subscribe_to_objects()
                            subscribed = True
                        found = await _chardevs(link)
                    except (CallRefused, ConnectionLost) as error:
                        log.debug("QEMU's ports cannot be listed", cause=str(error))
                        await asyncio.sleep(back_off.next())
                        continue
                    back_off.reset()
                    await self._follow(link, found, serving)
                    await changed.wait()
            finally:
                await _end(serving.values())

    async def _follow(
        self, link: Link, found: Mapping[str, str], serving: "dict[QemuSerialPort, asyncio.Task[None]]"
    ) -> None:
        """Makes the ports those that were `found`: QEMU's names for their purposes, by their labels."""
        before = {port.label: port for port in self._ports.values()}
        ports: dict[str, QemuSerialPort] = {}
        for label, purpose in found.items():
            kind = kind_of(purpose, label)
            if kind is None or len(ports) == MAX_PORTS:
                continue
            port = before.get(label)
            if port is None or port.kind is not kind:
                port = QemuSerialPort(
                    unique_name(purpose, label, ports.keys() | self._ports.keys()), label, kind
                )
            ports[port.name] = port
        there = list(ports.values())
        await _end([serving.pop(port) for port in list(serving) if port not in there])
        for port in there:
            if port not in serving:
                serving[port] = asyncio.create_task(port.serve(link, _PATH + port.label))
        if there != list(self._ports.values()):
            self._ports = ports
            log.debug("QEMU's ports", names=list(ports))
            self._changes.notify()


def kind_of(purpose: str, label: str) -> PortKind | None:
    """What a port is by QEMU's name for its purpose, or else by its label; None for one of QEMU's own agent.

    QEMU names its `vc` devices after their labels; older ones, and some, have no name.
    """
    if purpose.startswith(_AGENT):
        return None
    for prefix, kind in _KINDS if purpose else _KINDS_OF_NAMELESS:
        if (purpose or label).startswith(prefix):
            return kind
    return PortKind.CHANNEL


def unique_name(purpose: str, label: str, taken: Collection[str]) -> str:
    """A port's name: its purpose if that is not taken, or else its label, or that with a number."""
    for name in (purpose, label):
        if name and name not in taken:
            return name
    number = 2
    while f"{label}-{number}" in taken:
        number += 1
    return f"{label}-{number}"


async def _chardevs(link: Link) -> dict[str, str]:
    """The names of QEMU's devices by their labels, in the order of these. Raises as `Link.call` does."""
    body = await link.call(ROOT, OBJECT_MANAGER, "GetManagedObjects")
    objects = body[0] if body and isinstance(body[0], dict) else {}
    found = {}
    for path, interfaces in objects.items():
        label = str(path).removeprefix(_PATH)
        if (
            label != path
            and isinstance(interfaces, dict)
            and CHARDEV in interfaces
            and len(label) <= MAX_NAME
        ):
            name = interfaces[CHARDEV].get("Name")
            found[label] = presentable(name.value) if isinstance(name, Variant) else ""
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def presentable(name: object) -> str:
    """A name that QEMU was told by somebody, as it may stand in logs and on terminals."""
    return "".join(c if c.isprintable() else "?" for c in str(name)[:MAX_NAME])


def _natural(label: str) -> list[tuple[int, str]]:
    """Sorts `serial2` before `serial10`."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", label)]


async def _end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a port is not served any more", cause=repr(error))
