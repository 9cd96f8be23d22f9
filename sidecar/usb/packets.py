"""Watches a stream of usbredir for the devices that come and go in it. Does no I/O, and changes nothing.

Source: usbredir's protocol description, version 0.7. Integers are little-endian. The *host* has the device,
the *guest* uses it: here QEMU. Only a few short packets are looked into; all others are counted past, however
long they are, and never kept.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, TypeAlias

from sidecar.usb.device import Speed, UsbDevice, UsbInterface

LONGEST_TRANSFER: Final = 128 * 1024 * 1024
"""Bytes of a data packet's payload; usbredir's own parser takes no more."""

LONGEST_CONTROL: Final = 64 * 1024
"""Bytes of any other packet's body; the longest are filters, which are a line of text."""

_TRANSFER_HEADER: Final = 16
"""Bytes that a data packet may have before its payload, at most."""

_HELLO_VERSION: Final = 64
"""Bytes of a hello before the capabilities."""

_MOST_CAPABILITIES: Final = 16
"""Words; one is in use today."""

_MOST_INTERFACES: Final = 32

_CAP_64_BIT_IDS: Final = 1 << 5


class Packet(IntEnum):
    """The types of packets that are looked into."""

    HELLO = 0
    DEVICE_CONNECT = 1
    DEVICE_DISCONNECT = 2
    INTERFACE_INFO = 4


_LAST_CONTROL_TYPE: Final = 27
_FIRST_DATA_TYPE, _LAST_DATA_TYPE = 100, 104


class NotUsbredir(Exception):
    """The stream is not what it should be; nothing more can be learnt from it."""


@dataclass(frozen=True, slots=True)
class DeviceConnected:
    """A device is there; told again when its interfaces have changed."""

    device: UsbDevice


@dataclass(frozen=True, slots=True)
class DeviceDisconnected:
    """The device is gone."""


DeviceEvent: TypeAlias = DeviceConnected | DeviceDisconnected


class DeviceObserver:
    """Both directions of one connection, from its first byte on.

    Each `from_` gets the bytes of its direction in order, before the other side can have seen them. Raises
    NotUsbredir, after which neither may be called again.
    """

    def __init__(self) -> None:
        self._host = _Direction(lambda: self._has_long_ids, {*Packet})
        self._guest = _Direction(lambda: self._has_long_ids, {Packet.HELLO})
        self._interfaces: tuple[UsbInterface, ...] = ()
        self._device: UsbDevice | None = None

    def from_host(self, data: bytes) -> list[DeviceEvent]:
        """Bytes of the side that has the device; what happened in them."""
        events: list[DeviceEvent] = []
        for kind, body in self._host.packets(data):
            match kind:
                case Packet.DEVICE_CONNECT:
                    self._device = _device(body, self._interfaces)
                    events.append(DeviceConnected(self._device))
                case Packet.INTERFACE_INFO:
                    self._interfaces = _interfaces(body)
                    if self._device is not None:
                        self._device = replace(self._device, interfaces=self._interfaces)
                        events.append(DeviceConnected(self._device))
                case Packet.DEVICE_DISCONNECT:
                    if self._device is not None:
                        events.append(DeviceDisconnected())
                    self._device, self._interfaces = None, ()
        return events

    def from_guest(self, data: bytes) -> None:
        """Bytes of the side that uses the device. They tell only how the other side is to be read."""
        for _ in self._guest.packets(data):
            pass

    @property
    def _has_long_ids(self) -> bool:
        ours, theirs = self._host.capabilities, self._guest.capabilities
        if ours is None or theirs is None:
            # nobody says more than hello before having heard the other's, and both pass here
            raise NotUsbredir("a packet before both sides have said hello")
        return bool(ours & theirs & _CAP_64_BIT_IDS)


