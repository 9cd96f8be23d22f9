"""What stands in a domain's XML. Source: https://libvirt.org/formatdomain.html."""

import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from sidecar.machine import Device

GRAPHICS: Final = "<graphics type='dbus'/>"


@dataclass(frozen=True, slots=True)
class Display:
    """A D-Bus display. `address`: its bus; None: QEMU takes a peer that libvirt hands to it."""

    index: int
    """Which graphics element it is."""
    address: str | None
    qemu_user: int | None
    """The user id of the machine's QEMU, where libvirt tells it."""


def parse(xml: str) -> ElementTree.Element:
    """The domain element."""
    # libvirt has written it, which leaves no DTD in it
    return ElementTree.fromstring(xml)  # noqa: S314


def display(domain: ElementTree.Element) -> Display | None:
    """The D-Bus display: in the XML of a machine that runs, the way to it; None: it has none."""
    for index, graphics in enumerate(domain.iterfind("devices/graphics")):
        if graphics.get("type") == "dbus":
            address = None if graphics.get("p2p") == "yes" else graphics.get("address", "")
            return Display(index, address, _qemu_user(domain))
    return None


def machine_kind(domain: ElementTree.Element) -> tuple[str, str]:
    """What runs it (kvm, qemu), and its architecture."""
    architecture = domain.find("os/type")
    return domain.get("type", ""), "" if architecture is None else architecture.get("arch", "")


def has_power_button(domain: ElementTree.Element) -> bool:
    """Whether the guest can be told to shut down: on x86 by ACPI only."""
    _, architecture = machine_kind(domain)
    return architecture not in _X86 or domain.find("features/acpi") is not None


def has_balloon(domain: ElementTree.Element) -> bool:
    """Whether the guest can be told to give memory back."""
    balloon = domain.find("devices/memballoon")
    return balloon is not None and balloon.get("model") != "none"


def has_pluggable_cpus(domain: ElementTree.Element) -> bool:
    """Whether a processor of a machine that runs can come or go."""
    # what can be plugged is told one by one only after the first was plugged, and `current` only when some
    # are left
    number = domain.find("vcpu")
    left = number is not None and number.get("current", number.text) != number.text
    return left or domain.find("vcpus/vcpu[@hotpluggable='yes']") is not None


def offers_kvm(capabilities: ElementTree.Element, architecture: str) -> bool:
    """Whether libvirt's capabilities have KVM for machines of that architecture."""
    return capabilities.find(f"guest/arch[@name='{architecture}']/domain[@type='kvm']") is not None


def devices(domain: ElementTree.Element) -> tuple[Device, ...]:
    """What people would call the machine's devices: no controllers, no serial ports."""
    found = []
    for element in domain.iterfind("devices/*"):
        if (kind := _KINDS.get(element.tag)) is not None:
            found.append(_device(kind, element))
    return tuple(found)


_X86: Final = ("x86_64", "i686")

_KINDS: Final = {
    "disk": "disk",
    "interface": "network",
    "graphics": "graphics",
    "video": "video",
    "sound": "sound",
    "input": "input",
    "hostdev": "host device",
    "redirdev": "usb",
    "filesystem": "filesystem",
    "smartcard": "smartcard",
    "tpm": "tpm",
    "watchdog": "watchdog",
    "memballoon": "balloon",
}

_SOURCES: Final = ("file", "dev", "bridge", "network", "volume", "name", "dir", "socket", "channel")
"""Attributes of `<source>` that tell what a device is backed by."""


def _device(kind: str, element: ElementTree.Element) -> Device:
    target, model, source = element.find("target"), element.find("model"), element.find("source")
    alias = element.find("alias")
    # aliases are there while the machine runs
    name = _first(target, "dev", "dir") or _first(alias, "name") or element.get("type", kind)
    if kind == "disk":
        kind = element.get("device", kind)
        what = _first(target, "bus")
    else:
        own = (element.get(attribute) for attribute in ("model", "bus", "type"))
        what = _first(model, "type") or next((value for value in own if value), "")
    # people know a file by its name, and need not know where the host keeps it
    detail = _first(source, *_SOURCES).rsplit("/", 1)[-1]
    return Device(kind, name, what, detail)


def _first(element: ElementTree.Element | None, *attributes: str) -> str:
    values = (None if element is None else element.get(attribute) for attribute in attributes)
    return next((value for value in values if value), "")


def _qemu_user(domain: ElementTree.Element) -> int | None:
    for label in domain.iterfind("seclabel[@model='dac']/label"):
        if found := re.fullmatch(r"\+?(\d+):\+?\d+", label.text or ""):
            return int(found[1])
    return None
