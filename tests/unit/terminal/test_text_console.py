"""A serial line as a console: followed while somebody watches, and at a pace that costs little."""

import asyncio

import numpy as np
import pytest
from support.synthetic_guest import SyntheticPort
from support.waiting import eventually
from terminal_lines import terminal_guest

from sidecar.guest import Button, ConsoleChange, GuestState, Led, PortKind, ResizeRefused
from sidecar.serial.line import WritePolicy
from sidecar.terminal import console as module
from sidecar.terminal.console import TerminalConsole
from sidecar.terminal.guest import TerminalGuest
from sidecar.terminal.size import TerminalSize
from sidecar.terminal.text_encoding import TextEncoding

RETURN, A, L, S, SHIFT, CTRL, PAUSE, CAPS, UP = 0x1C, 0x1E, 0x26, 0x1F, 0x2A, 0x1D, 0xC6, 0x3A, 0xC8


def console_of(guest: TerminalGuest, number: int = 16) -> TerminalConsole:
    console = guest.consoles[number]
    assert isinstance(console, TerminalConsole)
    return console


def text_of(console: TerminalConsole) -> list[str]:
    """What it says, without the empty rows at its end."""
    rows = console.text()
    while rows and not rows[-1]:
        rows.pop()
    return rows


async def until_it_says(console: TerminalConsole, *rows: str) -> None:
    await eventually(lambda: text_of(console) == list(rows), f"{rows}")


async def test_output_is_drawn_while_somebody_watches() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        frame = console.surface.frame
        assert (frame.width, frame.height) == (640, 400)
        heard: list[ConsoleChange] = []
        leave = console.changes.subscribe(heard.append)
        port.say(b"login: ")
        await until_it_says(console, "login:")
        await eventually(lambda: heard, "the change is told")
        assert set(heard) == {ConsoleChange.DAMAGE}
        assert console.surface.frame is frame
        assert frame.pixels[:16].any()
        assert not frame.pixels[16:].any()
        leave()


async def test_who_comes_later_sees_what_came_before_and_what_came_meanwhile() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        port.say(b"one\r\n")
        assert not console.surface.frame.pixels.any(), "nothing is drawn for nobody"
        leave = console.changes.subscribe(lambda change: None)
        await until_it_says(console, "one")
        leave()
        port.say(b"two\r\n")
        assert text_of(console) == ["one"]
        leave = console.changes.subscribe(lambda change: None)
        await until_it_says(console, "one", "two")
        leave()


async def test_nothing_is_left_to_do_when_nobody_watches() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        before = asyncio.all_tasks()
        leave = console.changes.subscribe(lambda change: None)
        port.say(b"x" * 30000)
        leave()
        assert console._timer is None
        assert asyncio.all_tasks() == before
        leave = console.changes.subscribe(lambda change: None)
        await eventually(lambda: text_of(console) == ["x" * 80] * 25, "the end is shown")
        leave()


async def test_a_flood_is_skipped_to_its_end() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        leave = console.changes.subscribe(lambda change: None)
        for number in range(200):
            port.say(b"".join(b"line %d of %d\r\n" % (line, number) for line in range(1000)))
            assert len(console._waiting) <= module.MOST_WAITING
        port.say(b"the end")
        await eventually(lambda: text_of(console)[-1:] == ["the end"], "the end is shown")
        assert text_of(console)[-2] == "line 999 of 199"
        leave()


async def test_a_turn_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", -1.0)
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        pictures: list[str] = []
        leave = console.changes.subscribe(lambda change: pictures.extend(text_of(console)))
        port.say(b"".join(b"\x1b[H%03d" % number for number in range(1, 81)))
        await until_it_says(console, "080")
        # two orders make one number, and there is a look at the clock after sixteen
        assert pictures == [f"{number:03}" for number in range(8, 81, 8)]
        leave()


async def test_a_fault_of_the_emulator_costs_the_picture_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        leave = console.changes.subscribe(lambda change: None)
        port.say(b"before")
        await until_it_says(console, "before")
        with monkeypatch.context() as fault:
            fault.setattr("sidecar.terminal.screen.Screen.draw", lambda *_: 1 / 0)
            port.say(b"lost")
            await until_it_says(console)
        port.say(b"after")
        await until_it_says(console, "after")
        leave()


async def test_keys_are_typed_into_the_line() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        keyboard = console.keyboard
        keyboard.press(L)
        keyboard.release(L)
        keyboard.press(SHIFT)
        keyboard.press(S)
        keyboard.release(SHIFT)
        keyboard.release(S)
        keyboard.press(RETURN)
        assert port.written == b"lS\r"
        port.say(b"\x1b[?1h")
        leave = console.changes.subscribe(lambda change: None)
        await eventually(lambda: console._emulator and console._emulator.application_cursor, "it is followed")
        keyboard.press(UP)
        assert port.written == b"lS\r\x1bOA"
        leave()


