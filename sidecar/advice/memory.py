"""Whether the container has the memory that it needs. Figures: `./dev bench hook_memory`."""

from typing import Final

from sidecar.advice.container import Limits, MemoryUse
from sidecar.problems import Problem, Severity

LIMIT: Final = "MemoryLimit"
NEARLY_FULL: Final = "MemoryNearlyFull"
KILLED: Final = "OutOfMemory"

MIB = 1024 * 1024
IDLE = 68 * MIB
"""RSS of the hook without a machine, 64, and its dbus-daemon. Half of it are pages of libraries, which count
for the first container of a node that touches them, and for the others not."""
BYTES_PER_PIXEL = 10
"""Of what a viewer of a still picture adds, for each pixel of the screen."""
MOTION = 18 * MIB
"""What the encoders take more for pictures that move."""
RDP = 24 * MIB
"""The libraries, an NLA login, the channels of a few clients."""
H264 = 20 * MIB
"""PyAV and x264."""
H264_BYTES_PER_PIXEL = 19
"""Of a stream."""
USUAL_PIXELS = 1920 * 1080
"""The screen that is reckoned with before a guest has chosen one."""

FULL, ROOMY = 0.9, 0.8
"""Parts of the limit: above the first it is nearly full, and below the second not any more."""

WHERE = "in spec.configuration.supportContainerResources (type: sidecar) of the KubeVirt object"


def needed_memory(pixels: int, *, rdp: bool, h264: bool) -> int:
    """Bytes that it takes with viewers of a screen, or screens, of so many pixels.

    `h264`: whether RDP clients can be sent H.264, for which PyAV must be installed.
    """
    needed = IDLE + MOTION + BYTES_PER_PIXEL * pixels
    if rdp:
        needed += RDP
    if rdp and h264:
        needed += H264 + H264_BYTES_PER_PIXEL * pixels
    return needed


def recommended_limit(needed: int) -> int:
    """MiB to write down: a quarter more, in steps of 64."""
    return -(-needed * 5 // 4 // (64 * MIB)) * 64


def check_memory_limit(limits: Limits, needed: int) -> Problem | None:
    """A limit below `needed` bytes."""
    if limits.memory is None or limits.memory >= needed:
        return None
    return Problem(
        LIMIT,
        Severity.WARNING,
        f"this container may use {limits.memory // MIB} MiB of memory and needs some {needed // MIB} MiB, "
        f"or the kernel ends it: set limits: memory: {recommended_limit(needed)}Mi {WHERE}",
    )


def check_memory_use(limits: Limits, use: MemoryUse, needed: int, *, was_full: bool) -> Problem | None:
    """Use close to the limit. `was_full`: whether it was at the last look, so that it does not flicker."""
    if limits.memory is None or use.used is None:
        return None
    if use.used < limits.memory * (ROOMY if was_full else FULL):
        return None
    more = max(recommended_limit(needed), recommended_limit(limits.memory))
    # no figure of this moment: the text must stay the same while the problem lasts
    return Problem(
        NEARLY_FULL,
        Severity.WARNING,
        f"this container uses nearly all of the {limits.memory // MIB} MiB of memory that it may use, beyond "
        f"which the kernel ends it: end sessions, or set limits: memory: {more}Mi {WHERE}",
    )


def check_memory_killed(limits: Limits, use: MemoryUse, needed: int) -> Problem | None:
    """Processes of this container that the kernel has ended already."""
    if not use.killed:
        return None
    more = recommended_limit(max(needed, limits.memory or 0))
    times = "a process" if use.killed == 1 else f"{use.killed} processes"
    return Problem(
        KILLED,
        Severity.DEGRADED,
        f"the kernel has ended {times} of this container for want of memory: set limits: memory: {more}Mi "
        f"{WHERE}",
    )
