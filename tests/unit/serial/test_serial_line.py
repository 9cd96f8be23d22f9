"""Who reads and who writes at a serial port that many share."""

import asyncio

import pytest
from support.synthetic_guest import SyntheticGuest, SyntheticPort
from support.waiting import eventually

from sidecar.guest import PortKind
from sidecar.serial.history import LIMIT
from sidecar.serial.line import SerialLine, SerialLines, SerialSeat, WritePolicy
from sidecar.session.session import Session

SERIAL = "org.qemu.console.serial.0"


def session(number: int = 1, *, view_only: bool = False) -> Session:
    made = Session(
        f"v{number}",
        protocol="vnc",
        transport="tcp",
        address="",
        tls=False,
        connected_at=0,
        end=lambda _: None,
    )
    made.view_only = view_only
    return made


class Participant:
    """Somebody at a line, and what they were told."""

    def __init__(self, line: SerialLine, who: Session | None) -> None:
        self.heard = bytearray()
        self.rights: list[bool] = []
        self.taken: list[int] = []
        self.seat: SerialSeat = line.join(who, self.heard.extend, self._changed, taken=self.taken.append)

    def _changed(self) -> None:
        self.rights.append(self.seat.may_write)


def scene(
    policy: WritePolicy = WritePolicy.EVERYBODY, *ports: SyntheticPort, monitors: bool = False
) -> tuple[SerialLines, SyntheticGuest]:
    guest = SyntheticGuest()
    for port in ports or (SyntheticPort(),):
        guest.add_port(port)
    return SerialLines(guest, write=policy, monitors=monitors), guest


def one(policy: WritePolicy = WritePolicy.EVERYBODY) -> tuple[SerialLine, SyntheticPort]:
    lines, guest = scene(policy)
    return lines.by_name[SERIAL], guest.ports[SERIAL]


ALL_KINDS = [SyntheticPort(f"port.{kind.value}", kind) for kind in PortKind]


@pytest.mark.parametrize(
    ("monitors", "offered"), [(False, ["port.serial"]), (True, ["port.serial", "port.monitor"])]
)
def test_only_serial_ports_are_offered_and_monitors_when_asked_for(
    monitors: bool, offered: list[str]
) -> None:
    lines, _ = scene(WritePolicy.EVERYBODY, *ALL_KINDS, monitors=monitors)
    assert list(lines.by_name) == offered


def test_a_monitor_that_is_not_offered_is_not_even_read() -> None:
    monitor = SyntheticPort("m", PortKind.MONITOR)
    scene(WritePolicy.EVERYBODY, monitor)
    assert len(monitor.output) == 0


def test_all_hear_and_who_comes_late_finds_what_was_said() -> None:
    line, port = one()
    port.say(b"booting\r\n")
    early, late = Participant(line, session(1)), Participant(line, None)
    port.say(b"login: ")
    assert early.heard == late.heard == b"login: "
    assert line.history == b"booting\r\nlogin: "
    early.seat.leave()
    early.seat.leave()
    port.say(b"more")
    assert early.heard == b"login: "


