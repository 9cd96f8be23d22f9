"""What lists of encodings mean, those of real clients above all (facts: RFB section 7)."""

from collections.abc import Sequence

import pytest

from sidecar.encode.form import Encoding
from sidecar.vnc.capabilities import (
    ALWAYS_OFFERED,
    ClientCapabilities,
    CursorKind,
    Extension,
    LedKind,
    Owed,
)
from sidecar.vnc.wire import PseudoEncoding, Subsampling

NOBODY = ClientCapabilities()
ALL = ~Extension(0)
CLIPBOARD = PseudoEncoding.EXTENDED_CLIPBOARD

TIGERVNC = (
    *(-314, 0x574D5664, -239, -240, 0x574D5666, -223, -308, -261, 0x574D5668, -307, -224),
    *(CLIPBOARD, -313, -312, -258, -316, 7, 1, 50, 21, 16, 5, 2, 0, -254, -24),
)
NOVNC = (
    *(1, 50, 7, -260, 16, 21, 5, 2, 6, 0, -26, -254, -223, -224, -258, -261, -308, -309, -312, -313, -307),
    *(CLIPBOARD, -316, 0x574D5664, -239),
)
GTK_VNC = (
    *(-27, 7, -309, -258, -261, -308, -223, -307, -224, 0x574D5669, -259, -314, -239, -240, -257),
    *(16, 5, 2, 1, 0),
)
REMMINA = (1, 6, 5, 0, -255, -240, -239, -232, -131072, -223, -308, -309, -258)
ASYNCVNC = (6,)


@pytest.mark.parametrize(
    ("numbers", "encoding"),
    [
        ((), Encoding.RAW),
        ((1, -239), Encoding.RAW),
        ((0, 7), Encoding.RAW),
        ((2, 4, 17, 50, 5, 7), Encoding.HEXTILE),
        ((7, 16), Encoding.TIGHT),
        ((16, 7), Encoding.ZRLE),
        ((6, 16), Encoding.ZRLE),
        ((6, 5, 16), Encoding.HEXTILE),
        ((-260, 6), Encoding.ZLIB),
        (TIGERVNC, Encoding.TIGHT),
        (NOVNC, Encoding.TIGHT),
        (GTK_VNC, Encoding.TIGHT),
        (REMMINA, Encoding.ZLIB),
        (ASYNCVNC, Encoding.ZLIB),
    ],
)
def test_the_clients_first_encoding_that_is_served_is_chosen(
    numbers: Sequence[int], encoding: Encoding
) -> None:
    assert NOBODY.after(numbers, ALL).encoding is encoding


@pytest.mark.parametrize(
    ("lists", "encodings"),
    [
        ([(6,), (16, 5)], [Encoding.ZLIB, Encoding.HEXTILE]),
        ([(6,), (16, 6)], [Encoding.ZLIB, Encoding.ZLIB]),
        ([(16,), (6,)], [Encoding.ZRLE, Encoding.RAW]),
        ([(16,), (7,), (6, 5)], [Encoding.ZRLE, Encoding.TIGHT, Encoding.HEXTILE]),
        ([(16,), (7,), (6, 16)], [Encoding.ZRLE, Encoding.TIGHT, Encoding.ZRLE]),
        ([(7,), (6,)], [Encoding.TIGHT, Encoding.ZLIB]),
    ],
)
def test_zlib_and_zrle_never_meet_on_one_connection(
    lists: list[tuple[int, ...]], encodings: list[Encoding]
) -> None:
    capabilities = NOBODY
    for numbers, encoding in zip(lists, encodings, strict=True):
        capabilities = capabilities.after(numbers, ALL)
        assert capabilities.encoding is encoding


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [
        (-32, "quality", 0),
        (-23, "quality", 9),
        (-22, "quality", None),
        (-33, "quality", None),
        (-256, "compression", 0),
        (-247, "compression", 9),
        (-246, "compression", None),
        (-512, "fine_quality", 0),
        (-412, "fine_quality", 100),
        (-411, "fine_quality", None),
        (-768, "subsampling", Subsampling.X1),
        (-767, "subsampling", Subsampling.X4),
        (-766, "subsampling", Subsampling.X2),
        (-765, "subsampling", Subsampling.GRAY),
        (-764, "subsampling", Subsampling.X8),
        (-763, "subsampling", Subsampling.X16),
        (-762, "subsampling", None),
    ],
)
def test_levels_are_offsets_of_their_pseudo_encodings(number: int, field: str, value: object) -> None:
    assert getattr(NOBODY.after((7, number), ALL), field) == value


