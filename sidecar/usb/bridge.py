"""A connection that carries usbredir's byte stream between whoever has a device and a slot of the machine."""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final, cast

from sidecar.log import get_logger
from sidecar.usb.slots import OPEN_TIME, SlotEnd, UsbSeat, UsbSlots

log = get_logger(__name__)

MOST_WAITING: Final = 64 * 1024
"""Bytes that wait for a peer that does not read, before the machine is read no further."""

READ_TIME: Final = 30.0
"""Seconds for a peer to take what waits for it."""

SHORT_PAUSE, LONG_PAUSE = 0.005, 0.1
"""Seconds after which a machine that was full is tried again, at first and at most: it does not say when it
has room."""


class BridgeEnd(Enum):
    """Why a bridge ends its connection. The value is told to the peer."""

    MACHINE_AWAY = SlotEnd.MACHINE_AWAY.value
    UNPLUGGED = SlotEnd.UNPLUGGED.value
    STOPPING = SlotEnd.STOPPING.value
    DOES_NOT_READ = "you do not read what the machine sends"


class UsbBridge(asyncio.Protocol):
    """Serves one connection. `take` a slot first, then make it the protocol of a transport.

    `address`: whence it comes, for people. `close` is called to end the transport, and why.
    """

    def __init__(self, address: str, close: Callable[[asyncio.Transport, BridgeEnd], None]) -> None:
        self.address = address
        self._close = close
        self._seat: UsbSeat | None = None
        self._transport: asyncio.Transport | None = None
        self._end: BridgeEnd | None = None
        self._early = bytearray()
        """What the machine said before there was a transport."""
        self._unsent = bytearray()
        """What the machine has had no room for; the peer is read no further meanwhile."""
        self._pause = SHORT_PAUSE
        self._next_try: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    async def take(self, slots: UsbSlots, name: str | None, *, within: float = OPEN_TIME) -> None:
        """Takes a slot for it; as `UsbSlots.take`."""
        self._seat = await slots.take(name, self, within=within)
        self._hold_if_early()

    def leave(self) -> None:
        """Frees the slot, however things are. May be called twice."""
        if self._seat is not None:
            self._seat.leave()
        for timer in (self._next_try, self._patience):
            if timer is not None:
                timer.cancel()
        self._unsent.clear()
        self._early.clear()

    # the machine's side: sidecar.usb.slots.Holder

    def received(self, data: bytes) -> None:
        """The machine says something."""
        if self._transport is not None:
            self._transport.write(data)
        else:
            self._early += data
            self._hold_if_early()

    def ended(self, reason: SlotEnd) -> None:
        """The machine has no slot for it any more."""
        self._end_for(BridgeEnd(reason.value))

    # the peer's side: asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there: from now on bytes go both ways."""
        self._transport = cast("asyncio.Transport", transport)
        if self._end is not None:
            self._close(self._transport, self._end)
            return
        self._transport.set_write_buffer_limits(MOST_WAITING)
        early, self._early = bytes(self._early), bytearray()
        if self._seat is not None:
            self._seat.hold(False)
        self._transport.write(early)

    def data_received(self, data: bytes) -> None:
        """The peer says something."""
        self._unsent += data
        if self._next_try is None:
            self._send()

    def pause_writing(self) -> None:
        """The peer does not keep up: the machine waits, for a while."""
        if self._seat is not None:
            self._seat.hold(True)
        if self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(READ_TIME, self._end_for, BridgeEnd.DOES_NOT_READ)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._seat is not None:
            self._seat.hold(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone, and its device with it."""
        self.leave()

    def _hold_if_early(self) -> None:
        if self._seat is not None and self._transport is None and len(self._early) >= MOST_WAITING:
            self._seat.hold(True)

    def _send(self) -> None:
        self._next_try = None
        if self._seat is None or self._transport is None or self._end is not None:
            return
        taken = self._seat.write(bytes(self._unsent))
        del self._unsent[:taken]
        if not self._unsent:
            self._pause = SHORT_PAUSE
            self._transport.resume_reading()
            return
        self._transport.pause_reading()
        self._pause = SHORT_PAUSE if taken else min(self._pause * 2, LONG_PAUSE)
        self._next_try = asyncio.get_running_loop().call_later(self._pause, self._send)

    def _end_for(self, end: BridgeEnd) -> None:
        if self._end is not None:
            return
        self._end = end
        log.info("USB connection ended", address=self.address, cause=end.value)
        self.leave()
        if self._transport is not None:
            self._close(self._transport, end)
