"""What is wrong although the daemon runs."""

from sidecar.problems import Problem, Problems, Severity

WARNING = Problem("MemoryLimit", Severity.WARNING, "give it more memory")
DEGRADED = Problem("BusEnded", Severity.DEGRADED, "start the machine again")


def test_health_is_the_worst_of_the_problems() -> None:
    problems = Problems()
    assert problems.health == "ok"
    problems.found(WARNING)
    assert problems.health == "warning"
    problems.found(DEGRADED)
    assert problems.health == "degraded"
    problems.gone("BusEnded")
    assert problems.health == "warning"
    problems.gone("MemoryLimit")
    assert problems.health == "ok"


def test_observers_hear_of_each_change_once() -> None:
    problems, heard = Problems(), []
    problems.changes.subscribe(lambda: heard.append([each.code for each in problems]))
    problems.gone("MemoryLimit")
    problems.found(WARNING)
    problems.found(WARNING)
    problems.found(Problem("MemoryLimit", Severity.WARNING, "give it much more memory"))
    problems.gone("MemoryLimit")
    problems.gone("MemoryLimit")
    assert heard == [["MemoryLimit"], ["MemoryLimit"], []]


def test_a_newer_problem_takes_the_place_of_an_older_one_of_its_code() -> None:
    problems = Problems()
    problems.found(WARNING)
    problems.found(Problem("MemoryLimit", Severity.DEGRADED, "it was killed"))
    assert [each.message for each in problems] == ["it was killed"]


def test_who_has_looked_says_what_is_there_and_what_is_not() -> None:
    problems = Problems()
    problems.found(DEGRADED)
    problems.looked(("MemoryLimit", "CpuLimit"), [WARNING])
    assert sorted(each.code for each in problems) == ["BusEnded", "MemoryLimit"]
    problems.looked(("MemoryLimit", "CpuLimit"), [])
    assert [each.code for each in problems] == ["BusEnded"]
