"""What is asked of a rewrite, by options and by annotations of the VMI."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sidecar.bus_address import check_bus_address
from sidecar.domain.errors import DomainError
from sidecar.domain.vmi import Vmi
from sidecar.errors import UsageError

GRAPHICS_ANNOTATION: Final = "vdi-sidecar/graphics"
SCREEN_ANNOTATION: Final = "vdi-sidecar/screen"
AUDIO_ANNOTATION: Final = "vdi-sidecar/audio"
INPUT_ANNOTATION: Final = "vdi-sidecar/input"
SERIAL_ANNOTATION: Final = "vdi-sidecar/serial"
CLIPBOARD_ANNOTATION: Final = "vdi-sidecar/clipboard"
USB_ANNOTATION: Final = "vdi-sidecar/usb"

MAX_USB_SLOTS: Final = 8


class Graphics(StrEnum):
    """How the domain gets its D-Bus display."""

    REPLACE = "replace"
    """In place of VNC."""
    KEEP_VNC = "keep-vnc"
    """Beside VNC."""
    COMMANDLINE = "commandline"
    """Beside VNC, by `qemu:commandline`: the form that KubeVirt's plugins leave alone (facts: kubevirt 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteOptions:
    """What a rewrite does. None: not said, the VMI's annotation may say it, else the default holds.

    Raises UsageError for an address that is none.
    """

    address: str
    """D-Bus address of the bus, as QEMU reaches it."""
    graphics: Graphics | None = None
    """None: `replace`."""
    screen: bool | None = None
    """Whether a machine without graphics gets some. None: no."""
    audio: bool | None = None
    """Whether sound goes over the bus. None: yes, but not with `commandline`: plugins lose `<audio>`, and
    QEMU refuses to start without it ("Audiodev 'audio1' is not compatible with DBus")."""
    input: bool | None = None
    """Whether a missing absolute pointer (and keyboard) is added. None: yes."""

    serial: bool | None = None
    """Whether the guest gets a console for viewers. None: no."""
    clipboard: bool | None = None
    """Whether the guest's agent gets a channel for the clipboard. None: no."""
    usb: int | None = None
    """Slots for redirected USB devices, 0..MAX_USB_SLOTS; with `commandline` there are none. None: none."""

    def __post_init__(self) -> None:
        check_bus_address(self.address)
        if self.usb is not None and not 0 <= self.usb <= MAX_USB_SLOTS:
            raise UsageError(f"a machine can have 0 to {MAX_USB_SLOTS} slots for USB devices, not {self.usb}")


def options_from_vmi(vmi: Vmi, base: RewriteOptions) -> RewriteOptions:
    """`base`, with what it leaves open taken from the annotations of the VMI.

    Raises DomainError when one of them has a value that means nothing.
    """
    annotations = vmi.annotations

    def flag(name: str, said: bool | None) -> bool | None:
        return said if said is not None or name not in annotations else _flag(name, annotations[name])

    graphics = base.graphics
    if graphics is None and GRAPHICS_ANNOTATION in annotations:
        graphics = _graphics(annotations[GRAPHICS_ANNOTATION])
    usb = base.usb
    if usb is None and USB_ANNOTATION in annotations:
        usb = _slots(annotations[USB_ANNOTATION])
    return replace(
        base,
        graphics=graphics,
        screen=flag(SCREEN_ANNOTATION, base.screen),
        audio=flag(AUDIO_ANNOTATION, base.audio),
        input=flag(INPUT_ANNOTATION, base.input),
        serial=flag(SERIAL_ANNOTATION, base.serial),
        clipboard=flag(CLIPBOARD_ANNOTATION, base.clipboard),
        usb=usb,
    )


def _graphics(value: str) -> Graphics:
    if value in set(Graphics):
        return Graphics(value)
    raise DomainError(f"the annotation {GRAPHICS_ANNOTATION} must be one of {', '.join(Graphics)}")


def _slots(value: str) -> int:
    if value.isascii() and value.isdecimal() and len(value) <= 2 and int(value) <= MAX_USB_SLOTS:
        return int(value)
    raise DomainError(f'the annotation {USB_ANNOTATION} must be a number of slots, "0" to "{MAX_USB_SLOTS}"')


def _flag(name: str, value: str) -> bool:
    known = {"true": True, "false": False}
    if value.lower() in known:
        return known[value.lower()]
    raise DomainError(f'the annotation {name} must be "true" or "false"')
