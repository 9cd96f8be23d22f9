"""What is asked of a rewrite, by options and by annotations of the VMI."""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sidecar.domain.bus import check_address
from sidecar.domain.errors import DomainError

MAX_VMI_SIZE = 2 * 1024 * 1024
"""Bytes; etcd keeps no object of more than 1.5 MiB."""

GRAPHICS_ANNOTATION: Final = "vdi-sidecar/graphics"
SCREEN_ANNOTATION: Final = "vdi-sidecar/screen"
AUDIO_ANNOTATION: Final = "vdi-sidecar/audio"
INPUT_ANNOTATION: Final = "vdi-sidecar/input"


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

    def __post_init__(self) -> None:
        check_address(self.address)


def options_from_vmi(vmi_json: bytes, base: RewriteOptions) -> RewriteOptions:
    """`base`, with what it leaves open taken from the annotations of the VMI (JSON).

    Raises DomainError when the VMI cannot be read or an annotation has a value that means nothing.
    """
    annotations = _annotations(vmi_json)

    def flag(name: str, said: bool | None) -> bool | None:
        return said if said is not None or name not in annotations else _flag(name, annotations[name])

    graphics = base.graphics
    if graphics is None and GRAPHICS_ANNOTATION in annotations:
        graphics = _graphics(annotations[GRAPHICS_ANNOTATION])
    return replace(
        base,
        graphics=graphics,
        screen=flag(SCREEN_ANNOTATION, base.screen),
        audio=flag(AUDIO_ANNOTATION, base.audio),
        input=flag(INPUT_ANNOTATION, base.input),
    )


def _annotations(vmi_json: bytes) -> dict[str, Any]:
    if len(vmi_json) > MAX_VMI_SIZE:
        raise DomainError(
            f"the VMI is {len(vmi_json)} bytes long, more than the {MAX_VMI_SIZE} that are taken"
        )
    try:
        vmi = json.loads(vmi_json)
    except RecursionError as error:
        raise DomainError("the VMI is nested too deep") from error
    except ValueError as error:
        raise DomainError(f"the VMI is not JSON: {error}") from error
    metadata = vmi.get("metadata") if isinstance(vmi, dict) else None
    if not isinstance(metadata, dict):
        raise DomainError("the VMI has no metadata: a VirtualMachineInstance as JSON is expected")
    annotations = metadata.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict):
        raise DomainError("the VMI's annotations are not an object")
    return annotations


def _graphics(value: object) -> Graphics:
    if isinstance(value, str) and value in set(Graphics):
        return Graphics(value)
    raise DomainError(f"the annotation {GRAPHICS_ANNOTATION} must be one of {', '.join(Graphics)}")


def _flag(name: str, value: object) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise DomainError(f'the annotation {name} must be "true" or "false"')
