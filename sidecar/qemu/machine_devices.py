"""The devices of a machine that mean something to people.

Source: QEMU docs/devel/qom.rst (the containers of /machine), qapi/block-core.json (query-block).
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sidecar.machine import Device
from sidecar.qemu.machine_answers import ask, get, mapping, mappings, text
from sidecar.qemu.qmp import Qmp

MOST_DEVICES: Final = 256
"""More are not told."""

NAMED: Final = "/machine/peripheral"
UNNAMED: Final = "/machine/peripheral-anon"
BUILT_IN: Final = "/machine/unattached"
"""Where QEMU keeps devices with an id, without one, and those that come with the machine's type."""

_KINDS: Final = (
    (
        "network",
        r"virtio-net-.*|vhost-user-net|e1000.*|rtl8139|vmxnet3|ne2k_.*|igb|i8255.*|pcnet|tulip|usb-net|"
        r"sungem|spapr-vlan",
    ),
    (
        "graphics",
        r"VGA|cirrus-vga|qxl.*|bochs-display|ramfb|vmware-svga|ati-vga|secondary-vga|virtio-(vga|gpu).*|"
        r"vhost-user-(vga|gpu).*",
    ),
    (
        "sound",
        r"intel-hda|ich9-intel-hda|hda-(duplex|output|micro)|ES1370|AC97|sb16|usb-audio|virtio-sound.*",
    ),
    ("usb-controller", r".*-usb-uhci.?|.*-usb-ehci.?|usb-ehci|pci-ohci|nec-usb-xhci|qemu-xhci"),
    ("input", r"usb-(tablet|kbd|mouse|wacom-tablet)|virtio-(keyboard|mouse|tablet|multitouch|input).*"),
    ("usb", r"usb-.*"),
    ("host device", r"vfio-.*"),
    ("serial port", r"isa-serial|pci-serial.*|usb-serial|virtconsole|virtserialport|spapr-vty"),
    ("file system", r"vhost-user-fs.*|virtio-9p-.*"),
    ("memory", r"pc-dimm|nvdimm|virtio-mem-.*|virtio-pmem-.*|virtio-balloon-.*"),
    ("random numbers", r"virtio-rng-.*"),
    ("watchdog", r"i6300esb|ib700|diag288"),
    ("tpm", r"tpm-.*"),
)
_TOLD_ELSEWHERE: Final = (
    r"virtio-blk-.*|vhost-user-blk.*|scsi-(hd|cd|block|generic)|ide-(hd|cd)|nvme|usb-storage|floppy"
)
"""What `query-block` tells of."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A device as its container has it."""

    path: str
    name: str
    model: str
    kind: str


async def devices(qmp: Qmp) -> tuple[Device, ...]:
    """Those that there are now, disks first. Raises ConnectionLost."""
    disks = [_disk(each) for each in mappings(await ask(qmp, "query-block")) if text(each.get("qdev"))]
    found = [
        device
        for container in (NAMED, UNNAMED, BUILT_IN)
        for device in _listed(container, mappings(await ask(qmp, "qom-list", path=container)))
    ]
    disks = disks[:MOST_DEVICES]
    others = []
    for device in found[: MOST_DEVICES - len(disks)]:
        detail = await _network(qmp, device.path) if device.kind == "network" else ""
        others.append(Device(device.kind, device.name, device.model, detail))
    return (*disks, *others)


def _listed(container: str, children: Iterable[dict[str, Any]]) -> list[_Found]:
    found = []
    for child in children:
        name = text(child.get("name"))
        is_child = re.fullmatch(r"child<(.+)>", text(child.get("type")))
        if is_child is None or re.fullmatch(_TOLD_ELSEWHERE, is_child[1]):
            continue
        model = is_child[1]
        kind = _kind(model)
        if not kind and container == BUILT_IN:
            # bridges, timers, interrupt controllers
            continue
        # a number among the nameless is no name
        found.append(
            _Found(f"{container}/{name}", name if container == NAMED else "", model, kind or "other")
        )
    return sorted(found, key=lambda device: (device.kind, device.name, device.model))


def _kind(model: str) -> str:
    return next((kind for kind, pattern in _KINDS if re.fullmatch(pattern, model)), "")


def _disk(block: dict[str, Any]) -> Device:
    """`inserted` is what is in the drive; a name of several parts is JSON, of which a person has nothing."""
    inserted = mapping(block.get("inserted"))
    files = (text(inserted.get("backing_file")), text(inserted.get("file")))
    file = next((file for file in files if file and not file.startswith("json:")), "")
    path = text(block.get("qdev"))
    name = text(block.get("device")) or path.removeprefix(f"{NAMED}/").split("/")[0]
    return Device("disk", name, text(inserted.get("drv")), posixpath.basename(file))


async def _network(qmp: Qmp, path: str) -> str:
    """The address of a network card, and what it is connected to on the host's side."""
    address, backend = text(await get(qmp, path, "mac")), text(await get(qmp, path, "netdev"))
    return " on ".join(part for part in (address, backend) if part)
