"""What stands in a domain's XML. Source: https://libvirt.org/formatdomain.html."""

import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

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


def _qemu_user(domain: ElementTree.Element) -> int | None:
    for label in domain.iterfind("seclabel[@model='dac']/label"):
        if found := re.fullmatch(r"\+?(\d+):\+?\d+", label.text or ""):
            return int(found[1])
    return None
