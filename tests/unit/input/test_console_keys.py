"""Ctrl-Alt-1 .. Ctrl-Alt-9 choose a console and are kept from it; every other key is the console's own."""

import pytest

from sidecar.input.console_keys import PASSED, TAKEN, ConsoleKeys

CTRL_L, CTRL_R, ALT_L, ALT_R, ALTGR, SHIFT_L = 0xFFE3, 0xFFE4, 0xFFE9, 0xFFEA, 0xFE03, 0xFFE1
F1, KP_2 = 0xFFBE, 0xFFB2


def keys(count: int = 3) -> ConsoleKeys:
    return ConsoleKeys(lambda: count)


def hold(recogniser: ConsoleKeys, *keysyms: int) -> None:
    for keysym in keysyms:
        assert recogniser.key(True, keysym) == PASSED


def let_go(recogniser: ConsoleKeys, *keysyms: int) -> None:
    for keysym in keysyms:
        assert recogniser.key(False, keysym) == PASSED


@pytest.mark.parametrize("ctrl", [CTRL_L, CTRL_R])
def test_a_digit_with_ctrl_and_alt_is_a_console_and_its_release_is_kept_back_too(ctrl: int) -> None:
    recogniser = keys()
    hold(recogniser, ctrl, ALT_L)
    assert recogniser.key(True, ord("2")) == 2
    assert recogniser.key(True, ord("2")) == TAKEN
    assert recogniser.key(False, ord("2")) == TAKEN
    let_go(recogniser, ALT_L, ctrl)
    assert recogniser.key(True, ord("2")) == PASSED
    assert recogniser.key(False, ord("2")) == PASSED


def test_a_key_is_kept_back_until_it_is_up_although_the_modifiers_went_before_it() -> None:
    recogniser = keys()
    hold(recogniser, CTRL_L, ALT_L)
    assert recogniser.key(True, ord("1")) == 1
    let_go(recogniser, CTRL_L, ALT_L)
    assert recogniser.key(True, ord("1")) == TAKEN
    assert recogniser.key(False, ord("1")) == TAKEN


def test_several_consoles_are_chosen_while_the_modifiers_stay_down() -> None:
    recogniser = keys()
    hold(recogniser, CTRL_L, ALT_L)
    for number in (2, 3, 1):
        assert recogniser.key(True, ord("0") + number) == number
        assert recogniser.key(False, ord("0") + number) == TAKEN


def test_the_place_of_a_key_counts_where_it_is_told() -> None:
    recogniser = keys()
    assert recogniser.key(True, CTRL_L, 0x1D) == PASSED
    assert recogniser.key(True, ALT_L, 0x38) == PASSED
    # a French keyboard without Shift, and a digit that is not in the top row
    assert recogniser.key(True, ord("&"), 0x02) == 1
    assert recogniser.key(False, ord("&"), 0x02) == TAKEN
    assert recogniser.key(True, KP_2, 0x50) == PASSED


@pytest.mark.parametrize(
    "held",
    [(), (CTRL_L,), (ALT_L,), (CTRL_L, ALT_R), (CTRL_L, ALTGR), (CTRL_L, ALT_L, ALTGR), (SHIFT_L, ALT_L)],
)
def test_other_modifiers_choose_nothing(held: tuple[int, ...]) -> None:
    recogniser = keys()
    hold(recogniser, *held)
    assert recogniser.key(True, ord("2")) == PASSED


@pytest.mark.parametrize("keysym", [F1, KP_2, ord("0"), ord("4"), ord("9"), ord("a"), 0xFFFFFFFF])
def test_other_keys_with_ctrl_and_alt_are_the_consoles_own(keysym: int) -> None:
    recogniser = keys(3)
    hold(recogniser, CTRL_L, ALT_L)
    assert recogniser.key(True, keysym) == PASSED


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_taken_where_there_is_nothing_to_choose_from(count: int) -> None:
    recogniser = keys(count)
    hold(recogniser, CTRL_L, ALT_L)
    assert recogniser.key(True, ord("1")) == PASSED


def test_no_more_than_nine_consoles_can_be_chosen() -> None:
    recogniser = keys(40)
    hold(recogniser, CTRL_L, ALT_L)
    assert recogniser.key(True, ord("9")) == 9
    assert recogniser.key(True, ord(":")) == PASSED


def test_forgotten_modifiers_count_no_more() -> None:
    recogniser = keys()
    hold(recogniser, CTRL_L, ALT_L)
    recogniser.forget()
    assert recogniser.key(True, ord("2")) == PASSED
