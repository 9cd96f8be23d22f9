"""Serial ports and all who share them: everybody reads, and a policy says who writes."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from sidecar.guest import Guest, PortKind, SerialPort
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.serial.history import History
from sidecar.session.session import Session

log = get_logger(__name__)

ROOM_CHECK: Final = 0.05
"""Seconds after which a port that was full is tried again: it does not say when it has room."""


class WritePolicy(StrEnum):
    """Who may write into the lines of a machine, of those whose session is not view-only."""

    EVERYBODY = "everybody"
    ONE = "one"
    """the first that writes, until it leaves"""
    NOBODY = "nobody"


class SerialLines:
    """The lines of one machine that are offered to people: its serial ports.

    `write`: who may write. `monitors`: offers QEMU's monitors too; who writes there rules the machine, as a
    program on its host does. Belongs to the main loop.
    """

    def __init__(self, guest: Guest, *, write: WritePolicy, monitors: bool = False) -> None:
        self.changes: Observers[[]] = Observers()
        """Called when lines came or went."""
        self._guest = guest
        self._policy = write
        self._offered = {PortKind.SERIAL, PortKind.MONITOR} if monitors else {PortKind.SERIAL}
        self._lines: dict[str, SerialLine] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe = guest.ports_changes.subscribe(self._follow)
        self._follow()

    @property
    def by_name(self) -> Mapping[str, "SerialLine"]:
        """The lines that are there, in QEMU's order."""
        return MappingProxyType(self._lines)

    def close(self) -> None:
        """Lets go of every port; nobody hears anything afterwards."""
        self._unsubscribe()
        for line in self._lines.values():
            line.close()
        for task in self._tasks:
            task.cancel()

    def _follow(self) -> None:
        ports = {name: port for name, port in self._guest.ports.items() if port.kind in self._offered}
        before = self._lines
        self._lines = {}
        for name, port in ports.items():
            line = before.get(name)
            kept = line is not None and line.port is port
            self._lines[name] = line if line and kept else SerialLine(port, self._policy, self._spawn)
        gone = [line for line in before.values() if self._lines.get(line.name) is not line]
        for line in gone:
            line.close()
        if gone or len(self._lines) != len(before):
            self.changes.notify()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a break could not be sent", cause=repr(error))


