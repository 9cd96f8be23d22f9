"""What QEMU's monitor answers, taken for what it can be: nothing in it is believed unseen."""

from typing import Any, Final

from sidecar.qemu.errors import QmpRefused
from sidecar.qemu.qmp import Qmp

LONGEST_TEXT: Final = 512
"""Characters of a name that are told; longer ones are cut."""

MOST_ITEMS: Final = 1024
"""Entries of a list that are looked at."""


async def ask(qmp: Qmp, command: str, **arguments: Any) -> Any:
    """What a command returns; None where this QEMU does not know it, or has nothing to say.

    Raises ConnectionLost.
    """
    try:
        return await qmp.execute(command, arguments)
    except QmpRefused:
        return None


async def get(qmp: Qmp, path: str, name: str) -> Any:
    """A property of an object, or None. Raises ConnectionLost."""
    return await ask(qmp, "qom-get", path=path, property=name)


def mapping(value: object) -> dict[str, Any]:
    """`value`, or nothing."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """Those in the list `value` that are mappings."""
    return [each for each in value[:MOST_ITEMS] if isinstance(each, dict)] if isinstance(value, list) else []


def number(value: object) -> int | None:
    """`value`, if it is a number that can be a size or a count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def text(value: object) -> str:
    """`value`, or an empty text."""
    return value[:LONGEST_TEXT] if isinstance(value, str) else ""
