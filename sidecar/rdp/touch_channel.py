"""The input channel: touch from the client's screen (MS-RDPEI)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import TypeAlias

from sidecar.rdp.wire import Reader

NAME = "Microsoft::Windows::RDS::Input"
"""The dynamic channel."""

MAX_MESSAGE = 1 << 12
"""Bytes of a message from the client: ten contacts with all that can be told of them have about 300, and a
message may hold several frames."""

MAX_CONTACTS = 10
"""Contacts at a time, as many as QEMU's touch screen has slots."""


class Version(IntEnum):
    """RDPINPUT_PROTOCOL versions."""

    V100 = 0x00010000
    V101 = 0x00010001
    V200 = 0x00020000
    """pens"""
    V300 = 0x00030000
    """several pens"""


class EventId(IntEnum):
    """eventId of the PDUs that are sent or read, MS-RDPEI 2.2.2.6."""

    SC_READY = 0x0001
    CS_READY = 0x0002
    TOUCH = 0x0003
    SUSPEND_INPUT = 0x0004
    RESUME_INPUT = 0x0005


class ContactFlag(IntFlag):
    """contactFlags of a touch contact, MS-RDPEI 2.2.3.3.1.1."""

    DOWN = 0x01
    UPDATE = 0x02
    UP = 0x04
    INRANGE = 0x08
    INCONTACT = 0x10
    CANCELED = 0x20


_CONTACTRECT_PRESENT = 0x01
_ORIENTATION_PRESENT = 0x02
_PRESSURE_PRESENT = 0x04

_HEADER = struct.Struct("<HI")


class ContactKind(Enum):
    """What happens to a contact."""

    BEGIN = "begin"
    UPDATE = "update"
    END = "end"
    CANCEL = "cancel"
    """it has ended, and was none"""


