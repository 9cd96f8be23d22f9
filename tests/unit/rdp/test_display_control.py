"""The display control channel: what clients may want, and what becomes of it."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp.display_control import DisplayControl, LayoutIgnored, MonitorLayout, MonitorWish
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.screen.rectangle import Rectangle

PRIMARY = 1


def entry(
    x: int = 0,
    y: int = 0,
    width: int = 1920,
    height: int = 1080,
    flags: int = PRIMARY,
    millimetres: tuple[int, int] = (0, 0),
    orientation: int = 0,
    scale: int = 0,
) -> bytes:
    return struct.pack("<IiiIIIIIII", flags, x, y, width, height, *millimetres, orientation, scale, 100)


def layout(*entries: bytes, size: int = 40) -> bytes:
    body = struct.pack("<II", size, len(entries)) + b"".join(entries)
    return struct.pack("<II", 2, 8 + len(body)) + body


def event_of(message: bytes, **limits: int) -> MonitorLayout | LayoutIgnored:
    (event,) = DisplayControl(**{"max_monitors": 16, **limits}).receive(message)
    return event


def wishes_of(*entries: bytes) -> tuple[MonitorWish, ...]:
    event = event_of(layout(*entries))
    assert isinstance(event, MonitorLayout)
    return event.monitors


def test_the_limits_are_told_at_once() -> None:
    assert DisplayControl(3, 1920, 1080).opened() == bytes.fromhex(
        "05000000 14000000 03000000 80070000 38040000"
    )


def test_a_layout_of_two_monitors() -> None:
    message = bytes.fromhex(
        "02000000 60000000 28000000 02000000"
        "01000000 00000000 00000000 80070000 38040000 e8030000 f4010000 b4000000 96000000 8c000000"
        "00000000 00fcffff 00000000 00040000 00030000 f4010000 f4010000 5a000000 64000000 64000000"
    )
    assert event_of(message) == MonitorLayout(
        (
            MonitorWish(Rectangle(0, 0, 1920, 1080), True, (1000, 500), 180, 150),
            MonitorWish(Rectangle(-1024, 0, 1024, 768), False, (500, 500), 90, 100),
        )
    )


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((1025, 769), (1024, 769)),
        ((1024, 768), (1024, 768)),
        ((200, 200), (200, 200)),
        ((199, 199), (200, 200)),
        ((1, 1), (200, 200)),
        ((8192, 8192), (8192, 8192)),
        ((8193, 9000), (8192, 8192)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (8192, 8192)),
    ],
)
def test_sizes_become_the_nearest_that_are_legal(asked: tuple[int, int], given: tuple[int, int]) -> None:
    (monitor,) = wishes_of(entry(width=asked[0], height=asked[1]))
    assert monitor.area == (0, 0, *given)


@pytest.mark.parametrize(
    ("millimetres", "physical_size"),
    [
        ((0, 0), None),
        ((9, 10), None),
        ((10, 10), (10, 10)),
        ((10000, 10000), (10000, 10000)),
        ((300, 10001), None),
    ],
)
def test_odd_physical_sizes_are_ignored(
    millimetres: tuple[int, int], physical_size: tuple[int, int] | None
) -> None:
    (monitor,) = wishes_of(entry(millimetres=millimetres))
    assert monitor.physical_size == physical_size


@pytest.mark.parametrize(("sent", "orientation"), [(0, 0), (90, 90), (180, 180), (270, 270), (45, 0)])
def test_odd_orientations_are_ignored(sent: int, orientation: int) -> None:
    (monitor,) = wishes_of(entry(orientation=sent))
    assert monitor.orientation == orientation


@pytest.mark.parametrize(("sent", "scale"), [(0, None), (99, None), (100, 100), (500, 500), (501, None)])
def test_odd_scales_are_ignored(sent: int, scale: int | None) -> None:
    (monitor,) = wishes_of(entry(scale=sent))
    assert monitor.scale == scale


def test_a_primary_monitor_elsewhere_is_moved_with_all_others() -> None:
    monitors = wishes_of(entry(100, 50, 800, 600, flags=0), entry(900, 50, 640, 480))
    assert [monitor.area for monitor in monitors] == [(-800, 0, 800, 600), (0, 0, 640, 480)]
    assert [monitor.primary for monitor in monitors] == [False, True]


def test_the_first_monitor_is_the_primary_one_where_none_is_named() -> None:
    monitors = wishes_of(entry(10, 0, 800, 600, flags=0), entry(810, 0, 640, 480, flags=0))
    assert [(monitor.area.x, monitor.primary) for monitor in monitors] == [(0, True), (800, False)]


def test_only_one_monitor_is_the_primary_one() -> None:
    monitors = wishes_of(entry(0, 0, 800, 600), entry(800, 0, 640, 480))
    assert [monitor.primary for monitor in monitors] == [True, False]


@pytest.mark.parametrize(
    ("message", "limits"),
    [
        (layout(), {}),
        (layout(entry(), entry(1920)), {"max_monitors": 1}),
        (layout(entry(width=0)), {}),
        (layout(entry(height=0)), {}),
        (layout(entry(), entry(1919, flags=0)), {}),
        (layout(entry(), entry(0, 1079, flags=0)), {}),
        (layout(entry(), entry(40_000, flags=0)), {}),
        (layout(entry(), entry(0x7FFFFFFF, flags=0)), {}),
        (layout(entry(-0x80000000), entry(0x7FFFFFFF, flags=0)), {}),
        (layout(entry(0, 0, 4096, 4096)), {"max_monitors": 1, "max_width": 4096, "max_height": 2160}),
    ],
)
def test_what_cannot_be_is_ignored(message: bytes, limits: dict[str, int]) -> None:
    assert isinstance(event_of(message, **limits), LayoutIgnored)


def test_the_area_counts_over_all_monitors() -> None:
    message = layout(entry(0, 0, 4096, 4096), entry(4096, 0, 800, 600, flags=0))
    event = event_of(message, max_monitors=2, max_width=4096, max_height=2400)
    assert isinstance(event, MonitorLayout)


def test_longer_entries_of_later_versions_are_read() -> None:
    event = event_of(layout(entry() + b"more", entry(1920, flags=0) + b"more", size=44))
    assert isinstance(event, MonitorLayout)
    assert [monitor.area.x for monitor in event.monitors] == [0, 1920]


def test_other_pdus_are_skipped() -> None:
    assert list(DisplayControl().receive(struct.pack("<III", 9, 12, 0))) == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", Reason.TRUNCATED),
        (layout(entry())[:-1], Reason.MALFORMED),
        (layout(entry()) + b"x", Reason.MALFORMED),
        (struct.pack("<II", 2, 8), Reason.TRUNCATED),
        (struct.pack("<IIII", 2, 16, 40, 1), Reason.MALFORMED),
        (struct.pack("<IIII", 2, 16, 0, 0xFFFFFFFF), Reason.MALFORMED),
        (struct.pack("<IIII", 2, 16, 0xFFFFFFFF, 0xFFFFFFFF), Reason.MALFORMED),
        (layout(entry()[:39], size=39), Reason.MALFORMED),
    ],
)
def test_broken_pdus_are_refused(message: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        list(DisplayControl().receive(message))
    assert caught.value.reason is reason


NUMBERS = st.one_of(st.integers(-3000, 3000), st.integers(-0x80000000, 0x7FFFFFFF))
SIZES = st.one_of(st.integers(0, 3000), st.integers(0, 0xFFFFFFFF))


@given(st.lists(st.builds(entry, NUMBERS, NUMBERS, SIZES, SIZES, st.integers(0, 1)), max_size=4))
def test_a_layout_that_is_passed_on_is_legal(entries: list[bytes]) -> None:
    event = event_of(layout(*entries))
    if isinstance(event, LayoutIgnored):
        return
    assert [monitor.area[:2] for monitor in event.monitors if monitor.primary] == [(0, 0)]
    for number, monitor in enumerate(event.monitors):
        assert monitor.area.width % 2 == 0
        assert 200 <= monitor.area.width <= 8192
        assert 200 <= monitor.area.height <= 8192
        assert not any(monitor.area.intersect(other.area).area for other in event.monitors[:number])


@given(st.binary(max_size=120))
def test_any_bytes_are_understood_or_refused(message: bytes) -> None:
    with suppress(RemoteError):
        list(DisplayControl().receive(message))