async def test_a_break_is_sent_by_ctrl_and_pause() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        keyboard = console_of(guest).keyboard
        keyboard.press(PAUSE)
        keyboard.release(PAUSE)
        keyboard.press(CTRL)
        keyboard.press(PAUSE)
        await eventually(lambda: port.breaks == 1, "the break is sent")
        assert port.written == b""


async def test_locks_are_the_consoles_own_and_are_told() -> None:
    with terminal_guest(SyntheticPort()) as (_, guest):
        console = console_of(guest)
        heard: list[ConsoleChange] = []
        leave = console.changes.subscribe(heard.append)
        assert console.keyboard.leds == Led.NUM
        console.keyboard.press(CAPS)
        console.keyboard.press(CAPS)
        console.keyboard.release(CAPS)
        assert console.keyboard.leds == Led.NUM | Led.CAPS
        assert heard == [ConsoleChange.LEDS]
        leave()


async def test_what_may_not_be_written_is_left_out() -> None:
    port = SyntheticPort()
    with terminal_guest(port, write=WritePolicy.NOBODY) as (_, guest):
        console_of(guest).keyboard.press(A)
        assert port.written == b""


async def test_it_has_no_mouse_and_keeps_its_size() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        console.pointer.move_to(1, 1)
        console.pointer.move_by(1, 1)
        console.pointer.press(Button.LEFT)
        console.pointer.release(Button.LEFT)
        assert console.touch is None
        assert console.input_backlog == 0
        with pytest.raises(ResizeRefused):
            await console.request_size(800, 600)
        assert port.written == b""


async def test_size_and_encoding_can_be_chosen() -> None:
    port = SyntheticPort()
    with terminal_guest(port, size=TerminalSize(100, 30), encoding=TextEncoding.CP437) as (_, guest):
        console = console_of(guest)
        frame = console.surface.frame
        assert (frame.width, frame.height) == (800, 480)
        port.say(b"\xc9\xcd\xbb\x81")
        leave = console.changes.subscribe(lambda change: None)
        await until_it_says(console, "╔═╗ü")
        leave()


async def test_a_closed_line_keeps_its_text_and_the_next_machines_follows() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (_, guest):
        console = console_of(guest)
        leave = console.changes.subscribe(lambda change: None)
        port.say(b"bye\r\n")
        await until_it_says(console, "bye")
        before = console.surface.frame.pixels.copy()
        port.open(False)
        console.keyboard.press(A)
        assert port.written == b""
        assert np.array_equal(console.surface.frame.pixels, before)
        port.open(True)
        port.say(b"again")
        await until_it_says(console, "bye", "again")
        leave()


async def test_consoles_come_and_go_with_the_lines_and_keep_their_numbers() -> None:
    first, second = SyntheticPort("org.qemu.console.serial.0"), SyntheticPort("mine.1")
    with terminal_guest(first) as (inner, guest):
        heard: list[list[int]] = []
        leave = guest.lifecycle.subscribe(lambda state: heard.append(list(guest.consoles)))
        assert list(guest.consoles) == [0, 16]
        inner.add_port(second)
        one, two = guest.consoles[16], guest.consoles[17]
        inner.remove_port(first)
        assert list(guest.consoles) == [0, 17]
        inner.add_port(first)
        assert heard == [[0, 16, 17], [0, 17], [0, 16, 17]]
        assert guest.consoles[16] is one
        assert guest.consoles[17] is two
        inner.lifecycle.notify(GuestState.LOST)
        assert len(heard) == 4
        leave()


async def test_only_serial_ports_are_consoles_and_the_monitor_where_it_was_asked_for() -> None:
    ports = [SyntheticPort(f"port.{kind.value}", kind) for kind in PortKind]
    with terminal_guest(*ports) as (_, guest):
        assert [console.label for console in guest.consoles.values()] == ["synthetic", "serial"]
    with terminal_guest(*ports, monitors=True) as (_, guest):
        assert [console.label for console in guest.consoles.values()] == ["synthetic", "serial", "monitor"]


async def test_a_machines_end_lets_go_of_all_keys() -> None:
    port = SyntheticPort()
    with terminal_guest(port) as (inner, guest):
        keyboard = console_of(guest).keyboard
        keyboard.press(CTRL)
        inner.lifecycle.notify(GuestState.LOST)
        keyboard.press(A)
        assert port.written == b"a"


async def test_everything_else_is_the_guests_own() -> None:
    with terminal_guest(SyntheticPort()) as (inner, guest):
        for name in ("state", "name", "uuid", "power", "audio", "microphone", "clipboard", "ports"):
            assert getattr(guest, name) is getattr(inner, name)
        assert guest.ports_changes is inner.ports_changes
        assert guest.consoles[0] is inner.console
