"""QEMU's own arguments in a domain: `<qemu:commandline>`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sidecar.domain.document import Document, Element, New

NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"


@dataclass(frozen=True, slots=True)
class _DisplayArgument:
    """`-display` and what follows it."""

    option: Element
    value: Element


def offer_display(
    document: Document, address: str, audio_id: str | None, more: Sequence[Sequence[str]] = ()
) -> None:
    """Passes `-display dbus` with that bus, once. `audio_id`: of the `<audio>` to export; None: no sound.

    QEMU takes the last `-display`, and libvirt writes its own before these arguments, so this one holds.
    `more`: other options with their values in turn; each is passed unless one of its values is there.
    """
    value = f"dbus,addr={_escaped(address)}"
    if audio_id is not None:
        value += f",audiodev={_escaped(f'audio{audio_id}')}"
    present = _display_arguments(document)
    for surplus in present[1:]:
        _remove(document, surplus)
    if present:
        document.set_attribute(present[0].value, "value", value)
    there = {
        argument.attributes.get("value", "")
        for commandline in _commandlines(document)
        for argument in commandline.children
    }
    arguments = [] if present else ["-display", value]
    for option in more:
        if not there.intersection(option[1::2]):
            arguments += option
    _append(document, arguments)


def _append(document: Document, arguments: Sequence[str]) -> None:
    """Puts arguments behind those that are there."""
    if not arguments:
        return
    for commandline in _commandlines(document):
        for item in arguments:
            document.append(commandline, New(_named("arg", commandline.prefix), {"value": item}))
        return
    prefix = document.prefixes.get(NAMESPACE)
    declared = {} if prefix else {"xmlns:qemu": NAMESPACE}
    prefix = prefix or "qemu"
    made = tuple(New(_named("arg", prefix), {"value": item}) for item in arguments)
    document.append(document.root, New(_named("commandline", prefix), declared, made))


def withdraw_display(document: Document) -> None:
    """Takes every `-display dbus` away: it would win over the `<graphics>` of the domain."""
    for argument in _display_arguments(document):
        _remove(document, argument)


def has_display(document: Document) -> bool:
    """Whether an argument adds a D-Bus display."""
    return bool(_display_arguments(document))


def has_tablet(document: Document) -> bool:
    """Whether an argument adds a tablet (usb-tablet, virtio-tablet-pci, usb-wacom-tablet, …)."""
    return any(
        "-tablet" in argument.attributes.get("value", "")
        for commandline in _commandlines(document)
        for argument in commandline.children
    )


def _commandlines(document: Document) -> list[Element]:
    return list(document.root.named(f"{{{NAMESPACE}}}commandline"))


def _display_arguments(document: Document) -> list[_DisplayArgument]:
    found = []
    for commandline in _commandlines(document):
        arguments = list(commandline.named(f"{{{NAMESPACE}}}arg"))
        for option, value in pairwise(arguments):
            if (
                option.attributes.get("value") in ("-display", "--display")
                and value.attributes.get("value", "").split(",")[0] == "dbus"
            ):
                found.append(_DisplayArgument(option, value))
    return found


def _remove(document: Document, argument: _DisplayArgument) -> None:
    document.remove(argument.option)
    document.remove(argument.value)


def _named(name: str, prefix: str) -> str:
    return f"{prefix}:{name}" if prefix else name


def _escaped(value: str) -> str:
    """In QEMU's option syntax a comma in a value is written twice."""
    return value.replace(",", ",,")
