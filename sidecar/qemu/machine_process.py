"""Since when a QEMU runs, as far as it can be known: its monitor does not tell."""

import os
import time
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

QEMU_NAMES: Final = ("qemu",)
"""What the names of QEMU's processes begin with: qemu-system-x86, qemu-kvm."""


def running_for(process: int) -> float | None:
    """Seconds since the process `process` was started; None unless it can be seen to be a QEMU.

    Who started QEMU may have made the monitor's socket for it, as libvirt does, and is who listens then.
    Source: proc(5), /proc/PID/stat, fields 2 (name) and 22 (start, in clock ticks since the system's).
    """
    if process <= 0:
        return None
    try:
        stat = (PROC / str(process) / "stat").read_text(errors="replace")
        name, _, rest = stat.partition("(")[2].rpartition(")")
        started = int(rest.split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    if not name.startswith(QEMU_NAMES):
        return None
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
