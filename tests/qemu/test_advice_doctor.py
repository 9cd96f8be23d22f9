"""`vdi-sidecar doctor` beside a hook that runs, as `kubectl exec` starts it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import COMMAND
from support.hook_sidecar import HookSidecar


@pytest.fixture
def sidecar(short_dir: Path) -> Iterator[HookSidecar]:
    sidecar = HookSidecar(short_dir)
    yield sidecar
    sidecar.process.kill()


def doctor(sidecar: HookSidecar) -> dict[str, dict[str, str]]:
    command = [*COMMAND, "doctor", "--json", "--run-dir", str(sidecar.run_directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_the_daemon_beside_it_is_found(sidecar: HookSidecar) -> None:
    sidecar.wait_for_socket()
    daemon = doctor(sidecar)["daemon"]
    assert daemon["verdict"] == "ok"
    assert daemon["found"] == f"runs in {sidecar.run_directory}, the machine is waiting"