class SerialLine:
    """One port, shared. It keeps its history over the end of a machine and the beginning of the next.

    Made by `SerialLines`, whose `spawn` runs what takes time.
    """

    def __init__(
        self,
        port: SerialPort,
        policy: WritePolicy,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self.changes: Observers[[]] = Observers()
        """Called when `is_open` has changed."""
        self.port = port
        self._policy = policy
        self._spawn = spawn
        self._history = History()
        self._seats: dict[SerialSeat, None] = {}
        self._writer: SerialSeat | None = None
        self._told_open = port.is_open
        self._marks: deque[tuple[int, SerialSeat, int]] = deque()
        """Where, in all that was written, each write ends that the machine has not taken yet; whose it was,
        and how long."""
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None
        self._breaking = False
        self._unsubscribe = (
            port.output.subscribe(self._received),
            port.changes.subscribe(self._port_changed),
        )

    @property
    def name(self) -> str:
        """Unique among the machine's ports."""
        return self.port.name

    @property
    def label(self) -> str:
        """QEMU's label of the device, such as `serial0`."""
        return self.port.label

    @property
    def kind(self) -> PortKind:
        """What is at its other end."""
        return self.port.kind

    @property
    def is_open(self) -> bool:
        """Whether bytes can go either way now."""
        return self.port.is_open

    @property
    def history(self) -> bytes:
        """The last that came out of it, at most 256 KiB."""
        return bytes(self._history)

    def allows(self, session: Session | None) -> bool:
        """Whether somebody who joined now might write."""
        return self._allows(session, None)

    def join(
        self,
        session: Session | None,
        received: Callable[[bytes], None],
        changed: Callable[[], None],
        *,
        taken: Callable[[int], None] | None = None,
    ) -> "SerialSeat":
        """A place at this line. `session`: whose it is; None is the daemon's own.

        `received` gets what comes out from now on. `changed` is called when `may_write` or `is_open` of the
        line may have changed. `taken` is called as the machine takes what was written from this place, with
        how many bytes more, during `SerialSeat.write` or later; and with 0 when there may be room again
        after a write of which not all was taken. None of them may raise.
        """
        seat = SerialSeat(self, session, received, changed, taken)
        self._seats[seat] = None
        return seat

    def close(self) -> None:
        """Lets go of the port; nobody hears anything afterwards."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for seat in list(self._seats):
            seat.leave()
        self._marks.clear()
        self._stop_checking()

    def _received(self, data: bytes) -> None:
        self._history.add(data)
        for seat in list(self._seats):
            seat.hear(data)

    def _port_changed(self) -> None:
        if self.port.is_open == self._told_open:
            return
        self._told_open = self.port.is_open
        if not self._told_open:
            # what the port still had is lost with its machine
            lost, self._marks = self._marks, deque()
            for _, seat, count in lost:
                seat.note_taken(count)
        self.changes.notify()
        self._tell_seats()

    def _tell_seats(self) -> None:
        for seat in list(self._seats):
            seat.tell()

    # what seats do

    def _allows(self, session: Session | None, seat: "SerialSeat | None") -> bool:
        return (
            self._policy is not WritePolicy.NOBODY
            and (session is None or not session.view_only)
            and (self._writer is None or self._writer is seat)
        )

    def may_write(self, seat: "SerialSeat") -> bool:
        """For seats: whether this one may write now."""
        return self.port.is_open and seat in self._seats and self._allows(seat.session, seat)

    def write(self, seat: "SerialSeat", data: bytes) -> int:
        """For seats: see `SerialSeat.write`."""
        if not data or not self.may_write(seat):
            return 0
        if self._policy is WritePolicy.ONE and self._writer is None and seat.session is not None:
            # the daemon itself stands for many, and never leaves
            self._writer = seat
            self._tell_seats()
        count = self.port.write(data)
        seat.is_blocked = count < len(data)
        if count:
            self._written += count
            self._marks.append((self._written, seat, count))
        self._settle()
        return count

    def send_break(self, seat: "SerialSeat") -> None:
        """For seats: see `SerialSeat.send_break`."""
        if self.may_write(seat) and not self._breaking:
            self._breaking = True
            self._spawn(self._send_break())

    async def _send_break(self) -> None:
        try:
            await self.port.send_break()
        finally:
            self._breaking = False

    def leave(self, seat: "SerialSeat") -> None:
        """For seats: see `SerialSeat.leave`."""
        self._seats.pop(seat, None)
        if self._writer is seat:
            self._give_up()

    def view_only_changed(self, seat: "SerialSeat") -> None:
        """For seats: the session was switched to view-only, or back."""
        if self._writer is seat and not self._allows(seat.session, seat):
            self._give_up()
        seat.tell()

    def _give_up(self) -> None:
        self._writer = None
        self._tell_seats()

    # what the machine has taken

    def _settle(self) -> None:
        """Tells who wrote what the machine has taken, and goes on looking while it has not taken all."""
        delivered = self._written - self.port.write_backlog
        while self._marks and self._marks[0][0] <= delivered:
            _, seat, count = self._marks.popleft()
            seat.note_taken(count)
        if self._timer is None and (self._marks or any(seat.is_blocked for seat in self._seats)):
            self._timer = asyncio.get_running_loop().call_later(ROOM_CHECK, self._check_room)

    def _check_room(self) -> None:
        self._timer = None
        for seat in list(self._seats):
            if seat.is_blocked:
                # it writes again and is blocked anew where there is still no room
                seat.is_blocked = False
                seat.note_taken(0)
        self._settle()

    def _stop_checking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class SerialSeat:
    """The place of one participant at a line."""

    def __init__(
        self,
        line: SerialLine,
        session: Session | None,
        received: Callable[[bytes], None],
        changed: Callable[[], None],
        taken: Callable[[int], None] | None,
    ) -> None:
        self.session = session
        self.is_blocked = False
        """A write of which not all was taken waits for room. Belongs to the line."""
        self._line = line
        self._received = received
        self._changed = changed
        self._taken = taken
        self._is_there = True
        self._unsubscribe = (
            None if session is None else session.view_only_changes.subscribe(self._view_only_changed)
        )

    @property
    def may_write(self) -> bool:
        """Whether what is written now goes into the machine: the port is open, and the policy allows it."""
        return self._line.may_write(self)

    def write(self, data: bytes) -> int:
        """Sends bytes into the machine, never waiting; how many were taken: the first so many."""
        return self._line.write(self, data)

    def send_break(self) -> None:
        """Sends a break if this place may write; one at a time. Never raises."""
        self._line.send_break(self)

    def leave(self) -> None:
        """Gives the place up; nothing is called afterwards. May be called twice."""
        if self._is_there:
            self._is_there = False
            if self._unsubscribe is not None:
                self._unsubscribe()
            self._line.leave(self)

    def hear(self, data: bytes) -> None:
        """For the line: something came."""
        if self._is_there:
            self._received(data)

    def tell(self) -> None:
        """For the line: something may have changed."""
        if self._is_there:
            self._changed()

    def note_taken(self, count: int) -> None:
        """For the line: the machine has taken so many bytes more of this place's."""
        if self._is_there and self._taken is not None:
            self._taken(count)

    def _view_only_changed(self) -> None:
        self._line.view_only_changed(self)
