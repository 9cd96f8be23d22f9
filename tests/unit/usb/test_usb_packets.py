"""What is learnt of usbredir's streams, and that nothing in them does harm."""

import struct
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.usbredir_peer import (
    ALL,
    BULK,
    CONTROL,
    DEVICE_CONNECT,
    DEVICE_DISCONNECT,
    EP_INFO,
    HELLO,
    IDS_64_BIT,
    INTERFACE_INFO,
    RESET,
    device_connect,
    ep_info,
    hello,
    interface_info,
    packet,
)

from sidecar.usb.device import Speed, UsbDevice, UsbInterface
from sidecar.usb.packets import (
    LONGEST_CONTROL,
    LONGEST_TRANSFER,
    DeviceConnected,
    DeviceDisconnected,
    DeviceEvent,
    DeviceObserver,
    NotUsbredir,
)

STICK = UsbDevice(0x0951, 0x1666, 0, 0, 0, Speed.HIGH, (UsbInterface(0, 8, 6, 0x50),))


def agreed(host: int = ALL, guest: int = ALL) -> DeviceObserver:
    """Both sides have said hello."""
    observer = DeviceObserver()
    observer.from_guest(hello(guest))
    assert observer.from_host(hello(host)) == []
    return observer


def arrival(*, long_ids: bool = True) -> bytes:
    return b"".join(
        packet(kind, body, long_ids=long_ids)
        for kind, body in (
            (EP_INFO, ep_info()),
            (INTERFACE_INFO, interface_info()),
            (DEVICE_CONNECT, device_connect()),
        )
    )


def in_pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(at)]


@pytest.mark.parametrize(
    ("host", "guest", "long_ids"),
    [
        pytest.param(ALL, ALL, True, id="both know long ids"),
        pytest.param(ALL, ALL & ~IDS_64_BIT, False, id="the guest does not"),
        pytest.param(ALL & ~IDS_64_BIT, ALL, False, id="the host does not"),
        pytest.param(0, 0, False, id="neither knows anything"),
    ],
)
def test_a_device_is_told_with_ids_of_either_length(host: int, guest: int, long_ids: bool) -> None:
    observer = agreed(host, guest)
    assert observer.from_host(arrival(long_ids=long_ids)) == [DeviceConnected(STICK)]
    gone = packet(DEVICE_DISCONNECT, long_ids=long_ids)
    assert observer.from_host(gone) == [DeviceDisconnected()]
    assert observer.from_host(gone) == []
    assert observer.from_host(arrival(long_ids=long_ids)) == [DeviceConnected(STICK)]


@pytest.mark.parametrize("version", [None, 0x110])
def test_a_device_may_tell_its_version(version: int | None) -> None:
    body = device_connect(0xFFFF, 1, 3, speed=7, version=version)
    (event,) = agreed().from_host(packet(DEVICE_CONNECT, body, long_ids=True))
    assert event == DeviceConnected(UsbDevice(0xFFFF, 1, 3, 0, 0, Speed.UNKNOWN))


def test_other_interfaces_are_told_when_they_change() -> None:
    observer = agreed()
    observer.from_host(arrival())
    (event,) = observer.from_host(packet(INTERFACE_INFO, interface_info([(1, 3, 0, 0)]), long_ids=True))
    assert isinstance(event, DeviceConnected)
    assert event.device.interfaces == (UsbInterface(1, 3, 0, 0),)


def test_a_hello_without_capabilities_is_one() -> None:
    observer = DeviceObserver()
    observer.from_guest(packet(HELLO, bytes(64)))
    observer.from_host(packet(HELLO, bytes(64)))
    assert observer.from_host(arrival(long_ids=False)) == [DeviceConnected(STICK)]


def test_all_else_is_passed_over_whatever_is_in_it() -> None:
    observer = agreed()
    disguise = packet(DEVICE_DISCONNECT, long_ids=True)
    for kind in (CONTROL, BULK, 102, 103, 104):
        observer.from_host(packet(kind, disguise * 3, 7, long_ids=True))
        observer.from_guest(packet(kind, disguise * 3, 7, long_ids=True))
    observer.from_host(packet(HELLO, hello(), long_ids=True))
    observer.from_guest(packet(RESET, long_ids=True))
    # the machine has no device, whatever it says
    observer.from_guest(arrival())
    assert observer.from_host(arrival()) == [DeviceConnected(STICK)]


