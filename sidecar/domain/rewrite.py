"""Gives a domain its D-Bus display, the sound to it, and what a viewer needs to work with it.

KubeVirt calls its hooks two or three times in one boot, and a later call sees a lossy copy of what the
earlier one made (facts: kubevirt 2). So every rule looks at what is there and completes it; none depends on
being first.
"""

from sidecar.domain import commandline
from sidecar.domain.devices import (
    Devices,
    arguments,
    offer_clipboard,
    offer_serial_console,
    offer_usb_slots,
)
from sidecar.domain.document import Document, Element, New
from sidecar.domain.errors import DomainError
from sidecar.domain.options import Graphics, RewriteOptions

_X86 = frozenset({"x86_64", "i686"})
_VGA = _X86 | {"ppc64", "ppc64le"}
"""Architectures whose firmware shows something on VGA."""
_NO_KEYBOARD = frozenset({"aarch64", "armv7l", "loongarch64", "riscv64", "s390x"})
"""Architectures that have no PS/2, and to which libvirt adds no keyboard by itself."""

_ONE_DISPLAY = frozenset({"desktop", "egl-headless", "rdp", "sdl"})
"""Graphics that libvirt passes as `-display`, of which QEMU has one only: they cannot be beside D-Bus."""


def rewrite(domain_xml: bytes, options: RewriteOptions) -> bytes:
    """The domain with its D-Bus display. All that is not its business stays as it is, to the byte.

    A domain without graphics comes back unchanged unless `options.screen` asks for a screen. Applied to its
    own result it changes nothing. Raises DomainError for what is no domain XML.
    """
    document = Document(domain_xml)
    if document.root.name != "domain":
        root = " ".join(document.root.name[:100].split())
        raise DomainError(f"the XML is not a domain: its root is <{root}>")
    domain = Devices(document)
    graphical = domain.children("graphics") or commandline.has_display(document)
    if not graphical and not options.screen:
        return domain_xml
    if options.graphics is Graphics.COMMANDLINE:
        _offer_by_commandline(domain, options)
    else:
        _offer_by_graphics(domain, options)
    _add_video(domain)
    if options.input is not False:
        _add_input(domain)
    if options.graphics is not Graphics.COMMANDLINE:
        _offer_tunnels(domain, options)
    return domain.to_bytes()


def _offer_by_graphics(domain: Devices, options: RewriteOptions) -> None:
    document = domain.document
    commandline.withdraw_display(document)
    displaced = _ONE_DISPLAY if options.graphics is Graphics.KEEP_VNC else _ONE_DISPLAY | {"vnc"}
    graphics = domain.children("graphics")
    present = [element for element in graphics if element.attributes.get("type") == "dbus"]
    replaced = [element for element in graphics if element.attributes.get("type") in displaced]
    audio = None if options.audio is False else _dbus_audio(domain)
    if present:
        _complete(document, present[0], options.address, audio)
        surplus = present[1:] + replaced
    else:
        new = New(
            "graphics",
            {"type": "dbus", "address": options.address},
            () if audio is None else (New("audio", {"id": audio}),),
        )
        surplus = replaced[1:]
        if replaced:
            document.replace(replaced[0], new)
        elif graphics:
            document.insert_after(graphics[-1], new)
        else:
            domain.add(new)
    for element in surplus:
        document.remove(element)
    if audio is None and domain.children("sound") and not domain.children("audio"):
        # with D-Bus as the only graphics libvirt finds no default for a sound card (facts: kubevirt 5)
        domain.add(New("audio", {"id": "1", "type": "none"}))


def _complete(document: Document, graphics: Element, address: str, audio: str | None) -> None:
    """Makes a `<graphics type='dbus'>` that may have lost everything what it should be."""
    document.remove_attribute(graphics, "p2p")  # libvirt: either p2p or an address
    document.set_attribute(graphics, "address", address)
    inner = list(graphics.named("audio"))
    if audio is not None:
        if inner:
            document.set_attribute(inner.pop(0), "id", audio)
        else:
            document.append(graphics, New("audio", {"id": audio}))
    for surplus in inner:
        document.remove(surplus)


def _offer_by_commandline(domain: Devices, options: RewriteOptions) -> None:
    for element in domain.children("graphics"):
        if element.attributes.get("type") == "dbus":
            domain.document.remove(element)
    audio = _dbus_audio(domain) if options.audio else None
    tunnels = arguments(
        domain.architecture, serial_console=bool(options.serial), clipboard=bool(options.clipboard)
    )
    commandline.offer_display(domain.document, options.address, audio, tunnels)


def _dbus_audio(domain: Devices) -> str:
    """The id of the `<audio>` that goes over the bus: one that does, one that led nowhere, or a new one.

    One that leads somewhere else (SPICE, the host's sound) is somebody's choice and stays.
    """
    present = domain.children("audio")
    for kind in ("dbus", "none"):
        for element in present:
            if element.attributes.get("type") == kind and "id" in element.attributes:
                domain.document.set_attribute(element, "type", "dbus")
                return element.attributes["id"]
    taken = {element.attributes.get("id", "").strip() for element in present}
    free = next(str(number) for number in range(1, len(taken) + 2) if str(number) not in taken)
    domain.add(New("audio", {"id": free, "type": "dbus"}))
    return free


def _offer_tunnels(domain: Devices, options: RewriteOptions) -> None:
    """Gives viewers' connections something to carry besides screen and sound."""
    if options.serial:
        offer_serial_console(domain)
    if options.clipboard:
        offer_clipboard(domain)
    if options.usb:
        offer_usb_slots(domain, options.usb)


def _add_video(domain: Devices) -> None:
    if domain.children("video"):
        return
    if domain.architecture in _VGA:
        # needs no driver in the guest; KubeVirt's own choice and size
        model = New("model", {"type": "vga", "heads": "1", "vram": "16384"})
    else:
        model = New("model", {"type": "virtio", "heads": "1"})
    domain.add(New("video", children=(model,)))


def _add_input(domain: Devices) -> None:
    types = {element.attributes.get("type") for element in domain.children("input")}
    bus = _input_bus(domain)
    if "tablet" not in types and not commandline.has_tablet(domain.document):
        domain.add(New("input", {"type": "tablet", "bus": bus}))
    if "keyboard" not in types and domain.architecture in _NO_KEYBOARD:
        domain.add(New("input", {"type": "keyboard", "bus": bus}))


def _input_bus(domain: Devices) -> str:
    """USB where there is a controller: every guest has a driver for it.

    KubeVirt switches USB off (model 'none') unless a device asks for it, and s390x has none: there only
    virtio works, which on s390x becomes virtio-ccw. A virtio tablet is idle until the guest's driver takes
    it, so a guest without that driver keeps its PS/2 mouse. Without any controller element libvirt adds one
    on x86 only.
    """
    controllers = [
        element for element in domain.children("controller") if element.attributes.get("type") == "usb"
    ]
    if any(element.attributes.get("model") != "none" for element in controllers):
        return "usb"
    return "usb" if not controllers and domain.architecture in _X86 else "virtio"
