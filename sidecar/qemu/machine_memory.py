"""How much memory a guest has, and the steps that lead to another amount.

Below what is plugged in, a balloon in the guest takes memory away and gives it back; above that, virtio-mem
devices grow, and then a DIMM is plugged in. DIMMs stay: guests rarely let go of one.
Source: QEMU qapi/machine.json (query-balloon, query-memory-devices), docs/memory-hotplug.txt,
hw/virtio/virtio-mem.c.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sidecar.machine import MachineRefused
from sidecar.qemu.errors import ConnectionLost, QmpRefused
from sidecar.qemu.machine_answers import ask, get, mapping, mappings, number, text
from sidecar.qemu.qmp import Qmp

MEBIBYTE: Final = 1024 * 1024

LEAST: Final = 16 * MEBIBYTE
"""Bytes that a balloon leaves: no guest lives with less."""

DIMM_STEP: Final = 128 * MEBIBYTE
"""Bytes that a DIMM is a multiple of: Linux takes memory into use in such blocks (x86, below 64 GiB)."""

UNCHANGEABLE: Final = (
    "the machine's memory cannot be changed: it has neither a balloon (-device virtio-balloon-pci) nor "
    "room for memory devices (-m 2G,slots=4,maxmem=8G)"
)


@dataclass(frozen=True, slots=True)
class Resizable:
    """One virtio-mem device. `size`: what the guest has taken of it, `requested`: what it was offered."""

    path: str
    size: int
    requested: int
    block: int
    most: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `plugged`: from the start and as DIMMs; `balloon`: what the guest has of that, None: no balloon.

    `slots`: free ones for DIMMs; `room`: the largest DIMM that could be plugged in; `names`: those that are
    taken.
    """

    plugged: int
    balloon: int | None = None
    resizable: tuple[Resizable, ...] = ()
    slots: int = 0
    room: int = 0
    names: frozenset[str] = frozenset()

    @property
    def now(self) -> int:
        """What the guest has."""
        given = self.plugged if self.balloon is None else self.balloon
        return given + sum(device.size for device in self.resizable)

    @property
    def most(self) -> int:
        """What it can have."""
        return self.plugged + sum(device.most for device in self.resizable) + self.room

    @property
    def least(self) -> int:
        """What it can be brought down to."""
        return self.plugged if self.balloon is None else min(LEAST, self.plugged)

    @property
    def unchangeable(self) -> str | None:
        """Why there is no other amount, or None."""
        return UNCHANGEABLE if self.least == self.most else None


class Step(Protocol):
    """One thing that is done, in whole or not at all, and can be taken back."""

    async def do(self, qmp: Qmp) -> None:
        """Raises QmpRefused, ConnectionLost."""
        ...

    async def undo(self, qmp: Qmp) -> None:
        """Raises QmpRefused, ConnectionLost."""
        ...


@dataclass(frozen=True, slots=True)
class Inflate:
    """Has the balloon leave the guest `to` bytes; `before`: what it has."""

    to: int
    before: int

    async def do(self, qmp: Qmp) -> None:
        """See `Step.do`; the guest follows at its own pace."""
        await qmp.execute("balloon", {"value": self.to})

    async def undo(self, qmp: Qmp) -> None:
        """See `Step.undo`."""
        await qmp.execute("balloon", {"value": self.before})


@dataclass(frozen=True, slots=True)
class Resize:
    """Offers the guest `to` bytes of the virtio-mem device at `path`; `before`: the offer that stands."""

    path: str
    to: int
    before: int

    async def do(self, qmp: Qmp) -> None:
        """See `Step.do`; the guest follows at its own pace."""
        await self._request(qmp, self.to)

    async def undo(self, qmp: Qmp) -> None:
        """See `Step.undo`."""
        await self._request(qmp, self.before)

    async def _request(self, qmp: Qmp, size: int) -> None:
        await qmp.execute("qom-set", {"path": self.path, "property": "requested-size", "value": size})


@dataclass(frozen=True, slots=True)
class PlugIn:
    """Plugs in a DIMM of `size` bytes called `name`."""

    name: str
    size: int

    async def do(self, qmp: Qmp) -> None:
        """See `Step.do`."""
        memory = f"{self.name}-memory"
        await qmp.execute("object-add", {"qom-type": "memory-backend-ram", "id": memory, "size": self.size})
        try:
            await qmp.execute("device_add", {"driver": "pc-dimm", "id": self.name, "memdev": memory})
        except BaseException:
            # refused too where it was plugged in, and nobody waited for the answer
            with suppress(QmpRefused, ConnectionLost):
                await qmp.execute("object-del", {"id": memory})
            raise

    async def undo(self, qmp: Qmp) -> None:
        """Asks the guest to let go of it, which may take its time."""
        await qmp.execute("device_del", {"id": self.name})