def test_the_longest_transfer_is_passed_over_without_being_kept() -> None:
    observer = agreed()
    observer.from_host(struct.pack("<IIQ", BULK, LONGEST_TRANSFER, 1))
    block = bytes(1 << 20)
    for _ in range(LONGEST_TRANSFER // len(block)):
        assert observer.from_host(block) == []
    assert observer.from_host(arrival()) == [DeviceConnected(STICK)]


@settings(deadline=None)
@given(st.lists(st.integers(min_value=0), max_size=40), st.booleans())
def test_where_the_stream_is_cut_does_not_matter(cuts: list[int], long_ids: bool) -> None:
    capabilities = ALL if long_ids else ALL & ~IDS_64_BIT
    observer = DeviceObserver()
    observer.from_guest(hello())
    more = packet(BULK, b"x" * 50, 9, long_ids=long_ids) + packet(DEVICE_DISCONNECT, long_ids=long_ids)
    events: list[DeviceEvent] = []
    for piece in in_pieces(hello(capabilities) + arrival(long_ids=long_ids) + more, cuts):
        events += observer.from_host(piece)
    assert events == [DeviceConnected(STICK), DeviceDisconnected()]


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(arrival(), id="no hello first"),
        pytest.param(packet(HELLO, bytes(63)), id="a short hello"),
        pytest.param(packet(HELLO, bytes(66)), id="half a capability"),
        pytest.param(packet(HELLO, bytes(64 + 17 * 4)), id="too many capabilities"),
        pytest.param(struct.pack("<III", HELLO, 0xFFFFFFFF, 0), id="an endless hello"),
    ],
)
def test_a_stream_that_begins_with_nonsense_is_not_usbredir(nonsense: bytes) -> None:
    with pytest.raises(NotUsbredir):
        DeviceObserver().from_host(nonsense)
    with pytest.raises(NotUsbredir):
        DeviceObserver().from_guest(nonsense)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (28, b""),
        (99, b""),
        (105, b""),
        (0xFFFFFFFF, b""),
        (DEVICE_CONNECT, bytes(7)),
        (DEVICE_CONNECT, bytes(9)),
        (DEVICE_CONNECT, bytes(11)),
        (DEVICE_DISCONNECT, b"x"),
        (INTERFACE_INFO, bytes(131)),
        (INTERFACE_INFO, struct.pack("<I", 33) + bytes(128)),
    ],
)
def test_a_packet_that_cannot_be_ends_the_observation(kind: int, body: bytes) -> None:
    with pytest.raises(NotUsbredir):
        agreed().from_host(packet(kind, body, long_ids=True))


@pytest.mark.parametrize(("kind", "length"), [(BULK, LONGEST_TRANSFER + 17), (EP_INFO, LONGEST_CONTROL + 1)])
def test_a_packet_too_long_is_known_by_its_header(kind: int, length: int) -> None:
    with pytest.raises(NotUsbredir, match=str(length)):
        agreed().from_host(struct.pack("<IIQ", kind, length, 0))


def test_a_packet_before_both_hellos_ends_the_observation() -> None:
    observer = DeviceObserver()
    observer.from_host(hello())
    with pytest.raises(NotUsbredir, match="before both"):
        observer.from_host(arrival())


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=20), st.booleans())
def test_whatever_comes_it_is_understood_or_refused(said: list[tuple[bool, bytes]], greeted: bool) -> None:
    observer = agreed() if greeted else DeviceObserver()
    try:
        for is_host, data in said:
            if is_host:
                observer.from_host(data)
            else:
                observer.from_guest(data)
    except NotUsbredir:
        return


@pytest.mark.parametrize(
    ("class_code", "interfaces", "kind"),
    [
        (8, [], "mass storage"),
        (9, [(0, 3, 0, 0)], "hub"),
        (0, [(0, 3, 1, 1), (1, 3, 1, 2)], "HID"),
        (0xEF, [(0, 0x0E, 1, 0), (1, 0x0E, 2, 0), (2, 1, 1, 0)], "video, audio"),
        (0xEF, [], "miscellaneous"),
        (0, [], "unknown"),
        (0x42, [], "unknown"),
        (0, [(0, 0xFF, 0, 0)], "vendor specific"),
    ],
)
def test_a_kind_is_named_after_the_class_or_the_interfaces(
    class_code: int, interfaces: list[tuple[int, int, int, int]], kind: str
) -> None:
    device = UsbDevice(1, 2, class_code, 0, 0, Speed.FULL, tuple(UsbInterface(*each) for each in interfaces))
    assert device.kind == kind
