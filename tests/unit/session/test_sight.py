"""What a session may see whose login does not let it see everything."""

import pytest
from support.synthetic_guest import SyntheticConsole, SyntheticGuest, SyntheticPort

from sidecar.guest import GuestState
from sidecar.session.session import Session
from sidecar.session.sight import Sight, may_use_machine, names_port

PORT = "org.qemu.console.serial.0"


@pytest.fixture
def guest() -> SyntheticGuest:
    """Two displays, and the text console of a serial port; another port has no console."""
    first, second, text = SyntheticConsole(0), SyntheticConsole(1), SyntheticConsole(16)
    first.label, second.label, text.label = "VGA", "secondary", "serial0"
    guest = SyntheticGuest(first)
    guest.consoles = {console.index: console for console in (first, second, text)}
    for name, label in ((PORT, "serial0"), ("other", "serial1")):
        guest.ports[name] = SyntheticPort(name)
        guest.ports[name].label = label
    return guest


def seen(guest: SyntheticGuest, *names: str) -> list[int]:
    return [console.index for console in Sight(guest, frozenset(names)).consoles]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), []),
        (("0",), [0]),
        (("1", "VGA"), [0, 1]),
        (("secondary",), [1]),
        ((PORT,), [16]),
        (("serial0",), [16]),
        (("16",), [16]),
        (("2", "vga", "", "-1", "01", "other", "serial1"), []),
    ],
)
def test_numbers_labels_and_ports_name_consoles(
    guest: SyntheticGuest, names: tuple[str, ...], expected: list[int]
) -> None:
    assert seen(guest, *names) == expected


def test_whose_login_names_none_sees_all_of_them(guest: SyntheticGuest) -> None:
    assert Sight(guest, None).consoles == list(guest.consoles.values())


def test_a_label_that_is_a_number_opens_no_console(guest: SyntheticGuest) -> None:
    guest.consoles[1].label = "0"
    assert seen(guest, "0") == [0]
    guest.consoles[1].label = "7"
    assert seen(guest, "7") == []


def test_a_display_that_is_another_one_after_the_machine_came_back_is_not_seen(guest: SyntheticGuest) -> None:
    assert seen(guest, "VGA") == [0]
    # while nobody knows what the next machine has there, a label is nobody's
    guest.state = GuestState.LOST
    assert seen(guest, "VGA") == []
    assert seen(guest, "0", PORT) == [0, 16]
    guest.consoles[0].label, guest.consoles[1].label = "secondary", "VGA"
    guest.state = GuestState.ATTACHED
    assert seen(guest, "VGA") == [1]


def test_the_screen_of_a_port_that_is_gone_is_not_seen(guest: SyntheticGuest) -> None:
    del guest.ports[PORT]
    assert seen(guest, PORT) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, True), ({PORT}, True), ({"serial0"}, True), ({"0", "16", "VGA"}, False), (set(), False)],
)
def test_ports_are_named_by_name_or_label(names: set[str] | None, expected: bool) -> None:
    assert names_port(None if names is None else frozenset(names), PORT, "serial0") is expected


@pytest.mark.parametrize("names", [("0", "7")])
def test_a_port_that_is_called_by_a_number_is_not_opened_by_the_number_of_a_console(
    names: tuple[str, ...],
) -> None:
    assert not names_port(frozenset(names), "0", "7")


@pytest.mark.parametrize(
    ("names", "expected"), [(None, True), ({"0"}, True), ({"VGA", "1"}, False), (set(), False)]
)
def test_what_belongs_to_no_screen_goes_with_the_number_of_the_first(
    names: set[str] | None, expected: bool
) -> None:
    session = Session(
        "v1", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
    )
    session.consoles = None if names is None else frozenset(names)
    assert may_use_machine(session) is expected
