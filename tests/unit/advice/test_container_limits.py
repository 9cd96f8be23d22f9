"""The container's limits, from files as the kernel writes them, and what they are worth."""

from pathlib import Path

import pytest

from sidecar.advice.container import Limits, MemoryUse, read_limits, read_memory_use
from sidecar.advice.cpu import check_cpu_limit
from sidecar.advice.memory import (
    MIB,
    USUAL_PIXELS,
    check_memory_killed,
    check_memory_limit,
    check_memory_use,
    needed_memory,
    recommended_limit,
)

NEEDED = needed_memory(USUAL_PIXELS, rdp=False, h264=False)


def version_2(root: Path, **files: str) -> Path:
    (root / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in files.items():
        (root / name.replace("_", ".", 1)).write_text(text)
    return root


def version_1(root: Path, **files: str) -> Path:
    for room in ("memory", "cpu"):
        (root / room).mkdir()
    for name, text in files.items():
        room, _, rest = name.partition("_")
        (root / room / f"{room}.{rest}").write_text(text)
    return root


@pytest.mark.parametrize(
    ("memory", "cpu", "limits"),
    [
        ("64000000\n", "20000 100000\n", Limits(64_000_000, 0.2)),
        ("max\n", "max 100000\n", Limits(None, None)),
        ("268435456\n", "150000 100000\n", Limits(268_435_456, 1.5)),
        ("", "", Limits(None, None)),
        ("-5\n", "20000 0\n", Limits(None, None)),
        ("9" * 100, "9" * 100 + " 1", Limits(None, None)),
        ("\xff", "20000", Limits(None, None)),
        ("1 2\n", "a b\n", Limits(None, None)),
    ],
)
def test_version_2_is_read(tmp_path: Path, memory: str, cpu: str, limits: Limits) -> None:
    assert read_limits(version_2(tmp_path, memory_max=memory, cpu_max=cpu)) == limits


@pytest.mark.parametrize(
    ("memory", "quota", "limits"),
    [
        ("64000000\n", "20000\n", Limits(64_000_000, 0.2)),
        ("9223372036854771712\n", "-1\n", Limits(None, None)),
        ("", "", Limits(None, None)),
    ],
)
def test_version_1_is_read(tmp_path: Path, memory: str, quota: str, limits: Limits) -> None:
    files = {"memory_limit_in_bytes": memory, "cpu_cfs_quota_us": quota, "cpu_cfs_period_us": "100000\n"}
    assert read_limits(version_1(tmp_path, **files)) == limits


def test_without_a_cgroup_nothing_is_known(tmp_path: Path) -> None:
    assert read_limits(tmp_path / "none") == Limits(None, None)
    assert read_memory_use(tmp_path / "none") == MemoryUse(None, None)


def test_pages_that_can_be_dropped_are_not_used(tmp_path: Path) -> None:
    root = version_2(
        tmp_path,
        memory_current="60000000\n",
        memory_stat="anon 5\ninactive_file 20000000\nactive_file 1\n",
        memory_events="low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n",
    )
    assert read_memory_use(root) == MemoryUse(40_000_000, 1)


def test_version_1_tells_the_same(tmp_path: Path) -> None:
    root = version_1(
        tmp_path,
        memory_usage_in_bytes="60000000\n",
        memory_stat="inactive_file 1\ntotal_inactive_file 20000000\n",
        memory_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )
    assert read_memory_use(root) == MemoryUse(40_000_000, 2)


def test_a_file_without_end_is_read_to_a_bound(tmp_path: Path) -> None:
    root = version_2(tmp_path, memory_current="5\n")
    (root / "memory.stat").symlink_to("/dev/zero")
    assert read_memory_use(root) == MemoryUse(5, None)


def test_kubevirts_default_limits_are_too_low() -> None:
    limits = Limits(64_000_000, 0.2)
    memory, cpu = check_memory_limit(limits, NEEDED), check_cpu_limit(limits)
    assert memory is not None
    assert (memory.code, memory.message.count("supportContainerResources")) == ("MemoryLimit", 1)
    assert "memory: 192Mi" in memory.message
    assert cpu is not None
    assert cpu.code == "CpuLimit"
    assert "200m" in cpu.message


@pytest.mark.parametrize("limits", [Limits(None, None), Limits(256 * MIB, 1.0), Limits(NEEDED, 0.5)])
def test_enough_is_enough(limits: Limits) -> None:
    assert check_memory_limit(limits, NEEDED) is None
    assert check_cpu_limit(limits) is None


def test_what_is_recommended_is_no_problem_and_grows_with_what_is_served() -> None:
    needs = [
        needed_memory(pixels, rdp=rdp, h264=h264)
        for pixels in (640 * 480, USUAL_PIXELS, 3840 * 2160)
        for rdp, h264 in ((False, False), (True, False), (True, True))
    ]
    for needed in needs:
        limit = recommended_limit(needed) * MIB
        assert limit % (64 * MIB) == 0
        assert check_memory_limit(Limits(limit, None), needed) is None
    assert needed_memory(USUAL_PIXELS, rdp=False, h264=True) == NEEDED
    assert needs[3] < needs[4] < needs[5] < needs[8]
    # what the manifests and docs/kubevirt.md say is enough for all of it on a usual screen
    assert recommended_limit(needs[5]) == 256


@pytest.mark.parametrize(
    ("served", "rdp", "h264"),
    [("VNC", False, False), ("VNC and RDP", True, False), ("VNC and RDP with H.264", True, True)],
)
def test_the_document_says_the_same(served: str, rdp: bool, h264: bool) -> None:
    needed = needed_memory(USUAL_PIXELS, rdp=rdp, h264=h264)
    line = f"| {served} | {needed // MIB} MiB | {recommended_limit(needed)}Mi |"
    assert line in (Path(__file__).parents[3] / "docs" / "doctor.md").read_text().splitlines()


def test_use_near_the_limit_does_not_flicker() -> None:
    limits = Limits(100 * MIB, None)

    def full(used: int, was_full: bool) -> bool:
        return check_memory_use(limits, MemoryUse(used * MIB, 0), NEEDED, was_full=was_full) is not None

    assert [full(89, False), full(91, False)] == [False, True]
    assert [full(89, True), full(79, True)] == [True, False]


def test_the_message_stays_while_the_problem_lasts() -> None:
    limits = Limits(100 * MIB, None)
    messages = {
        check_memory_use(limits, MemoryUse(used * MIB, 0), NEEDED, was_full=True) for used in (91, 95, 99)
    }
    assert len(messages) == 1


def test_use_without_a_limit_is_no_problem() -> None:
    assert check_memory_use(Limits(None, None), MemoryUse(1 << 40, 0), NEEDED, was_full=False) is None
    assert check_memory_use(Limits(MIB, None), MemoryUse(None, None), NEEDED, was_full=True) is None


@pytest.mark.parametrize(("killed", "words"), [(1, "ended a process"), (3, "ended 3 processes")])
def test_what_the_kernel_has_ended_is_told(killed: int, words: str) -> None:
    problem = check_memory_killed(Limits(64_000_000, None), MemoryUse(1, killed), NEEDED)
    assert problem is not None
    assert words in problem.message


@pytest.mark.parametrize("killed", [None, 0])
def test_nothing_ended_is_no_problem(killed: int | None) -> None:
    assert check_memory_killed(Limits(1, None), MemoryUse(1, killed), NEEDED) is None
