"""The machine's slots for USB devices: which are free, who holds the others, and what is in them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol

from sidecar.errors import NotReady
from sidecar.guest import Guest, GuestState, PortKind, SerialPort
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.session.status import UsbDeviceStatus
from sidecar.usb.device import UsbDevice
from sidecar.usb.packets import DeviceConnected, DeviceObserver, NotUsbredir

log = get_logger(__name__)

OPEN_TIME: Final = 10.0
"""Seconds for the machine to open a slot."""


class NoSuchSlot(NotReady):
    """The machine has no slot of that name, or none at all."""


class SlotTaken(NotReady):
    """Somebody else holds it."""


class SlotClosed(NotReady):
    """The machine is away, or does not open the slot."""


class SlotEnd(Enum):
    """Why a slot was taken from its holder. The value is told to people."""

    MACHINE_AWAY = "the machine has closed the slot"
    UNPLUGGED = "the machine has no such slot any more"
    STOPPING = "the server stops"


class Holder(Protocol):
    """Who has taken a slot. Neither method may raise."""

    @property
    def address(self) -> str:
        """Whence it comes, for people; empty for a unix socket."""
        ...

    def received(self, data: bytes) -> None:
        """The next bytes from the machine."""
        ...

    def ended(self, reason: SlotEnd) -> None:
        """The slot is not theirs any more; nothing follows."""
        ...


@dataclass(slots=True)
class UsbTraffic:
    """Bytes of all devices since the daemon began."""

    to_guest: int = 0
    from_guest: int = 0


class UsbSlots:
    """The slots of one machine: its ports for usbredir. Belongs to the main loop; `close` it at the end."""

    def __init__(self, guest: Guest) -> None:
        self.changes: Observers[[]] = Observers()
        """Called when slots came or went, were taken or freed, or their devices changed."""
        self.traffic = UsbTraffic()
        self._guest = guest
        self._slots: dict[str, UsbSlot] = {}
        self._unsubscribe = guest.ports_changes.subscribe(self._follow)
        self._follow()

    @property
    def by_name(self) -> Mapping[str, "UsbSlot"]:
        """Those that are there, in QEMU's order."""
        return MappingProxyType(self._slots)

    @property
    def is_machine_there(self) -> bool:
        """Whether a slot can be opened now."""
        return self._guest.state is GuestState.ATTACHED

    def devices(self) -> list[UsbDeviceStatus]:
        """The devices of this moment, as the status tells them."""
        return [told for slot in self._slots.values() if (told := slot.device_status()) is not None]

    async def take(self, name: str | None, holder: Holder, *, within: float = OPEN_TIME) -> "UsbSeat":
        """Opens a slot, by its name or label, or any free one (None), for `holder` alone.

        Raises NoSuchSlot, SlotTaken; SlotClosed also when it is not open `within` seconds.
        """
        return await self._choose(name).open(holder, within)

    def close(self) -> None:
        """Takes every slot from its holder."""
        self._unsubscribe()
        for slot in self._slots.values():
            slot.withdraw(SlotEnd.STOPPING)

    def _choose(self, name: str | None) -> "UsbSlot":
        if not self.is_machine_there:
            raise SlotClosed("the machine is away: try again when it is back")
        slots = [each for each in self._slots.values() if name is None or name in (each.name, each.label)]
        if not slots:
            there = ", ".join(self._slots)
            raise NoSuchSlot(
                f"the machine has no such slot; there are {there}"
                if there
                else "the machine has no slot for USB devices: give it a usb-redir device"
            )
        for slot in slots:
            if not slot.is_taken:
                return slot
        raise SlotTaken("a device is there already" if name else "every slot is taken")

    def _follow(self) -> None:
        ports = {n: port for n, port in self._guest.ports.items() if port.kind is PortKind.USB_REDIRECTION}
        before, self._slots = self._slots, {}
        for name, port in ports.items():
            slot = before.get(name)
            kept = slot is not None and slot.port is port
            self._slots[name] = slot if slot and kept else UsbSlot(port, self.changes.notify, self.traffic)
        gone = [slot for slot in before.values() if self._slots.get(slot.name) is not slot]
        for slot in gone:
            slot.withdraw(SlotEnd.UNPLUGGED)
        if gone or len(self._slots) != len(before):
            self.changes.notify()


class UsbSlot:
    """One slot. Made by `UsbSlots`; `changed` is called when it was taken, freed, or its device changed, and
    `traffic` counts its bytes."""

    def __init__(self, port: SerialPort, changed: Callable[[], None], traffic: UsbTraffic) -> None:
        self.port = port
        self._changed = changed
        self._traffic = traffic
        self._seat: UsbSeat | None = None

    @property
    def name(self) -> str:
        """Unique among the machine's ports."""
        return self.port.name

    @property
    def label(self) -> str:
        """QEMU's label of the device, such as `usbredir0`."""
        return self.port.label

    @property
    def holder(self) -> Holder | None:
        """Who has it."""
        return None if self._seat is None else self._seat.holder

    @property
    def is_taken(self) -> bool:
        """Whether somebody has it."""
        return self._seat is not None

    @property
    def device(self) -> UsbDevice | None:
        """What is in it, as far as its host has told."""
        return None if self._seat is None else self._seat.device

    def device_status(self) -> UsbDeviceStatus | None:
        """What the status tells of its device; None while there is none."""
        if self._seat is None or (device := self._seat.device) is None:
            return None
        return UsbDeviceStatus(
            slot=self.name,
            vendor=f"{device.vendor:04x}",
            product=f"{device.product:04x}",
            kind=device.kind,
            speed=device.speed.name.lower(),
            address=self._seat.holder.address,
        )

    async def open(self, holder: Holder, within: float) -> "UsbSeat":
        """See `UsbSlots.take`."""
        if self._seat is not None:
            raise SlotTaken("a device is there already")
        seat = self._seat = UsbSeat(self.port, holder, self._seat_changed, self._traffic)
        self._changed()
        try:
            await seat.begin(within)
        except BaseException:
            seat.leave()
            raise
        return seat

    def withdraw(self, reason: SlotEnd) -> None:
        """Takes it from its holder, if it has one."""
        if self._seat is not None:
            self._seat.end(reason)

    def _seat_changed(self) -> None:
        if self._seat is not None and self._seat.has_left:
            self._seat = None
        self._changed()


