"""The process's own figures, from proc(5), under the names that every Prometheus library gives them."""

import os
import resource
from pathlib import Path

from sidecar.report.exposition import Family, single

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_families(proc: Path = Path("/proc")) -> list[Family]:
    """CPU time, memory, start and file descriptors of this process; nothing where /proc cannot be read."""
    try:
        # the name may have blanks and brackets in it: what counts begins after the last bracket
        fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
        boot = _boot_time((proc / "stat").read_text())
        descriptors = len(os.listdir(proc / "self/fd"))
        # from field 3 on: utime is 14, stime 15, starttime 22, vsize 23, rss 24
        cpu, start = (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[19]) / _TICKS
        virtual, resident = int(fields[20]), int(fields[21]) * _PAGE
    except (OSError, ValueError, IndexError):
        return []
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        single(
            "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", cpu
        ),
        single("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident),
        single("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", virtual),
        single(
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            boot + start,
        ),
        single("process_open_fds", "gauge", "Number of open file descriptors.", descriptors),
        single("process_max_fds", "gauge", "Maximum number of open file descriptors.", limit),
    ]


def _boot_time(stat: str) -> int:
    for line in stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "btime":
            return int(value)
    raise ValueError("no boot time")