@dataclass(frozen=True, slots=True)
class Contact:
    """One finger.

    `id`: 0..255, the client's, free again after END and CANCEL. `x`, `y`: desktop pixels, signed.
    """

    id: int
    kind: ContactKind
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class TouchFrame:
    """What happened at one time; each contact is there once."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class ClientReady:
    """The client will send touch. `max_contacts`: as many as its screen has."""

    version: int
    max_contacts: int


Event: TypeAlias = ClientReady | TouchFrame


class TouchChannel:
    """The server's side of the channel, without input or output.

    `version`: what is offered; with V200 and V300 clients send pens too, which are skipped here, while
    without they make mouse or touch events of them. At most `max_contacts` contacts are under way; further
    ones are left out until one has ended.
    """

    def __init__(self, version: Version = Version.V101, max_contacts: int = MAX_CONTACTS) -> None:
        self._version = version
        self._max_contacts = max_contacts
        self._places: dict[int, tuple[int, int]] = {}
        self._suspended = False

    def opened(self) -> bytes:
        """The first message (RDPINPUT_SC_READY_PDU), when the channel is open."""
        body = self._version.to_bytes(4, "little")
        if self._version >= Version.V300:
            # supportedFeatures: none
            body += bytes(4)
        return _message(EventId.SC_READY, body)

    def suspend(self) -> bytes:
        """The message that asks the client for no touch (RDPINPUT_SUSPEND_INPUT_PDU); what comes is dropped.

        Call `cancel_all` too.
        """
        self._suspended = True
        return _message(EventId.SUSPEND_INPUT)

    def resume(self) -> bytes:
        """The message that lets the client go on (RDPINPUT_RESUME_INPUT_PDU)."""
        self._suspended = False
        return _message(EventId.RESUME_INPUT)

    def cancel_all(self) -> TouchFrame | None:
        """Cancels all contacts that are under way: when the channel closes, or input is taken away."""
        if not self._places:
            return None
        contacts = tuple(
            Contact(identifier, ContactKind.CANCEL, x, y) for identifier, (x, y) in self._places.items()
        )
        self._places.clear()
        return TouchFrame(contacts)

    def receive(self, message: bytes) -> Iterator[Event]:
        """Takes one message of the channel; pens and events that are not known are skipped.

        Raises RemoteError while iterating.
        """
        reader = Reader(message, "a message on the input channel")
        while reader.remaining:
            event_id = reader.u16()
            length = reader.u32() - _HEADER.size
            if length < 0:
                raise reader.malformed("a PDU that is shorter than its header")
            body = reader.part(length, f"input PDU {event_id:#06x}")
            if event_id == EventId.TOUCH:
                yield from self._touch_event(body)
            elif event_id == EventId.CS_READY:
                body.skip(4)
                yield ClientReady(body.u32(), body.u16())
                body.end()
            # hovering contacts are not told apart from those that are gone, so dismissing one does nothing

    def _touch_event(self, body: Reader) -> Iterator[TouchFrame]:
        """RDPINPUT_TOUCH_EVENT_PDU, 2.2.3.3."""
        four_byte_unsigned(body)
        for _ in range(two_byte_unsigned(body)):
            count = two_byte_unsigned(body)
            eight_byte_unsigned(body)
            contacts: dict[int, Contact] = {}
            for _ in range(count):
                contact = self._contact(body)
                if contact is None:
                    continue
                if contact.id in contacts:
                    yield TouchFrame(tuple(contacts.values()))
                    contacts = {}
                contacts[contact.id] = contact
            if contacts:
                yield TouchFrame(tuple(contacts.values()))
        body.end()

    def _contact(self, body: Reader) -> Contact | None:
        """RDPINPUT_TOUCH_CONTACT, 2.2.3.3.1.1; None where nothing happens to a contact that is under way."""
        identifier = body.u8()
        fields = two_byte_unsigned(body)
        x, y = four_byte_signed(body), four_byte_signed(body)
        flags = four_byte_unsigned(body)
        if fields & _CONTACTRECT_PRESENT:
            for _ in range(4):
                two_byte_signed(body)
        if fields & _ORIENTATION_PRESENT:
            four_byte_unsigned(body)
        if fields & _PRESSURE_PRESENT:
            four_byte_unsigned(body)
        kind = None if self._suspended else self._transition(identifier, flags)
        if kind is None:
            return None
        if kind in (ContactKind.BEGIN, ContactKind.UPDATE):
            self._places[identifier] = (x, y)
        else:
            del self._places[identifier]
        return Contact(identifier, kind, x, y)

    def _transition(self, identifier: int, flags: int) -> ContactKind | None:
        """The transitions of MS-RDPEI 3.1.1.1, those through a hovering contact left out.

        A contact whose beginning or end was lost begins or ends with the next that is heard of it.
        """
        under_way = identifier in self._places
        leaving = flags & (ContactFlag.UP | ContactFlag.CANCELED)
        if flags & (ContactFlag.DOWN | ContactFlag.INCONTACT) and not leaving:
            if under_way:
                return ContactKind.UPDATE
            return ContactKind.BEGIN if len(self._places) < self._max_contacts else None
        if not under_way:
            return None
        return ContactKind.CANCEL if flags & ContactFlag.CANCELED else ContactKind.END


def _message(event_id: EventId, body: bytes = b"") -> bytes:
    return _HEADER.pack(event_id, _HEADER.size + len(body)) + body


def two_byte_unsigned(reader: Reader) -> int:
    """TWO_BYTE_UNSIGNED_INTEGER, 2.2.2.1: 0..32767."""
    first = reader.u8()
    return (first & 0x7F) << 8 | reader.u8() if first & 0x80 else first


def two_byte_signed(reader: Reader) -> int:
    """TWO_BYTE_SIGNED_INTEGER, 2.2.2.2: -16383..16383."""
    first = reader.u8()
    value = first & 0x3F
    if first & 0x80:
        value = value << 8 | reader.u8()
    return -value if first & 0x40 else value


def four_byte_unsigned(reader: Reader) -> int:
    """FOUR_BYTE_UNSIGNED_INTEGER, 2.2.2.3: 0..0x3FFFFFFF."""
    first = reader.u8()
    return _continued(reader, first & 0x3F, first >> 6)


def four_byte_signed(reader: Reader) -> int:
    """FOUR_BYTE_SIGNED_INTEGER, 2.2.2.4: -0x1FFFFFFF..0x1FFFFFFF."""
    first = reader.u8()
    value = _continued(reader, first & 0x1F, first >> 6)
    return -value if first & 0x20 else value


def eight_byte_unsigned(reader: Reader) -> int:
    """EIGHT_BYTE_UNSIGNED_INTEGER, 2.2.2.5: 0..0x1FFFFFFFFFFFFFFF."""
    first = reader.u8()
    return _continued(reader, first & 0x1F, first >> 5)


def _continued(reader: Reader, value: int, count: int) -> int:
    """`value` with `count` further bytes behind it, most significant first."""
    return value << 8 * count | int.from_bytes(reader.take(count), "big")
