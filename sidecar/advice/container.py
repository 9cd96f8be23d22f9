"""What the container may use and uses: the files of its cgroup, version 2 or 1.

In a container they lie at the root of /sys/fs/cgroup. Each is read with a bound; one that is missing or holds
something else says nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")

LONGEST = 64 * 1024
"""Bytes of a file that are read; memory.stat has some 2000."""
UNLIMITED = 1 << 60
"""Bytes; version 1 writes "no limit" as the highest multiple of a page below 2**63."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit, or none that can be read."""

    memory: int | None
    """Bytes."""
    cpus: float | None
    """Processors; 0.2 is Kubernetes' 200m."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """None: cannot be read."""

    used: int | None
    """Bytes that count against the limit, without pages of files that the kernel can drop at once."""
    killed: int | None
    """Processes that the kernel has ended for want of memory."""


def read_limits(cgroup: Path = CGROUP) -> Limits:
    """The limits of the cgroup that is mounted there."""
    if _is_version_2(cgroup):
        memory = _number(cgroup / "memory.max")
        quota, _, period = _read(cgroup / "cpu.max").strip().partition(" ")
    else:
        memory = _number(cgroup / "memory/memory.limit_in_bytes")
        quota, period = (_read(cgroup / f"cpu/cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    if memory is not None and memory >= UNLIMITED:
        memory = None
    # no limit is "max" or "-1"
    limited = _is_number(quota) and _is_number(period) and int(period) > 0
    return Limits(memory, int(quota) / int(period) if limited else None)


def read_memory_use(cgroup: Path = CGROUP) -> MemoryUse:
    """What is used at this moment."""
    if _is_version_2(cgroup):
        usage = _number(cgroup / "memory.current")
        idle = _field(cgroup / "memory.stat", "inactive_file")
        killed = _field(cgroup / "memory.events", "oom_kill")
    else:
        usage = _number(cgroup / "memory/memory.usage_in_bytes")
        idle = _field(cgroup / "memory/memory.stat", "total_inactive_file")
        killed = _field(cgroup / "memory/memory.oom_control", "oom_kill")
    return MemoryUse(None if usage is None else max(0, usage - (idle or 0)), killed)


ReadLimits = Callable[[], Limits]
ReadMemoryUse = Callable[[], MemoryUse]


def _is_version_2(cgroup: Path) -> bool:
    return (cgroup / "cgroup.controllers").exists()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode("ascii", "replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if _is_number(text) else None


def _field(path: Path, name: str) -> int | None:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and _is_number(value):
            return int(value)
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20
