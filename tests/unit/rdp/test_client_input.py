"""What RDP clients type and point at, as they really send it, and what the guest gets of it."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.synthetic_guest import SyntheticConsole, SyntheticTouch

from sidecar.guest import Button, Led
from sidecar.input.layout import Layout
from sidecar.input.qnum import VALID
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput
from sidecar.rdp.client_input import ClientInput
from sidecar.rdp.input_events import (
    ExtendedMouseEvent,
    InputEvent,
    MouseEvent,
    PointerFlags,
    RelativeMouseEvent,
    ScancodeEvent,
    SynchronizeEvent,
    ToggleFlags,
    UnicodeEvent,
)
from sidecar.rdp.touch_channel import Contact, ContactKind, TouchFrame

NAMES = {0x1D: "ctrl", 0x2A: "shift", 0x3A: "caps", 0x45: "num", 0x54: "print", 0xB8: "altgr", 0xC6: "pause"}
Q = 0x10

WHEEL, HWHEEL, NEGATIVE = PointerFlags.WHEEL, PointerFlags.HWHEEL, PointerFlags.WHEEL_NEGATIVE
MOVE, DOWN = PointerFlags.MOVE, PointerFlags.DOWN


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A client and one console of 320x200 pixels, or two side by side."""

    def __init__(self, layout: str = "us", consoles: int = 1) -> None:
        self.clock = Clock()
        self.consoles = [SyntheticConsole(index) for index in range(consoles)]
        self.view_only = False
        self.seats = [Seat(console, self.clock) for console in self.consoles]
        self.sessions = [SessionInput(seat, Layout(layout), lambda: self.view_only) for seat in self.seats]
        self.client = ClientInput(self.sessions[0], self.locate, self.clock)

    def locate(self, x: int, y: int) -> tuple[SessionInput, int, int]:
        number = max(0, min(x // 320, len(self.consoles) - 1))
        return self.sessions[number], x - 320 * number, y

    def handle(self, *pdus: Sequence[InputEvent]) -> None:
        for events in pdus:
            self.client.handle(tuple(events))

    def typed(self, console: int = 0) -> str:
        """The keys since the last look, as one line."""
        log, self.consoles[console].keyboard.log = self.consoles[console].keyboard.log, []
        return " ".join("+-"[what == "release"] + NAMES.get(qnum, f"{qnum:02x}") for what, qnum in log)

    def pointed(self, console: int = 0) -> list[tuple[object, ...]]:
        """The pointer events since the last look."""
        log, self.consoles[console].pointer.log = self.consoles[console].pointer.log, []
        return log


def press(code: int, *, e0: bool = False, e1: bool = False) -> ScancodeEvent:
    return ScancodeEvent(code, extended=e0, extended1=e1)


def release(code: int, *, e0: bool = False, e1: bool = False) -> ScancodeEvent:
    return ScancodeEvent(code, released=True, extended=e0, extended1=e1)


def separately(*events: InputEvent) -> list[list[InputEvent]]:
    """Each in a PDU of its own."""
    return [[event] for event in events]


MSTSC_PAUSE = [press(0x1D, e1=True), press(0x45), release(0x1D, e1=True), release(0x45)]
RDESKTOP_PAUSE = separately(*map(press, (0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5)), release(0x1D))
WINDOWS_ALTGR_DOWN = [press(0x1D), press(0x38, e0=True)]
WINDOWS_ALTGR_UP = [release(0x1D), release(0x38, e0=True)]


@pytest.mark.parametrize(
    ("pdus", "expected"),
    [
        pytest.param([[press(0x1E), release(0x1E)]], "+1e -1e", id="a letter"),
        pytest.param([[press(0x1C, e0=True), release(0x1C, e0=True)]], "+9c -9c", id="keypad Enter"),
        pytest.param([[press(0x5B, e0=True), release(0x5B, e0=True)]], "+db -db", id="Windows key"),
        pytest.param(
            [[press(0x1E), press(0x1E), press(0x1E), release(0x1E)]], "+1e +1e +1e -1e", id="repeat"
        ),
        pytest.param([[release(0x0F)], [release(0x38)]], "", id="releases of what was never pressed"),
        pytest.param([MSTSC_PAUSE], "+pause -pause", id="Pause of mstsc and FreeRDP in one PDU"),
        pytest.param(separately(*MSTSC_PAUSE), "+pause -pause", id="Pause in slow-path PDUs"),
        pytest.param(RDESKTOP_PAUSE, "+pause -pause", id="Pause of rdesktop, byte by byte"),
        pytest.param([MSTSC_PAUSE, MSTSC_PAUSE], "+pause -pause +pause -pause", id="Pause twice"),
        pytest.param(
            [MSTSC_PAUSE, [press(0x45), release(0x45)]], "+pause -pause +num -num", id="then Num Lock"
        ),
        pytest.param([[press(0x1D, e1=True)], [press(0x1E)], [press(0x45)]], "+1e +num", id="half of Pause"),
        pytest.param([[release(0x1D, e1=True)], [press(0x45)]], "+num", id="the release half of Pause"),
        pytest.param([[press(0xE1), press(0x1E), press(0x1D)]], "+1e +ctrl", id="E1 before another key"),
        pytest.param([[press(0x45, e1=True), press(0x1E, e1=True)]], "", id="E1 with other keys"),
        pytest.param(
            [[press(0x1D)], [press(0x46, e0=True)], [release(0x46, e0=True)], [release(0x1D)]],
            "+ctrl +pause -pause -ctrl",
            id="Ctrl+Pause",
        ),
        pytest.param([[press(0x46, e0=True)]], "+pause -pause", id="Ctrl+Pause of rdesktop, never released"),
        pytest.param([[press(0x46), release(0x46)]], "+46 -46", id="Scroll Lock"),
        pytest.param([[press(0x37, e0=True), release(0x37, e0=True)]], "+print -print", id="Print"),
        pytest.param(
            [[press(0x38), press(0x54), release(0x54), release(0x38)]],
            "+38 +print -print -38",
            id="Alt+Print",
        ),
        pytest.param([[press(0x37), release(0x37)]], "+37 -37", id="keypad *"),
        pytest.param(
            [[press(0x2A, e0=True), press(0x48, e0=True), release(0x48, e0=True), release(0x2A, e0=True)]],
            "+c8 -c8",
            id="an arrow in fake shifts",
        ),
        pytest.param([[release(0x36, e0=True), press(0x52, e0=True)]], "+d2", id="Insert after a fake shift"),
        pytest.param([[press(0x36), release(0x36)]], "+36 -36", id="right Shift"),
        pytest.param([[press(0x45, e0=True), release(0x45, e0=True)]], "+num -num", id="Num Lock of Windows"),
        pytest.param([[press(0xF2)], [press(0xF1)]], "+72 -72 +71 -71", id="Hangul, Hanja without release"),
        pytest.param([[press(0xF2), release(0xF2)]], "+72 -72", id="Hangul with release"),
        pytest.param(
            [[press(0x72), release(0x72), press(0x71)]], "+72 -72 +71", id="Hangul, Hanja in 7 bits"
        ),
        pytest.param(
            [[press(code), release(code)] for code in (0x70, 0x73, 0x79, 0x7B, 0x7D)],
            "+70 -70 +73 -73 +79 -79 +7b -7b +7d -7d",
            id="Japanese keys",
        ),
        pytest.param([[press(0x7E), release(0x7E)]], "+7e -7e", id="keypad comma of Brazil"),
        pytest.param(
            [[press(0x64), press(0x6D), press(0x6F), press(0x76)]], "+5d +f9 +6f +6f", id="F13 F22 F24"
        ),
        pytest.param(
            [[press(code) for code in (0, 0x80, 0x9D, 0xC5, 0xE0, 0xFF)]], "", id="codes that are no keys"
        ),
        pytest.param([[press(code, e0=True) for code in (0, 0x2A, 0x36, 0x9D, 0xE1)]], "", id="with E0"),
    ],
)
def test_scan_codes_of_real_clients_are_the_keys_they_mean(
    pdus: list[list[InputEvent]], expected: str
) -> None:
    desk = Desk()
    desk.handle(*pdus)
    assert desk.typed() == expected


@pytest.mark.parametrize(
    ("pdus", "expected"),
    [
        pytest.param(
            [WINDOWS_ALTGR_DOWN, [press(Q), release(Q)], WINDOWS_ALTGR_UP],
            "+altgr +10 -10 -altgr",
            id="mstsc",
        ),
        pytest.param(
            [WINDOWS_ALTGR_DOWN, WINDOWS_ALTGR_DOWN, WINDOWS_ALTGR_UP], "+altgr +altgr -altgr", id="repeated"
        ),
        pytest.param(
            [*separately(*WINDOWS_ALTGR_DOWN), [press(Q)], *separately(*WINDOWS_ALTGR_UP)],
            "+ctrl -ctrl +altgr +10 -altgr",
            id="FreeRDP on Windows, one PDU each",
        ),
        pytest.param(
            [[press(0x38, e0=True)], [press(Q)], [release(Q)], [release(0x38, e0=True)]],
            "+altgr +10 -10 -altgr",
            id="FreeRDP on X11",
        ),
        pytest.param([[press(0x1D), press(0x2E)]], "+ctrl +2e", id="Ctrl+C in one PDU"),
        pytest.param([[press(0x1D), press(0x38)]], "+ctrl +38", id="Ctrl with the left Alt"),
        pytest.param([[press(0x1D, e0=True), press(0x38, e0=True)]], "+9d +altgr", id="the right Ctrl"),
        pytest.param(
            [[press(0x1D), press(0x2A), press(0x38, e0=True)]], "+ctrl +shift +altgr", id="Shift between"
        ),
    ],
)
def test_the_ctrl_that_windows_makes_up_for_altgr_is_left_out(
    pdus: list[list[InputEvent]], expected: str
) -> None:
    desk = Desk("de")
    desk.handle(*pdus)
    assert desk.typed() == expected


def test_a_ctrl_that_was_held_before_altgr_stays_held_until_its_own_release() -> None:
    desk = Desk()
    desk.handle([press(0x1D)])
    desk.clock.now += 1
    desk.handle(WINDOWS_ALTGR_DOWN, WINDOWS_ALTGR_UP, [release(0x1D)])
    assert desk.typed() == "+ctrl +altgr -altgr -ctrl"


def test_ctrl_and_altgr_that_come_apart_are_both_meant() -> None:
    desk = Desk()
    desk.handle([press(0x1D)])
    desk.clock.now += 0.02
    desk.handle([press(0x38, e0=True)], [release(0x38, e0=True)], [release(0x1D)])
    assert desk.typed() == "+ctrl +altgr -altgr -ctrl"


def test_a_repeated_ctrl_is_not_the_one_of_altgr() -> None:
    desk = Desk()
    desk.handle([press(0x1D)])
    desk.clock.now += 1
    desk.handle([press(0x1D)], [press(0x38, e0=True)])
    assert desk.typed() == "+ctrl +ctrl +altgr"


# Synchronize


def test_the_focus_of_mstsc_and_freerdp_lets_go_of_keys_and_sets_the_locks() -> None:
    desk = Desk()
    desk.handle([press(0x38), press(0x2A)])
    desk.typed()
    # a Tab that nobody pressed comes up before and after
    desk.handle([release(0x0F), SynchronizeEvent(ToggleFlags.NUM_LOCK), release(0x0F)])
    assert desk.typed() == "-38 -shift +num -num"
    desk.handle([release(0x38), release(0x2A)])
    assert desk.typed() == ""


def test_locks_are_tapped_only_where_they_differ_and_once() -> None:
    desk = Desk()
    desk.consoles[0].keyboard.leds = Led.CAPS | Led.NUM
    everything = ToggleFlags.SCROLL_LOCK | ToggleFlags.NUM_LOCK | ToggleFlags.KANA_LOCK
    desk.handle([SynchronizeEvent(everything)], [SynchronizeEvent(everything)])
    assert desk.typed() == "+caps -caps +46 -46"


def test_two_clients_that_want_the_same_do_not_turn_a_lock_twice() -> None:
    desk = Desk()
    second = ClientInput(SessionInput(desk.seats[0], Layout("us"), lambda: False))
    desk.handle([SynchronizeEvent(ToggleFlags.CAPS_LOCK)])
    second.handle((SynchronizeEvent(ToggleFlags.CAPS_LOCK),))
    assert desk.typed() == "+caps -caps"


def test_a_synchronize_keeps_what_another_client_holds_and_the_buttons() -> None:
    desk = Desk()
    other = desk.seats[0]
    other.press("somebody", 0x2A)
    desk.handle([press(0x2A), MouseEvent(PointerFlags.BUTTON1 | DOWN, 1, 1)])
    desk.handle([SynchronizeEvent(ToggleFlags(0))])
    assert desk.consoles[0].keyboard.held == {0x2A}
    assert desk.consoles[0].pointer.held == {Button.LEFT}


def test_a_synchronize_ends_half_of_a_pause() -> None:
    desk = Desk()
    desk.handle([press(0x1D, e1=True), SynchronizeEvent(ToggleFlags(0)), press(0x45)])
    assert desk.typed() == "+num"


# Unicode


def characters(text: str, *, releases: bool = True) -> list[InputEvent]:
    """As a client types it: UTF-16, each unit pressed and let go of."""
    data = text.encode("utf-16-le")
    units = [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]
    return [UnicodeEvent(unit, up) for unit in units for up in ([False, True] if releases else [False])]


@pytest.mark.parametrize(
    ("layout", "events", "expected"),
    [
        pytest.param("us", characters("aB"), "+1e -1e +shift +30 -shift -30", id="mobile clients"),
        pytest.param("us", characters("ab", releases=False), "+1e -1e +30 -30", id="presses alone"),
        pytest.param("us", [UnicodeEvent(0x61, True)], "", id="a release alone"),
        pytest.param("de", characters("@"), "+altgr +10 -altgr -10", id="AltGr"),
        pytest.param(
            "us", characters("\r\t\b\x1b"), "+1c -1c +0f -0f +0e -0e +01 -01", id="control characters"
        ),
        pytest.param("us", characters("\N{GRINNING FACE}x"), "+2d -2d", id="what no key makes"),
        pytest.param("us", [UnicodeEvent(0xD83D), UnicodeEvent(0x61)], "+1e -1e", id="a lone high surrogate"),
        pytest.param("us", [UnicodeEvent(0xDE00), UnicodeEvent(0x61)], "+1e -1e", id="a lone low surrogate"),
        pytest.param("us", [UnicodeEvent(0)], "", id="nothing"),
    ],
)
def test_characters_are_typed_through_the_guests_layout(
    layout: str, events: list[InputEvent], expected: str
) -> None:
    together, apart = Desk(layout), Desk(layout)
    together.handle(events)
    apart.handle(*separately(*events))
    assert together.typed() == expected
    assert apart.typed() == expected
    assert together.consoles[0].keyboard.held == set()


def test_a_surrogate_pair_is_one_character_whatever_the_order_of_its_releases() -> None:
    told: list[str] = []

    class Listening(SessionInput):
        def character(self, text: str) -> None:
            told.append(text)

    client = ClientInput(Listening(Seat(SyntheticConsole()), Layout("us"), lambda: False))
    high, low = 0xD83D, 0xDE00
    client.handle(tuple(characters("\N{GRINNING FACE}")))
    client.handle((UnicodeEvent(high), UnicodeEvent(low), UnicodeEvent(high, True), UnicodeEvent(low, True)))
    client.handle((UnicodeEvent(high), SynchronizeEvent(ToggleFlags(0)), UnicodeEvent(low)))
    assert told == ["\N{GRINNING FACE}"] * 2


def test_a_letter_is_a_command_under_a_ctrl_that_came_as_a_scan_code() -> None:
    # as the keyboards of mobile clients send it
    desk = Desk()
    desk.handle([press(0x1D)], characters("c"), [release(0x1D)])
    assert desk.typed() == "+ctrl +2e -2e -ctrl"


# Mouse


def test_the_pointer_moves_to_the_place_of_each_event() -> None:
    desk = Desk()
    desk.handle(
        [
            MouseEvent(MOVE, 5, 6),
            MouseEvent(PointerFlags.BUTTON1 | DOWN, 7, 8),
            MouseEvent(PointerFlags.BUTTON1 | MOVE, 9, 10),
            MouseEvent(0, 100, 100),
        ]
    )
    assert desk.pointed() == [
        ("to", 5, 6),
        ("to", 7, 8),
        ("press", Button.LEFT),
        ("to", 9, 10),
        ("release", Button.LEFT),
    ]


@pytest.mark.parametrize(
    ("flag", "button"),
    [
        (PointerFlags.BUTTON1, Button.LEFT),
        (PointerFlags.BUTTON2, Button.RIGHT),
        (PointerFlags.BUTTON3, Button.MIDDLE),
    ],
)
def test_the_buttons_are_those_of_the_specification(flag: int, button: Button) -> None:
    desk = Desk()
    desk.handle([MouseEvent(flag | DOWN, 1, 1)], [MouseEvent(flag, 1, 1)])
    assert desk.pointed() == [("to", 1, 1), ("press", button), ("to", 1, 1), ("release", button)]


@pytest.mark.parametrize(("flag", "button"), [(1, Button.SIDE), (2, Button.EXTRA)])
def test_the_extended_buttons_are_back_and_forward(flag: int, button: Button) -> None:
    desk = Desk()
    desk.handle([ExtendedMouseEvent(flag | DOWN, 1, 2), ExtendedMouseEvent(flag, 3, 4)])
    assert desk.pointed() == [("to", 1, 2), ("press", button), ("to", 3, 4), ("release", button)]


def test_a_button_that_is_pressed_twice_is_pressed_once_and_let_go_of_once() -> None:
    desk = Desk()
    down, up = MouseEvent(PointerFlags.BUTTON2 | DOWN, 1, 1), MouseEvent(PointerFlags.BUTTON2, 1, 1)
    desk.handle([down, down, up, up])
    assert [event for event in desk.pointed() if event[0] != "to"] == [
        ("press", Button.RIGHT),
        ("release", Button.RIGHT),
    ]


def test_a_position_outside_the_screen_is_its_edge() -> None:
    desk = Desk()
    desk.handle([MouseEvent(MOVE, 65535, 65535)])
    assert desk.pointed() == [("to", 319, 199)]


@pytest.mark.parametrize(
    ("flags", "steps"),
    [
        pytest.param([WHEEL | 0x78], [Button.WHEEL_UP], id="up"),
        pytest.param([WHEEL | NEGATIVE | 0x88], [Button.WHEEL_DOWN], id="down"),
        pytest.param([HWHEEL | 0x78], [Button.WHEEL_RIGHT], id="right"),
        pytest.param([HWHEEL | NEGATIVE | 0x88], [Button.WHEEL_LEFT], id="left"),
        pytest.param([DOWN | 0x0280, DOWN | 0x0380], [Button.WHEEL_UP, Button.WHEEL_DOWN], id="rdesktop"),
        pytest.param([WHEEL | 0x1E] * 9, [Button.WHEEL_UP] * 2, id="a wheel of high resolution"),
        pytest.param([WHEEL | 0x64, WHEEL | NEGATIVE | 0x9C, WHEEL | 0x14], [], id="to and fro"),
        pytest.param([WHEEL | NEGATIVE], [Button.WHEEL_DOWN] * 2, id="the longest turn"),
        pytest.param([WHEEL | HWHEEL | 0x78], [Button.WHEEL_UP], id="both, of which the vertical one counts"),
        pytest.param([WHEEL], [], id="no turn"),
    ],
)
def test_a_wheel_turns_by_what_it_says_and_where_the_pointer_is(
    flags: list[int], steps: list[Button]
) -> None:
    desk = Desk()
    desk.handle([MouseEvent(MOVE, 50, 60)])
    # the place that comes with it means nothing, and FreeRDP sends none
    desk.handle(*([MouseEvent(flag, 0, 0)] for flag in flags))
    assert desk.pointed()[1:] == [(what, step) for step in steps for what in ("press", "release")]


def test_relative_motion_moves_a_relative_guest() -> None:
    desk = Desk()
    desk.consoles[0].pointer.is_absolute = False
    desk.handle(
        [
            RelativeMouseEvent(MOVE, -3, 4),
            RelativeMouseEvent(MOVE | PointerFlags.BUTTON1 | DOWN, 1, 1),
            RelativeMouseEvent(PointerFlags.BUTTON1, 9, 9),
            RelativeMouseEvent(0x0002 | DOWN, 0, 0),
            RelativeMouseEvent(0x0002, 0, 0),
        ]
    )
    assert desk.pointed() == [
        ("by", -3, 4),
        ("by", 1, 1),
        ("press", Button.LEFT),
        ("release", Button.LEFT),
        ("press", Button.EXTRA),
        ("release", Button.EXTRA),
    ]


def test_relative_motion_moves_an_absolute_guests_pointer_from_where_it_was() -> None:
    desk = Desk()
    desk.handle([MouseEvent(MOVE, 100, 100), RelativeMouseEvent(MOVE, -10, 5)])
    assert desk.pointed() == [("to", 100, 100), ("to", 90, 105)]


def test_relative_motion_past_the_edge_does_not_have_to_be_taken_back() -> None:
    desk = Desk()
    desk.handle(
        [MouseEvent(MOVE, 300, 100), RelativeMouseEvent(MOVE, 3000, 0), RelativeMouseEvent(MOVE, -5, 0)]
    )
    assert desk.pointed()[1:] == [("to", 319, 100), ("to", 314, 100)]


def test_positions_move_a_relative_guest_by_their_distance() -> None:
    desk = Desk()
    desk.consoles[0].pointer.is_absolute = False
    desk.handle([MouseEvent(MOVE, 10, 10), MouseEvent(MOVE, 13, 9)])
    assert desk.pointed() == [("by", 3, -1)]


# Several consoles


def test_pointer_and_keys_go_to_the_console_under_the_pointer() -> None:
    desk = Desk(consoles=2)
    desk.handle([press(0x1E), release(0x1E), MouseEvent(MOVE, 330, 10), press(0x30), release(0x30)])
    desk.handle([MouseEvent(WHEEL | 0x78, 0, 0), *characters("x"), MouseEvent(MOVE, 10, 10), press(0x2E)])
    assert desk.typed(0) == "+1e -1e +2e"
    assert desk.typed(1) == "+30 -30 +2d -2d"
    assert desk.pointed(0) == [("to", 10, 10)]
    assert desk.pointed(1) == [("to", 10, 10), ("press", Button.WHEEL_UP), ("release", Button.WHEEL_UP)]


def test_what_was_pressed_on_one_console_is_let_go_of_there() -> None:
    desk = Desk(consoles=2)
    desk.handle(
        [MouseEvent(PointerFlags.BUTTON1 | DOWN, 5, 5), press(0x1E), MouseEvent(MOVE, 400, 5), press(0x1E)]
    )
    desk.handle([release(0x1E), MouseEvent(PointerFlags.BUTTON1, 400, 5)])
    assert desk.typed(0) == "+1e +1e -1e"
    assert desk.typed(1) == ""
    assert desk.pointed(0)[-1] == ("release", Button.LEFT)
    assert desk.pointed(1) == [("to", 80, 5), ("to", 80, 5)]


def test_a_relative_event_carries_the_pointer_to_the_next_console() -> None:
    desk = Desk(consoles=2)
    desk.handle(
        [MouseEvent(MOVE, 319, 50), RelativeMouseEvent(MOVE, 10, 0), RelativeMouseEvent(MOVE, -11, 0)]
    )
    assert desk.pointed(1) == [("to", 9, 50)]
    assert desk.pointed(0)[-1] == ("to", 318, 50)


def test_a_synchronize_and_the_end_reach_every_console() -> None:
    desk = Desk(consoles=2)
    desk.handle([press(0x1E), MouseEvent(PointerFlags.BUTTON1 | DOWN, 400, 5), press(0x30)])
    desk.handle([SynchronizeEvent(ToggleFlags(0))])
    assert [console.keyboard.held for console in desk.consoles] == [set(), set()]
    assert desk.consoles[1].pointer.held == {Button.LEFT}
    desk.client.release_all()
    assert desk.consoles[1].pointer.held == set()


# Touch


def frame(*contacts: tuple[int, ContactKind, int, int]) -> TouchFrame:
    return TouchFrame(tuple(Contact(*contact) for contact in contacts))


def test_fingers_touch_the_console_on_which_they_were_put_down() -> None:
    desk = Desk(consoles=2)
    screens = [SyntheticTouch(), SyntheticTouch()]
    for console, screen in zip(desk.consoles, screens, strict=True):
        console.touch = screen
    desk.client.touch(frame((0, ContactKind.BEGIN, 10, 20), (1, ContactKind.BEGIN, 330, 20)))
    desk.client.touch(frame((1, ContactKind.UPDATE, 335, 21), (0, ContactKind.UPDATE, 400, 22)))
    desk.client.touch(frame((0, ContactKind.END, 401, 22), (1, ContactKind.CANCEL, 335, 21)))
    desk.client.touch(frame((0, ContactKind.UPDATE, 1, 1), (1, ContactKind.END, 1, 1)))
    assert screens[0].log == [("begin", 0, 10, 20), ("update", 0, 400, 22), ("end", 0, 401, 22)]
    assert screens[1].log == [("begin", 0, 10, 20), ("update", 0, 15, 21), ("cancel", 0, 15, 21)]


def test_fingers_click_where_there_is_no_touch_screen_and_bring_the_keys_along() -> None:
    desk = Desk(consoles=2)
    desk.client.touch(frame((3, ContactKind.BEGIN, 330, 20)))
    desk.client.touch(frame((3, ContactKind.END, 330, 20)))
    desk.handle([press(0x1E), release(0x1E)])
    assert desk.pointed(1) == [
        ("to", 10, 20),
        ("press", Button.LEFT),
        ("to", 10, 20),
        ("release", Button.LEFT),
    ]
    assert desk.typed(1) == "+1e -1e"


# The end


def test_who_may_only_watch_does_nothing_and_holds_nothing() -> None:
    desk = Desk()
    desk.consoles[0].touch = screen = SyntheticTouch()
    desk.handle([press(0x1E), MouseEvent(PointerFlags.BUTTON1 | DOWN, 5, 5)])
    desk.typed()
    desk.pointed()
    desk.view_only = True
    desk.handle([press(0x30), *characters("x"), SynchronizeEvent(ToggleFlags.CAPS_LOCK)])
    desk.handle([MouseEvent(MOVE, 1, 1), MouseEvent(WHEEL | 0x78, 0, 0), RelativeMouseEvent(MOVE, 1, 1)])
    desk.handle([ExtendedMouseEvent(1 | DOWN, 1, 1)], MSTSC_PAUSE)
    desk.client.touch(frame((0, ContactKind.BEGIN, 1, 1)))
    assert desk.typed() == "-1e"
    assert desk.pointed() == [("release", Button.LEFT)]
    assert screen.log == []
    desk.view_only = False
    desk.handle([release(0x1E), release(0x30), MouseEvent(PointerFlags.BUTTON1, 5, 5), press(0x30)])
    assert desk.typed() == "+30"


def test_after_the_end_everything_begins_anew() -> None:
    desk = Desk()
    desk.handle([press(0x1E), press(0x1D, e1=True), MouseEvent(PointerFlags.BUTTON1 | DOWN, 5, 5)])
    desk.client.release_all()
    desk.client.release_all()
    assert desk.typed() == "+1e -1e"
    desk.handle([release(0x1E), press(0x45), MouseEvent(PointerFlags.BUTTON1 | DOWN, 5, 5)])
    assert desk.typed() == "+num"
    assert desk.pointed()[-1] == ("press", Button.LEFT)


U16 = st.integers(0, 0xFFFF)
code = st.one_of(
    st.sampled_from([0x1D, 0x38, 0x45, 0x46, 0x37, 0x2A, 0x36, 0xE1, 0x9D, 0xC5, 0xF1, 0xF2]),
    st.integers(0, 255),
)
flags = st.one_of(st.sampled_from([0x1000, 0x9000, 0x2000, 0xA000, 0x8001, 1, 0x0278, 0x0800]), U16)
some_event = st.one_of(
    st.builds(ScancodeEvent, code, st.booleans(), st.booleans(), st.booleans()),
    st.builds(
        UnicodeEvent, st.one_of(st.integers(0, 0x100), st.integers(0xD800, 0xDFFF), U16), st.booleans()
    ),
    st.builds(MouseEvent, flags, U16, U16),
    st.builds(ExtendedMouseEvent, flags, U16, U16),
    st.builds(RelativeMouseEvent, flags, st.integers(-0x8000, 0x7FFF), st.integers(-0x8000, 0x7FFF)),
    st.builds(SynchronizeEvent, st.integers(0, 0xFFFF).map(ToggleFlags)),
)
some_frame = st.builds(
    TouchFrame,
    st.lists(
        st.builds(
            Contact,
            st.integers(0, 3),
            st.sampled_from(ContactKind),
            st.integers(-1000, 1000),
            st.integers(-1000, 1000),
        ),
        max_size=4,
        unique_by=lambda contact: contact.id,
    ).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.lists(some_event, max_size=6), some_frame), max_size=20),
    st.sampled_from(["us", "de", "ru"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 2, 7]),
)
def test_whatever_a_client_sends_nothing_is_held_in_the_end(
    messages: list[list[InputEvent] | TouchFrame], layout: str, is_absolute: bool, has_touch: bool, leds: int
) -> None:
    desk = Desk(layout, consoles=2)
    for console in desk.consoles:
        console.pointer.is_absolute = is_absolute
        console.touch = SyntheticTouch() if has_touch else None
        console.keyboard.leds = Led(leds)
    for message in messages:
        if isinstance(message, TouchFrame):
            desk.client.touch(message)
        else:
            desk.handle(message)
        for console, seat in zip(desk.consoles, desk.seats, strict=True):
            assert console.keyboard.held == {qnum for qnum in VALID if seat.is_down(qnum)}
    desk.client.release_all()
    for console in desk.consoles:
        assert console.keyboard.held == set()
        assert console.pointer.held == set()
        assert console.touch is None or console.touch.down == set()
        assert {qnum for _, qnum in console.keyboard.log} <= VALID
        for what, *place in console.pointer.log:
            if what == "to":
                assert is_absolute
                assert place == [min(max(0, place[0]), 319), min(max(0, place[1]), 199)]
            elif what == "by":
                assert not is_absolute
