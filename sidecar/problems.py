"""What is wrong although the daemon runs: found by many rooms, told in the log, the status and `doctor`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sidecar.log import get_logger
from sidecar.observers import Observers

log = get_logger(__name__)


class Severity(StrEnum):
    """How bad a problem is."""

    WARNING = "warning"
    """people can work, and somebody should look at it"""
    DEGRADED = "degraded"
    """something that was asked for does not work"""


@dataclass(frozen=True, slots=True)
class Problem:
    """`code`: one word in CamelCase, which programs may compare. `message`: one line that says what to do."""

    code: str
    severity: Severity
    message: str


class Problems:
    """The problems of this moment, one for each code. Belongs to the main loop."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}
        self.changes: Observers[[]] = Observers()
        """Called at once when a problem has come, gone or got another message."""

    def found(self, problem: Problem) -> None:
        """Takes note of a problem, in place of an older one of its code; says so in the log, once."""
        if self._problems.get(problem.code) == problem:
            return
        self._problems[problem.code] = problem
        log.warning("problem", code=problem.code, severity=problem.severity.value, cause=problem.message)
        self.changes.notify()

    def gone(self, code: str) -> None:
        """Takes a problem back; nothing happens if it is not there."""
        if self._problems.pop(code, None) is not None:
            log.info("problem gone", code=code)
            self.changes.notify()

    def looked(self, codes: Iterable[str], found: Iterable[Problem]) -> None:
        """Somebody has looked for the problems of `codes`: those in `found` are there, the others are not."""
        there = {problem.code: problem for problem in found}
        for code in sorted(set(codes) - set(there)):
            self.gone(code)
        for problem in there.values():
            self.found(problem)

    @property
    def health(self) -> str:
        """`ok`, or the severity of the worst problem."""
        severities = {problem.severity for problem in self._problems.values()}
        for severity in (Severity.DEGRADED, Severity.WARNING):
            if severity in severities:
                return severity.value
        return "ok"

    def __iter__(self) -> Iterator[Problem]:
        return iter(list(self._problems.values()))
