"""The port that a person means, and the list of all."""

import pytest

from sidecar.console.errors import NoSuchPort
from sidecar.console.ports import MAX_PORTS, Ports
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.stream_messages import Announce, Withdraw
from sidecar.vnc.wire import StreamFlag, StreamKind

WRITE, READ = StreamFlag.WRITE, StreamFlag(0)
SERIAL_0 = Announce(0, StreamKind.SERIAL, WRITE, "org.qemu.console.serial.0", "serial0")
SERIAL_1 = Announce(1, StreamKind.SERIAL, READ, "org.qemu.console.serial.1", "serial1")
MONITOR = Announce(2, StreamKind.MONITOR, WRITE, "org.qemu.monitor.hmp.0", "mon0")
AGENT = Announce(3, StreamKind.CHANNEL, WRITE, "serial", "")


def ports_of(*announced: Announce) -> Ports:
    ports = Ports()
    for port in announced:
        ports.announced(port)
    return ports


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("org.qemu.console.serial.1", SERIAL_1),
        ("serial1", SERIAL_1),
        ("mon", MONITOR),
        ("org.qemu.m", MONITOR),
        ("serial", AGENT),
    ],
)
def test_a_name_a_label_or_a_unique_beginning_is_enough(name: str, port: Announce) -> None:
    assert ports_of(SERIAL_0, SERIAL_1, MONITOR, AGENT).choose(name) is port


def test_the_only_serial_port_needs_no_name() -> None:
    assert ports_of(MONITOR, SERIAL_1, AGENT).choose(None) is SERIAL_1


@pytest.mark.parametrize("name", [None, "org", "ser", "com1", ""])
def test_a_choice_that_is_none_lists_what_there_is(name: str | None) -> None:
    with pytest.raises(NoSuchPort) as caught:
        ports_of(SERIAL_0, SERIAL_1).choose(name)
    assert "org.qemu.console.serial.0 (serial0), org.qemu.console.serial.1 (serial1)" in str(caught.value)


def test_a_monitor_is_never_taken_for_the_serial_port() -> None:
    with pytest.raises(NoSuchPort, match="mon0"):
        ports_of(MONITOR).choose(None)
    with pytest.raises(NoSuchPort):
        ports_of().choose(None)


def test_what_was_withdrawn_is_not_there() -> None:
    ports = ports_of(SERIAL_0, SERIAL_1)
    ports.withdrawn(Withdraw(0))
    ports.withdrawn(Withdraw(9))
    assert ports.choose(None) is SERIAL_1


def test_the_list_is_a_table_that_no_terminal_obeys() -> None:
    wild = Announce(4, StreamKind.CHANNEL, READ, "a\x1b[2J", "b\nc")
    assert ports_of(SERIAL_0, MONITOR, AGENT, wild).table() == [
        "NAME                       LABEL    KIND     ACCESS",
        "org.qemu.console.serial.0  serial0  serial   read, write",
        "org.qemu.monitor.hmp.0     mon0     monitor  read, write",
        "serial                     -        channel  read, write",
        "a?[2J                      b?c      channel  read",
    ]


def test_announcements_without_end_are_refused() -> None:
    ports = ports_of(*(Announce(number, StreamKind.SERIAL, READ, "x", "") for number in range(MAX_PORTS)))
    with pytest.raises(RemoteError):
        ports.announced(Announce(MAX_PORTS, StreamKind.SERIAL, READ, "x", ""))