def test_the_history_is_bounded_and_begins_with_a_whole_line() -> None:
    line, port = one()
    for number in range(LIMIT // 50):
        port.say(f"{number:078}\r\n".encode())
    assert LIMIT - 80 <= len(line.history) <= LIMIT
    assert len(line.history) % 80 == 0
    assert line.history.endswith(f"{LIMIT // 50 - 1:078}\r\n".encode())


def test_the_history_of_one_long_line_is_kept_as_it_is() -> None:
    line, port = one()
    port.say(b"x" * (LIMIT + 5))
    assert line.history == b"x" * LIMIT


async def test_everybody_may_write() -> None:
    line, port = one()
    first, second = Participant(line, session(1)), Participant(line, session(2))
    first.seat.write(b"a")
    second.seat.write(b"b")
    assert port.written == b"ab"


async def test_the_first_who_writes_keeps_the_line_until_it_leaves() -> None:
    line, port = one(WritePolicy.ONE)
    first, second = Participant(line, session(1)), Participant(line, session(2))
    assert first.seat.may_write
    assert second.seat.may_write
    assert second.seat.write(b"b") == 1
    assert first.seat.write(b"a") == 0
    assert first.rights[-1] is False
    assert not line.allows(session(3))
    second.seat.leave()
    assert first.rights[-1] is True
    assert first.seat.write(b"a") == 1
    assert port.written == b"ba"


async def test_the_daemon_writes_while_nobody_else_does_and_keeps_nobody_out() -> None:
    line, port = one(WritePolicy.ONE)
    daemon, viewer = Participant(line, None), Participant(line, session(1))
    assert daemon.seat.write(b"d") == 1
    assert viewer.seat.write(b"v") == 1
    assert daemon.seat.write(b"d") == 0
    assert port.written == b"dv"


async def test_nobody_writes_where_nobody_may() -> None:
    line, port = one(WritePolicy.NOBODY)
    for who in (session(), None):
        participant = Participant(line, who)
        assert not participant.seat.may_write
        assert participant.seat.write(b"x") == 0
        participant.seat.send_break()
    await asyncio.sleep(0)
    assert not port.written
    assert not port.breaks


async def test_a_view_only_session_reads_and_never_writes() -> None:
    line, port = one()
    viewer = Participant(line, session(view_only=True))
    port.say(b"hello")
    assert viewer.heard == b"hello"
    assert viewer.seat.write(b"x") == 0
    viewer.seat.send_break()
    await asyncio.sleep(0)
    assert not port.written
    assert not port.breaks


async def test_who_becomes_view_only_gives_the_line_up() -> None:
    line, port = one(WritePolicy.ONE)
    who = session(1)
    holder, other = Participant(line, who), Participant(line, session(2))
    holder.seat.write(b"a")
    who.view_only = True
    who.view_only_changes.notify()
    assert holder.rights[-1] is False
    assert other.rights[-1] is True
    assert other.seat.write(b"b") == 1
    assert port.written == b"ab"


async def test_a_break_goes_to_the_machine_once_at_a_time() -> None:
    lines, guest = scene()
    line, port = lines.by_name[SERIAL], guest.ports[SERIAL]
    viewer = Participant(line, session())
    viewer.seat.send_break()
    viewer.seat.send_break()
    await eventually(lambda: port.breaks, "a break is sent")
    await asyncio.sleep(0)
    assert port.breaks == 1
    viewer.seat.send_break()
    await eventually(lambda: port.breaks == 2, "the next break is sent")
    lines.close()


async def test_a_closed_port_takes_nothing_and_says_so() -> None:
    line, port = one()
    viewer = Participant(line, session())
    port.open(False)
    assert viewer.rights == [False]
    assert not line.is_open
    assert viewer.seat.write(b"x") == 0
    port.open(True)
    assert viewer.rights == [False, True]
    assert viewer.seat.write(b"x") == 1


async def test_the_line_and_its_history_outlive_the_machine() -> None:
    lines, guest = scene()
    line, port = lines.by_name[SERIAL], guest.ports[SERIAL]
    port.say(b"before")
    port.open(False)
    port.open(True)
    port.say(b" and after")
    assert lines.by_name[SERIAL] is line
    assert line.history == b"before and after"


def test_lines_come_and_go_with_ports() -> None:
    lines, guest = scene()
    told: list[list[str]] = []
    lines.changes.subscribe(lambda: told.append(list(lines.by_name)))
    line = lines.by_name[SERIAL]
    viewer = Participant(line, session())
    second = SyntheticPort("second")
    guest.add_port(second)
    guest.add_port(SyntheticPort("usb", PortKind.USB_REDIRECTION))
    assert lines.by_name[SERIAL] is line
    guest.remove_port(guest.ports[SERIAL])
    assert told == [[SERIAL, "second"], ["second"]]
    assert not viewer.seat.may_write
    lines.close()
    assert len(second.output) == len(second.changes) == 0
    assert len(guest.ports_changes) == 0


def test_a_line_that_goes_lets_go_of_everybody() -> None:
    lines, guest = scene()
    who = session()
    Participant(lines.by_name[SERIAL], who)
    port = guest.ports[SERIAL]
    guest.remove_port(port)
    assert len(port.output) == len(port.changes) == len(who.view_only_changes) == 0


# what the machine has taken


async def test_what_the_machine_takes_at_once_is_told_at_once() -> None:
    line, _ = one()
    viewer = Participant(line, session())
    assert viewer.seat.write(b"12345") == 5
    assert viewer.taken == [5]


async def test_each_is_told_what_the_machine_has_taken_of_theirs() -> None:
    line, port = one()
    first, second = Participant(line, session(1)), Participant(line, session(2))
    port.write_backlog = 5
    first.seat.write(b"123")
    port.write_backlog = 7
    second.seat.write(b"ab")
    assert first.taken == second.taken == []
    port.write_backlog = 2
    await eventually(lambda: first.taken == [3], "the first is told")
    assert second.taken == []
    port.write_backlog = 0
    await eventually(lambda: second.taken == [2], "the second is told")


async def test_who_found_no_room_is_told_when_to_try_again() -> None:
    line, port = one()
    viewer = Participant(line, session())
    port.takes = 2
    assert viewer.seat.write(b"12345") == 2
    port.takes = 100
    await eventually(lambda: 0 in viewer.taken, "there is room")
    assert viewer.seat.write(b"345") == 3
    assert port.written == b"12345"
    assert sum(viewer.taken) == 5


async def test_what_is_lost_with_the_machine_counts_as_taken() -> None:
    line, port = one()
    viewer = Participant(line, session())
    port.write_backlog = 3
    viewer.seat.write(b"123")
    port.write_backlog = 0
    port.open(False)
    assert viewer.taken == [3]