@pytest.mark.parametrize(
    ("numbers", "cursor", "leds"),
    [
        ((), None, None),
        ((-239,), CursorKind.PLAIN, None),
        ((-239, -314), CursorKind.ALPHA, None),
        (TIGERVNC, CursorKind.VMWARE, LedKind.QEMU),
        (NOVNC, CursorKind.VMWARE, LedKind.QEMU),
        (GTK_VNC, CursorKind.ALPHA, LedKind.QEMU),
        (REMMINA, CursorKind.PLAIN, LedKind.LIBVNC),
        ((0x574D5668, -131072), None, LedKind.VMWARE),
    ],
)
def test_the_best_kind_of_cursor_and_lights_is_used_whatever_their_order(
    numbers: Sequence[int], cursor: CursorKind | None, leds: LedKind | None
) -> None:
    capabilities = NOBODY.after(numbers, ALL)
    assert (capabilities.cursor, capabilities.leds) == (cursor, leds)


@pytest.mark.parametrize(
    ("numbers", "extension"),
    [
        ((1,), Extension.COPY_RECT),
        ((-223,), Extension.DESKTOP_SIZE),
        ((-224,), Extension.LAST_RECT),
        ((-257,), Extension.POINTER_MODE),
        ((-258,), Extension.QEMU_KEYS),
        ((-259,), Extension.QEMU_AUDIO),
        ((-307,), Extension.DESKTOP_NAME),
        ((-308,), Extension.EXTENDED_DESKTOP_SIZE),
        ((-223, -308), Extension.EXTENDED_DESKTOP_SIZE),
        ((-309,), Extension.XVP),
        ((-312,), Extension.FENCE),
        ((-313,), Extension(0)),
        ((-313, -312), Extension.FENCE | Extension.CONTINUOUS_UPDATES),
        ((-316,), Extension.EXTENDED_MOUSE_BUTTONS),
        ((CLIPBOARD,), Extension.EXTENDED_CLIPBOARD),
        ((2**31 - 1, -(2**31), 50, -260), Extension(0)),
    ],
)
def test_extensions_are_known_by_their_numbers(numbers: Sequence[int], extension: Extension) -> None:
    assert NOBODY.after(numbers, ALL).extensions == extension


def test_what_is_not_offered_is_neither_used_nor_owed() -> None:
    capabilities = NOBODY.after(NOVNC, ALWAYS_OFFERED)
    assert Extension.XVP not in capabilities.extensions
    owed = capabilities.owed_after(NOBODY)
    assert not owed & (Owed.XVP_INIT | Owed.CLIPBOARD_CAPS | Owed.QEMU_AUDIO_ACK)


def test_a_new_list_replaces_the_one_before() -> None:
    capabilities = NOBODY.after(TIGERVNC, ALL).after((5,), ALL)
    assert capabilities == ClientCapabilities(encoding=Encoding.HEXTILE)


@pytest.mark.parametrize(
    ("numbers", "owed"),
    [
        ((), Owed(0)),
        ((-258,), Owed.QEMU_KEYS_ACK),
        ((-316,), Owed.EXTENDED_MOUSE_BUTTONS_ACK),
        ((-259,), Owed.QEMU_AUDIO_ACK),
        ((-312,), Owed.FENCE),
        ((-312, -313), Owed.FENCE | Owed.END_OF_CONTINUOUS_UPDATES),
        ((-309,), Owed.XVP_INIT),
        ((CLIPBOARD,), Owed.CLIPBOARD_CAPS),
        ((-223,), Owed(0)),
        ((-308,), Owed.EXTENDED_DESKTOP_SIZE),
        ((-307,), Owed.DESKTOP_NAME),
        ((-257,), Owed.POINTER_MODE),
        ((-239,), Owed.CURSOR),
        ((-261,), Owed.LEDS),
    ],
)
def test_an_extension_is_acknowledged_when_it_is_first_named(numbers: Sequence[int], owed: Owed) -> None:
    first = NOBODY.after(numbers, ALL)
    assert first.owed_after(NOBODY) == owed
    again = first.after(numbers, ALL)
    assert again.owed_after(first) == owed & Owed.CLIPBOARD_CAPS
    dropped = again.after((), ALL)
    assert dropped.owed_after(again) == Owed(0)
    assert dropped.after(numbers, ALL).owed_after(dropped) == owed


def test_another_kind_of_cursor_is_sent_again() -> None:
    plain = NOBODY.after((-239,), ALL)
    assert plain.after((-239, -314), ALL).owed_after(plain) == Owed.CURSOR
