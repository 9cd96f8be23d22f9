"""Layouts: their names, their tables, and what has no key of its own."""

import string

import pytest

from sidecar.errors import UsageError
from sidecar.input.keysym import canonical, code_point_of
from sidecar.input.layout import QEMU_NAMES, Layout, Stroke, layout_names
from sidecar.input.qnum import VALID, Qnum, normalise


def test_every_ascii_character_can_be_typed_in_every_layout() -> None:
    missing = {}
    for name in layout_names():
        layout = Layout(name)
        gone = [
            c for c in string.printable[:95] if not (layout.strokes(ord(c)) or layout.composition(ord(c)))
        ]
        if gone:
            missing[name] = "".join(gone)
    assert missing == {}


def test_all_layouts_use_valid_keys_only() -> None:
    for name in layout_names():
        layout = Layout(name)
        strokes = [stroke for cp in range(0x20, 0x100) for stroke in layout.strokes(cp)]
        assert strokes
        assert {stroke.qnum for stroke in strokes} <= VALID, name


def test_the_layouts_of_the_common_guests_are_there() -> None:
    assert {"us", "gb", "de", "fr", "es", "it", "pt", "br", "se", "no", "dk", "fi", "ch", "jp", "ru"} <= set(
        layout_names()
    )


@pytest.mark.parametrize("name", [*QEMU_NAMES, "EN-US", "De"])
def test_qemus_names_are_understood_in_any_case(name: str) -> None:
    assert Layout(name).strokes(ord("1"))


@pytest.mark.parametrize("name", ["", "klingon", "../de", "legacy", "de.layout", "de\0"])
def test_an_unknown_layout_is_refused_with_the_list_of_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"no keyboard layout .* there are ara, be, .* us, "):
        Layout(name)


@pytest.mark.parametrize(
    ("name", "has_altgr"),
    [("us", False), ("ru", False), ("jp", False), ("de", True), ("us-intl", True), ("gb", True)],
)
def test_the_right_alt_key_is_altgr_only_where_the_layout_says_so(name: str, has_altgr: bool) -> None:
    assert Layout(name).has_altgr is has_altgr


def test_the_key_beside_the_left_shift_is_used_only_where_the_layout_needs_it() -> None:
    assert [stroke.qnum for stroke in Layout("us").strokes(ord("<"))] == [Qnum.COMMA]
    for name in ("de", "es", "it", "fr", "se", "no", "dk", "fi", "ch"):
        assert Layout(name).strokes(ord("<"))[0] == Stroke(Qnum.LESS, shift=False, altgr=False), name
    assert Layout("gb").strokes(ord("\\"))[0] == Stroke(Qnum.LESS, shift=False, altgr=False)


@pytest.mark.parametrize(
    ("keysym", "form"),
    [
        (0x41, 0x41),
        (0x01000041, 0x41),
        (0x010000E9, 0xE9),
        (0x6C1, 0x01000430),
        (0x01000430, 0x01000430),
        (0x20AC, 0x010020AC),
        (0xFF0D, 0xFF0D),
        (0x01110000, 0x01110000),
        (0xFFFFFFFF, 0xFFFFFFFF),
    ],
)
def test_a_character_has_one_canonical_keysym(keysym: int, form: int) -> None:
    assert canonical(keysym) == form


def test_function_keys_and_control_characters_are_no_characters() -> None:
    assert [code_point_of(keysym) for keysym in (0xFF0D, 0x1F, 0x7F, 0x9F, 0x01110000)] == [None] * 5
    assert [code_point_of(keysym) for keysym in (0x20, 0xE9, 0x010020AC)] == [0x20, 0xE9, 0x20AC]


def test_a_surrogate_is_no_character_of_any_layout() -> None:
    layout = Layout("de")
    assert layout.strokes(0x0100D800) == ()
    assert layout.composition(0x0100D800) is None


@pytest.mark.parametrize(
    ("code", "qnum"),
    [(number, number) for number in sorted(VALID)]
    + [(0xB7, 0x54), (0xF1, 0x71), (0xF2, 0x72), (0xE038, 0xB8), (0xE037, 0x54), (0xE11D45, 0xC6)]
    + [
        (code, None) for code in (0, 0x76, 0xAA, 0xB6, 0xC5, 0xE5, 0xFF, 0x100, 0xE02A, 0xE036, 0x1_0000_001E)
    ],
)
def test_only_numbers_that_have_a_key_in_qemu_come_through(code: int, qnum: int | None) -> None:
    assert normalise(code) == qnum