class _Direction:
    """One direction. `has_long_ids` is asked when the first byte of a header after the hello is there.

    `kept`: the types whose bodies are looked into.
    """

    def __init__(self, has_long_ids: Callable[[], bool], kept: set[Packet]) -> None:
        self.capabilities: int | None = None
        """The first word of them; None before the hello."""
        self._has_long_ids = has_long_ids
        self._kept = kept
        self._part = bytearray()
        """Of the header, or of a body that is kept."""
        self._kind: Packet | None = None
        """The type of the packet whose body is being kept."""
        self._left = 0
        """Bytes of the body that are to come, or to be passed over."""

    def packets(self, data: bytes) -> Iterator[tuple[Packet, bytes]]:
        """Type and body of each packet that is kept and has become whole. Raises NotUsbredir."""
        at = 0
        while at < len(data):
            if self._left and self._kind is None:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            whole_length = self._left if self._kind is not None else self._header_length()
            wanted = whole_length - len(self._part)
            part = data[at : at + wanted]
            at += len(part)
            self._part += part
            if len(part) < wanted:
                return
            whole, self._part = bytes(self._part), bytearray()
            if self._kind is None:
                self._begin(whole)
                if self._kind is None or self._left:
                    continue
                whole = b""
            kind, self._kind, self._left = self._kind, None, 0
            if kind is Packet.HELLO:
                self._hello(whole)
            else:
                yield kind, whole

    def _header_length(self) -> int:
        # a hello always has the short form
        return 16 if self.capabilities is not None and self._has_long_ids() else 12

    def _begin(self, header: bytes) -> None:
        number, length = struct.unpack_from("<II", header)
        is_data = _FIRST_DATA_TYPE <= number <= _LAST_DATA_TYPE
        _expect(is_data or number <= _LAST_CONTROL_TYPE, f"packets of type {number}")
        longest = LONGEST_TRANSFER + _TRANSFER_HEADER if is_data else LONGEST_CONTROL
        _expect(length <= longest, f"a packet of {length} bytes")
        self._left = length
        if self.capabilities is None:
            _expect(number == Packet.HELLO, "the first packet is no hello")
            words, rest = divmod(length - _HELLO_VERSION, 4)
            _expect(0 <= words <= _MOST_CAPABILITIES and not rest, f"a hello of {length} bytes")
            self._kind = Packet.HELLO
        elif number in self._kept and number != Packet.HELLO:
            # a second hello means nothing
            self._kind = Packet(number)
            _expect(length in _LENGTHS[self._kind], f"{self._kind.name.lower()} of {length} bytes")

    def _hello(self, body: bytes) -> None:
        words = body[_HELLO_VERSION:]
        self.capabilities = int.from_bytes(words[:4], "little")


_CONNECT: Final = struct.Struct("<BBBBHH")
_INFO: Final = 4 + 4 * _MOST_INTERFACES
_LENGTHS: Final = {
    # the version of a device is there if both sides know of it
    Packet.DEVICE_CONNECT: (_CONNECT.size, _CONNECT.size + 2),
    Packet.DEVICE_DISCONNECT: (0,),
    Packet.INTERFACE_INFO: (_INFO,),
}


def _device(body: bytes, interfaces: tuple[UsbInterface, ...]) -> UsbDevice:
    speed, class_code, subclass, protocol, vendor, product = _CONNECT.unpack_from(body)
    known = Speed(speed) if speed in set(Speed) else Speed.UNKNOWN
    return UsbDevice(vendor, product, class_code, subclass, protocol, known, interfaces)


def _interfaces(body: bytes) -> tuple[UsbInterface, ...]:
    (count,) = struct.unpack_from("<I", body)
    _expect(count <= _MOST_INTERFACES, f"a device of {count} interfaces")
    columns = [body[4 + _MOST_INTERFACES * column :][:count] for column in range(4)]
    return tuple(UsbInterface(*row) for row in zip(*columns, strict=True))


def _expect(condition: bool, fault: str) -> None:
    if not condition:
        raise NotUsbredir(fault)
