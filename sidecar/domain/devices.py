"""The devices of a domain, and those that carry serial ports, clipboard and USB to viewers.

Between two calls of the hook KubeVirt keeps of a device what its own types know: not the channel of a source,
nothing inside of one (facts: kubevirt 2). So a device of ours that has lost it is completed.
"""

from collections.abc import Callable

from sidecar.domain.document import Document, Element, New

SERIAL_CHANNEL = "org.qemu.console.serial"
"""And a number: what QEMU calls serial ports on its D-Bus display (facts: QEMU D-Bus section 6)."""
USB_CHANNEL = "org.qemu.usbredir"
AGENT_PORT = "com.redhat.spice.0"
"""The virtio port that spice-vdagent opens in the guest."""

_BUS = "vdi-ports"
_PORTS = ("-device", f"virtio-serial-pci,id={_BUS},addr=0x18")
"""On a slot that libvirt leaves free: QEMU makes this device before those whose slots libvirt names."""
_CCW_PORTS = ("-device", f"virtio-serial-ccw,id={_BUS}")
_CONSOLE = (
    *("-chardev", f"dbus,id=vdi_console,name={SERIAL_CHANNEL}.0"),
    *("-device", f"virtconsole,bus={_BUS}.0,chardev=vdi_console,id=vdi-console0"),
)
"""The chardev's name is part of a D-Bus path: letters, digits and underscores."""
_AGENT = (
    *("-chardev", "qemu-vdagent,id=vdi-agent,clipboard=on,mouse=off"),
    *("-device", f"virtserialport,bus={_BUS}.0,chardev=vdi-agent,name={AGENT_PORT},id=vdi-agent0"),
)


class Devices:
    """The devices of a domain; made if it has none."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._devices = list(document.root.named("devices"))
        self._added: list[New] = []
        types = [kind for os in document.root.named("os") for kind in os.named("type")]
        self.architecture = types[0].attributes.get("arch", "x86_64") if types else "x86_64"

    def children(self, name: str) -> list[Element]:
        """The devices of that name."""
        return [child for devices in self._devices for child in devices.named(name)]

    def add(self, new: New) -> None:
        """Puts a device behind the others."""
        self._added.append(new)

    def to_bytes(self) -> bytes:
        """The domain with all edits."""
        if self._devices:
            for new in self._added:
                self.document.append(self._devices[0], new)
        elif self._added:
            self.document.append(self.document.root, New("devices", children=tuple(self._added)))
        return self.document.to_bytes()


def offer_serial_console(devices: Devices) -> None:
    """Gives the guest a virtio console for viewers, beside whatever serial ports it has.

    Systemd starts a login on it by itself (`hvc0`, or the next number).
    """
    ours = [
        element
        for element in (*devices.children("console"), *devices.children("serial"))
        if element.attributes.get("type") == "dbus"
    ]
    if not ours:
        target = New("target", {"type": "virtio"})
        devices.add(New("console", {"type": "dbus"}, (_channel(f"{SERIAL_CHANNEL}.0"), target)))
    taken = {channel for element in ours if (channel := _channel_of(element))}
    numbers = (number for number in range(len(ours)) if f"{SERIAL_CHANNEL}.{number}" not in taken)
    for element in ours:
        if not _channel_of(element):
            _set_source(devices.document, element, _channel(f"{SERIAL_CHANNEL}.{next(numbers)}"))


def offer_clipboard(devices: Devices) -> None:
    """Gives the guest's spice-vdagent a channel by which QEMU shares the clipboard.

    A SPICE channel of that name stays: a guest can have one only.
    """
    # else the agent takes the pointer from the tablet
    mouse = New("mouse", {"mode": "server"})
    source = New("source", children=(New("clipboard", {"copypaste": "yes"}), mouse))
    for element in devices.children("channel"):
        if element.attributes.get("type") == "qemu-vdagent":
            if not any(devices.document.has_content(each) for each in element.named("source")):
                _set_source(devices.document, element, source)
            return
        if any(target.attributes.get("name") == AGENT_PORT for target in element.named("target")):
            return
    target = New("target", {"type": "virtio", "name": AGENT_PORT})
    devices.add(New("channel", {"type": "qemu-vdagent"}, (source, target)))


def offer_usb_slots(devices: Devices, slots: int) -> None:
    """Gives the machine so many slots for redirected USB devices, and USB if it was switched off."""
    ours = [element for element in devices.children("redirdev") if element.attributes.get("type") == "dbus"]
    for element in ours:
        if not _channel_of(element):
            _set_source(devices.document, element, _channel(USB_CHANNEL))
    for _ in range(slots - len(ours)):
        devices.add(New("redirdev", {"bus": "usb", "type": "dbus"}, (_channel(USB_CHANNEL),)))
    controllers = [
        element for element in devices.children("controller") if element.attributes.get("type") == "usb"
    ]
    if slots and controllers and all(each.attributes.get("model") == "none" for each in controllers):
        devices.document.set_attribute(controllers[0], "model", "qemu-xhci")


def arguments(architecture: str, *, serial_console: bool, clipboard: bool) -> list[tuple[str, ...]]:
    """The same as QEMU's own options, which KubeVirt's plugins leave alone (facts: kubevirt 3)."""
    wanted = [option for option, asked in ((_CONSOLE, serial_console), (_AGENT, clipboard)) if asked]
    ports = _CCW_PORTS if architecture == "s390x" else _PORTS
    return [ports, *wanted] if wanted else []


def _channel(name: str) -> New:
    return New("source", {"channel": name})


def _channel_of(element: Element) -> str:
    return next((source.attributes.get("channel", "") for source in element.named("source")), "")


def _set_source(document: Document, element: Element, source: New) -> None:
    edit: Callable[[Element, New], None] = document.append
    where = element
    for present in element.named("source"):
        edit, where = document.replace, present
        break
    edit(where, source)
