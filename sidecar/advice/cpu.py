"""Whether the container has the processor time that pictures take."""

from typing import Final

from sidecar.advice.container import Limits
from sidecar.advice.memory import WHERE
from sidecar.problems import Problem, Severity

LIMIT: Final = "CpuLimit"

ENOUGH = 0.5
"""Processors; docs/doctor.md has what was measured. The kernel shares out a quota by periods of 100 ms: with
200m a picture that takes 20 ms to make uses up a whole period's."""


def check_cpu_limit(limits: Limits) -> Problem | None:
    """A limit that makes pictures slow."""
    if limits.cpus is None or limits.cpus >= ENOUGH:
        return None
    return Problem(
        LIMIT,
        Severity.WARNING,
        f"this container may use {limits.cpus * 1000:.0f}m of a processor, so pictures come late: set "
        f'limits: cpu: "1" {WHERE}',
    )
