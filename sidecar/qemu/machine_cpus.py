"""How many processors a guest has, and how it gets more or fewer.

A processor is plugged in at once, and unplugged when the guest lets go of it, if it does.
Source: QEMU docs/system/cpu-hotplug.rst, qapi/machine.json (query-hotpluggable-cpus), qapi/qdev.json
(device_del, DEVICE_UNPLUG_GUEST_ERROR), qapi/acpi.json (ACPI_DEVICE_OST).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.machine import MachineRefused
from sidecar.qemu.errors import ConnectionLost, QmpRefused
from sidecar.qemu.machine_answers import ask, mapping, mappings, number, text
from sidecar.qemu.qmp import Qmp

UNPLUG_TIME: Final = 30.0
"""Seconds that a guest has to let go of one processor."""

UNCHANGEABLE: Final = (
    "the machine's processors cannot be changed: it was not started with room for more (-smp 2,maxcpus=8)"
)

PAUSE: Final = 0.2
"""Seconds between looks whether it has."""

_TOPOLOGY: Final = (
    *("drawer-id", "book-id", "socket-id", "die-id", "cluster-id", "module-id", "core-id", "thread-id"),
)
"""From the outermost to the innermost."""

_EJECTION: Final = (3, 0x103)
"""Sources of an ACPI_DEVICE_OST that are about ejecting (ACPI 6.5, table 6.29)."""

_EJECTING: Final = 0x84
"""Its status for an ejection in progress (ACPI 6.5, table 6.31)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place for one processor, or for some that come and go together. `path`: who is there; empty: none."""

    driver: str
    count: int
    properties: Mapping[str, Any]
    path: str = ""

    @property
    def order(self) -> tuple[int, ...]:
        """Where it is among the others."""
        return tuple(number(self.properties.get(name)) or 0 for name in _TOPOLOGY)


@dataclass(frozen=True, slots=True)
class Processors:
    """`places`: in their order; empty where the machine has no such thing, but `fixed` processors."""

    places: tuple[Place, ...] = ()
    fixed: int | None = None

    @property
    def now(self) -> int | None:
        """How many there are; None: not known."""
        return sum(place.count for place in self.places if place.path) if self.places else self.fixed

    @property
    def most(self) -> int | None:
        """How many there can be."""
        return sum(place.count for place in self.places) if self.places else self.fixed

    @property
    def unchangeable(self) -> str | None:
        """Why there is no other number, or None."""
        return None if len(self.places) > 1 else UNCHANGEABLE


async def processors(qmp: Qmp) -> Processors:
    """As they are now. Raises ConnectionLost."""
    places = [
        Place(text(each.get("type")), count, mapping(each.get("props")), text(each.get("qom-path")))
        for each in mappings(await ask(qmp, "query-hotpluggable-cpus"))
        if (count := number(each.get("vcpus-count")))
    ]
    if places:
        return Processors(tuple(sorted(places, key=lambda place: place.order)))
    running = await ask(qmp, "query-cpus-fast")
    return Processors(fixed=len(running) if isinstance(running, list) else None)


def places_to_change(processors: Processors, count: int) -> tuple[Place, ...]:
    """The places to fill, or to clear in this order, for `count` processors. Raises MachineRefused."""
    now, most = processors.now or 0, processors.most or 0
    if not 1 <= count <= most:
        raise MachineRefused(f"the machine can have from 1 to {most} processors, not {count}")
    if count > now:
        candidates = [place for place in processors.places if not place.path]
    else:
        # never the first one, which no guest can do without; those that were plugged in before the others
        later = [place for place in processors.places[1:] if place.path]
        candidates = sorted(later, key=lambda place: (_was_plugged_in(place), place.order), reverse=True)
    missing = abs(count - now)
    chosen = []
    for place in candidates:
        if missing <= 0:
            break
        chosen.append(place)
        missing -= place.count
    if missing:
        raise MachineRefused(
            f"the machine's processors come and go {candidates[0].count if candidates else now} at a time; "
            f"it has {now}"
        )
    return tuple(chosen)


def _was_plugged_in(place: Place) -> bool:
    return place.path.startswith(("/machine/peripheral/", "/machine/peripheral-anon/"))


async def plug_in(qmp: Qmp, places: Sequence[Place], unplug_time: float = UNPLUG_TIME) -> None:
    """Fills the places, or none of them. Raises MachineRefused, ConnectionLost."""
    filled: list[Place] = []
    try:
        for place in places:
            await qmp.execute("device_add", {"driver": place.driver, **place.properties})
            filled.append(place)
    except BaseException as error:
        kept = await _clear_again(qmp, filled, unplug_time)
        if isinstance(error, QmpRefused):
            raise MachineRefused(f"{error}{kept}") from error
        raise


async def unplug(qmp: Qmp, places: Sequence[Place], unplug_time: float = UNPLUG_TIME) -> None:
    """Clears the places, one after the other, or fills them again. Raises MachineRefused, ConnectionLost."""
    cleared: list[Place] = []
    try:
        for place in places:
            await _unplug_one(qmp, place, unplug_time)
            cleared.append(place)
    except BaseException as error:
        kept = await _fill_again(qmp, cleared)
        if isinstance(error, QmpRefused | MachineRefused):
            raise MachineRefused(f"{error}{kept}") from error
        raise


async def _unplug_one(qmp: Qmp, place: Place, within: float) -> None:
    """Asks the guest to let go of the processor, and waits until it has."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    with qmp.event(lambda event, data: _was_refused(event, data, place.path)) as refused:
        await qmp.execute("device_del", {"id": place.path})
        # not by DEVICE_DELETED: with TCG QEMU keeps the remains of a processor, and never says so
        while await _is_there(qmp, place):
            if refused.done():
                refused.result()
                raise MachineRefused("the guest does not let go of a processor")
            if loop.time() >= end:
                raise MachineRefused(
                    f"the guest has not let go of a processor within {within:g} s; it may still do so later"
                )
            await asyncio.wait([refused], timeout=PAUSE)


async def _is_there(qmp: Qmp, place: Place) -> bool:
    return any(each.path for each in (await processors(qmp)).places if each.order == place.order)


def _was_refused(event: str, data: Mapping[str, Any], path: str) -> bool:
    if event == "DEVICE_UNPLUG_GUEST_ERROR":
        return data.get("path") == path
    # which processor it is about is not told of those without an id; one at a time is asked for
    told = mapping(data.get("info"))
    return (
        event == "ACPI_DEVICE_OST"
        and told.get("slot-type") == "CPU"
        and told.get("source") in _EJECTION
        and told.get("status") not in (0, _EJECTING)
    )


async def _clear_again(qmp: Qmp, filled: Sequence[Place], unplug_time: float) -> str:
    """Takes back what `plug_in` did; what to say where that was not possible."""
    if not filled:
        return ""
    try:
        now = {place.order: place for place in (await processors(qmp)).places}
        for place in reversed(filled):
            await _unplug_one(qmp, now[place.order], unplug_time)
    except (QmpRefused, MachineRefused, ConnectionLost) as error:
        return f"; and some of the processors that came before that stay: {error}"
    return ""


async def _fill_again(qmp: Qmp, cleared: Sequence[Place]) -> str:
    """Takes back what `unplug` did; what to say where that was not possible."""
    try:
        for place in cleared:
            await qmp.execute("device_add", {"driver": place.driver, **place.properties})
    except (QmpRefused, ConnectionLost) as error:
        return f"; and some of the processors that went before that could not be brought back: {error}"
    return ""
