"""What `vdi-sidecar doctor` has to say about one thing."""

from dataclasses import dataclass
from enum import StrEnum

from sidecar.problems import Problem


class Verdict(StrEnum):
    """How a check went. `warning` and `degraded` are those of `sidecar.problems.Severity`."""

    OK = "ok"
    OPTIONAL = "optional"
    """missing, and something is slower or not there without it"""
    WARNING = "warning"
    """it works, and somebody should look at it"""
    DEGRADED = "degraded"
    """something that was asked for does not work"""
    MISSING = "missing"


FAILURES = frozenset({Verdict.DEGRADED, Verdict.MISSING})
"""With one of these the command ends with 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found, and what to do if that is not all well."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def finding_of(problem: Problem) -> Finding:
    """A problem, under its code; its message says what to do as well."""
    return Finding(problem.code, Verdict(problem.severity.value), problem.message)
