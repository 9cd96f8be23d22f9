"""The sidecar's own entry in KubeVirt's annotation hooks.kubevirt.io/hookSidecars."""

import json
from dataclasses import dataclass
from typing import Any, Final

from sidecar.domain.errors import DomainError
from sidecar.domain.vmi import Vmi

ANNOTATION: Final = "hooks.kubevirt.io/hookSidecars"
PROGRAM: Final = "vdi-sidecar"
COMMAND: Final = "hook"


@dataclass(frozen=True, slots=True)
class HookSidecar:
    """`index`: its place, by which its container is named hook-sidecar-<index>. `arguments`: what follows
    `vdi-sidecar hook`."""

    index: int
    image: str
    arguments: tuple[str, ...]

    @property
    def container(self) -> str:
        """The container's name in the pod."""
        return f"hook-sidecar-{self.index}"


def find_hook_sidecar(vmi: Vmi) -> HookSidecar | None:
    """The first entry whose command, or whose image, is called vdi-sidecar. None: there is no such entry.

    Raises DomainError when the annotation is not what KubeVirt takes.
    """
    text = vmi.annotations.get(ANNOTATION)
    if not text:
        return None
    try:
        entries = json.loads(text)
    except RecursionError as error:
        raise DomainError(f"the annotation {ANNOTATION} is nested too deep") from error
    except ValueError as error:
        raise DomainError(f"the annotation {ANNOTATION} is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise DomainError(f"the annotation {ANNOTATION} must be a list of objects")
    for index, entry in enumerate(entries):
        words = (*_words(entry, "command"), *_words(entry, "args"))
        image = entry.get("image")
        image = image if isinstance(image, str) else ""
        place = next((at for at, word in enumerate(words) if word.rpartition("/")[2] == PROGRAM), None)
        if place is not None:
            return HookSidecar(index, image, _after_command(words[place + 1 :]))
        if PROGRAM in image:
            # its entry point comes before the arguments
            return HookSidecar(index, image, _after_command(words))
    return None


def _words(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    words = entry.get(key) or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DomainError(f"{key} in the annotation {ANNOTATION} must be a list of texts")
    return tuple(words)


def _after_command(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[1:] if words[:1] == (COMMAND,) else words