class UsbSeat:
    """A slot in the hands of `holder`, until it leaves or is sent away. `changed`: it left, or its device
    changed. Made by `UsbSlots.take`."""

    def __init__(
        self, port: SerialPort, holder: Holder, changed: Callable[[], None], traffic: UsbTraffic
    ) -> None:
        self.holder = holder
        self._traffic = traffic
        self.device: UsbDevice | None = None
        """What the holder has told to be there."""
        self.has_left = False
        self._port = port
        self._changed = changed
        self._observer: DeviceObserver | None = DeviceObserver()
        self._is_ours = False
        """The port is open, and was opened for us."""
        self._is_handed_over = False
        self._reason = SlotEnd.MACHINE_AWAY
        self._news = asyncio.Event()
        """Set when the port is ours, or never will be."""
        self._forget_changes = port.changes.subscribe(self._port_changed)
        self._forget_output: Callable[[], None] | None = None

    async def begin(self, within: float) -> None:
        """Waits until the machine has opened the port. Raises SlotClosed."""
        self._port_changed()
        try:
            async with asyncio.timeout(within):
                await self._news.wait()
        except TimeoutError:
            raise SlotClosed(
                "the machine does not open the slot: another program may hold it, or QEMU is stopped"
            ) from None
        if self.has_left:
            raise SlotClosed(self._reason.value)
        self._is_handed_over = True

    def write(self, data: bytes) -> int:
        """Sends bytes of the device, never waiting; how many the machine took: the first so many."""
        if self.has_left:
            return 0
        taken = self._port.write(data)
        self._traffic.to_guest += taken
        if taken and self._observer is not None:
            self._observe(self._observer, data[:taken])
        return taken

    def hold(self, held: bool) -> None:
        """Leaves what comes with the machine until it is not held, or goes on."""
        if not self.has_left:
            self._port.hold(held)

    def leave(self) -> None:
        """Frees the slot. May be called twice."""
        if self.has_left:
            return
        self.has_left = True
        self._forget_changes()
        if self._forget_output is not None:
            self._forget_output()
        if self.device is not None:
            self._lost(self.device)
        self._news.set()
        self._changed()

    def end(self, reason: SlotEnd) -> None:
        """Takes the slot from its holder."""
        if self.has_left:
            return
        self._reason = reason
        self.leave()
        if self._is_handed_over:
            self.holder.ended(reason)

    def _port_changed(self) -> None:
        # one that is open before we have subscribed is the last holder's, and closes
        if self._forget_output is None and not self._port.is_open:
            self._forget_output = self._port.output.subscribe(self._received)
        if self._forget_output is not None and self._port.is_open != self._is_ours:
            if self._is_ours:
                self.end(SlotEnd.MACHINE_AWAY)
            else:
                self._is_ours = True
                self._news.set()

    def _received(self, data: bytes) -> None:
        self._traffic.from_guest += len(data)
        if self._observer is not None:
            try:
                self._observer.from_guest(data)
            except NotUsbredir as fault:
                self._give_up_observing(fault)
        self.holder.received(data)

    def _observe(self, observer: DeviceObserver, data: bytes) -> None:
        try:
            events = observer.from_host(data)
        except NotUsbredir as fault:
            self._give_up_observing(fault)
            return
        for event in events:
            before, self.device = (
                self.device,
                event.device if isinstance(event, DeviceConnected) else None,
            )
            if self.device is not None and before is None:
                self._found(self.device)
            elif self.device is None and before is not None:
                self._lost(before)
            if self.device != before:
                self._changed()

    def _give_up_observing(self, fault: NotUsbredir) -> None:
        log.info(
            "USB traffic is not understood, its device is not counted",
            slot=self._port.name,
            address=self.holder.address,
            cause=str(fault),
        )
        self._observer = None
        if self.device is not None:
            self.device = None
            self._changed()

    def _found(self, device: UsbDevice) -> None:
        log.info(
            "USB device redirected",
            slot=self._port.name,
            device=f"{device.vendor:04x}:{device.product:04x}",
            kind=device.kind,
            address=self.holder.address,
        )

    def _lost(self, device: UsbDevice) -> None:
        log.info(
            "USB device gone",
            slot=self._port.name,
            device=f"{device.vendor:04x}:{device.product:04x}",
            address=self.holder.address,
        )