async def memory(qmp: Qmp) -> Memory:
    """As it is now. Raises ConnectionLost."""
    sizes = mapping(await get(qmp, "/machine", "memory"))
    summary = mapping(await ask(qmp, "query-memory-size-summary"))
    balloon = number(mapping(await ask(qmp, "query-balloon")).get("actual"))
    devices = mappings(await ask(qmp, "query-memory-devices"))
    names = [
        text(each.get("name"))
        for path in ("/objects", "/machine/peripheral")
        for each in mappings(await ask(qmp, "qom-list", path=path))
    ]
    base = number(summary.get("base-memory")) or number(sizes.get("size")) or 0
    return _memory(base, balloon, devices, sizes, names)


def _memory(
    base: int,
    balloon: int | None,
    devices: Iterable[dict[str, Any]],
    sizes: dict[str, Any],
    names: Iterable[str],
) -> Memory:
    plugged, used_slots, used_room = base, 0, 0
    resizable = []
    for device in devices:
        kind, data = device.get("type"), mapping(device.get("data"))
        size = number(data.get("size")) or 0
        if kind == "virtio-mem":
            used_room += number(data.get("max-size")) or 0
            if name := text(data.get("id")):
                resizable.append(_resizable(name, size, data))
            continue
        used_room += size
        if kind in ("dimm", "nvdimm"):
            used_slots += 1
        if kind == "dimm":
            plugged += size
    slots = max(0, (number(sizes.get("slots")) or 0) - used_slots)
    room = max(0, (number(sizes.get("max-size")) or 0) - base - used_room) // DIMM_STEP * DIMM_STEP
    return Memory(
        plugged=plugged,
        balloon=balloon,
        resizable=tuple(resizable),
        slots=slots,
        room=room if slots else 0,
        names=frozenset(names),
    )


def _resizable(name: str, size: int, data: dict[str, Any]) -> Resizable:
    return Resizable(
        path=f"/machine/peripheral/{name}",
        size=size,
        requested=number(data.get("requested-size")) or 0,
        block=max(1, number(data.get("block-size")) or 1),
        most=number(data.get("max-size")) or 0,
    )


def steps_to(memory: Memory, size: int) -> tuple[Step, ...]:
    """What leads to `size` bytes; nothing, where that is what was asked for last. Raises MachineRefused.

    What cannot be taken back at once is done last.
    """
    if not memory.least <= size <= memory.most:
        raise MachineRefused(
            f"the machine can have from {mebibytes(memory.least)} to {mebibytes(memory.most)} of memory, "
            f"not {mebibytes(size)}"
        )
    steps: list[Step] = []
    rest = max(0, size - memory.plugged)
    for device in memory.resizable:
        to = min(rest, device.most) // device.block * device.block
        rest -= to
        if to != device.requested:
            steps.append(Resize(device.path, to, device.requested))
    if memory.balloon is not None:
        # also where it has that much: it may be on its way to another amount
        steps.append(Inflate(min(size, memory.plugged), memory.balloon))
    if rest:
        if rest % DIMM_STEP or not memory.room:
            raise MachineRefused(_odd(memory, size, rest))
        steps.append(PlugIn(_free_name(memory.names), rest))
    return tuple(steps)


def _odd(memory: Memory, size: int, rest: int) -> str:
    """What to ask for instead; `rest`: what is left of `size` after what virtio-mem devices take of it."""
    resizable = sum(device.most for device in memory.resizable)
    if size - memory.plugged < resizable:
        step = min(device.block for device in memory.resizable)
    else:
        step = DIMM_STEP if memory.room else 0
    below = size - (rest % step if step else rest)
    above = f" or {mebibytes(below + step)}" if below + step <= memory.most and step else ""
    return f"the machine cannot have exactly {mebibytes(size)} of memory: ask for {mebibytes(below)}{above}"


def _free_name(names: frozenset[str]) -> str:
    number = 0
    while f"vdi-dimm{number}" in names or f"vdi-dimm{number}-memory" in names:
        number += 1
    return f"vdi-dimm{number}"


def mebibytes(size: int) -> str:
    """A size, for people."""
    return f"{size // MEBIBYTE} MiB" if size % MEBIBYTE == 0 else f"{size} bytes"


async def do_all(qmp: Qmp, steps: Sequence[Step]) -> None:
    """Does the steps, or takes back what was done of them. Raises MachineRefused, ConnectionLost."""
    begun: list[Step] = []
    try:
        for step in steps:
            begun.append(step)
            await step.do(qmp)
    except QmpRefused as error:
        raise MachineRefused(f"{error}{await _take_back(qmp, begun[:-1])}") from error
    except BaseException:
        await _take_back(qmp, begun)
        raise


async def _take_back(qmp: Qmp, steps: Sequence[Step]) -> str:
    """Undoes what it can; what to say of the rest."""
    kept = ""
    for step in reversed(steps):
        try:
            await step.undo(qmp)
        except (QmpRefused, ConnectionLost) as error:
            kept = f"; and what was done before that could not be taken back: {error}"
    return kept
