"""What is known of a USB device, and what people call its kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

CLASS_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x01: "audio",
        0x02: "communications",
        0x03: "HID",
        0x05: "physical",
        0x06: "imaging",
        0x07: "printer",
        0x08: "mass storage",
        0x09: "hub",
        0x0A: "CDC data",
        0x0B: "smart card",
        0x0D: "content security",
        0x0E: "video",
        0x0F: "personal healthcare",
        0x10: "audio/video",
        0x11: "billboard",
        0x12: "USB-C bridge",
        0xDC: "diagnostic",
        0xE0: "wireless controller",
        0xEF: "miscellaneous",
        0xFE: "application specific",
        0xFF: "vendor specific",
    }
)
"""The class codes of usb.org (Defined Class Codes)."""

_SEE_INTERFACES: Final = (0x00, 0xEF)
"""Device classes that say nothing: each interface has its own. 0xEF is that of most composite devices."""


class Speed(IntEnum):
    """How fast a device is connected; the values are those of usbredir's device_connect."""

    LOW = 0
    FULL = 1
    HIGH = 2
    SUPER = 3
    UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class UsbInterface:
    """One function of a device."""

    number: int
    class_code: int
    subclass: int
    protocol: int


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """A device as its host announces it. `vendor` and `product`: 0..65535."""

    vendor: int
    product: int
    class_code: int
    subclass: int
    protocol: int
    speed: Speed
    interfaces: tuple[UsbInterface, ...] = ()

    @property
    def kind(self) -> str:
        """The name of its class, or those of its interfaces, each once, where the class says nothing."""
        codes = [self.class_code]
        if self.class_code in _SEE_INTERFACES and self.interfaces:
            codes = [interface.class_code for interface in self.interfaces]
        return ", ".join(dict.fromkeys(CLASS_NAMES.get(code, "unknown") for code in codes))
