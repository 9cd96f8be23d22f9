"""The run directory in a pod: a volume whose directories the kubelet gives to the pod's group (fsGroup)."""

import os
import stat
from pathlib import Path

import pytest

from sidecar.config.run_directory import (
    RunDirectoryUnsafe,
    default_run_directory,
    prepare_run_directory,
)


def test_one_that_the_kubelet_has_opened_for_the_pod_is_closed_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare_run_directory(run)
    run.chmod(0o2770)
    prepare_run_directory(run)
    assert stat.S_IMODE(run.stat().st_mode) & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o2777, 0o707, 0o3772])
def test_one_that_is_open_in_another_way_is_refused(mode: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    run.chmod(mode)
    with pytest.raises(RunDirectoryUnsafe, match="can be written by others"):
        prepare_run_directory(run)
    assert stat.S_IMODE(run.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a group to give away")
def test_one_that_is_open_for_a_group_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, -1, 54321)
    run.chmod(0o2770)
    with pytest.raises(RunDirectoryUnsafe, match="can be written by others"):
        prepare_run_directory(run)


def test_the_hook_volume_counts_only_where_the_usual_place_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path("/tmp/vdi-sidecar-107")
    assert default_run_directory({}, 107, hook_volume=tmp_path) == usual
    # a read-only root, as tests/qemu/test_hook_volume_use.py has a real one
    monkeypatch.setattr(os, "access", lambda path, mode: path == tmp_path)
    assert default_run_directory({}, 107, hook_volume=tmp_path) == tmp_path / "vdi-sidecar"
    assert default_run_directory({}, 107, hook_volume=tmp_path / "none") == usual
