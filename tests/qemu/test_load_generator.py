"""The benchmark's load generator, against QEMU's built-in VNC server: it must not get out of step."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.guest_image import Mode
from support.ports import free_port
from support.qemu import Qemu, vnc_display

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("encoding", [0, 6, 7, 16])
def test_it_counts_updates_of_every_viewer(start_qemu: Callable[..., Qemu], encoding: int) -> None:
    port = free_port()
    qemu = start_qemu(vnc_display(f"127.0.0.1:{port}"))
    qemu.show(Mode.TEXT)
    plan = {"port": port, "viewers": 3, "encodings": [encoding, -224, -255], "seconds": 1, "warm_up": 0}
    done = subprocess.run(
        [sys.executable, "-m", "bench.load_clients", json.dumps(plan)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    *marks, result = done.stdout.splitlines()
    assert marks == ["ready", "begin", "end"]
    counted = json.loads(result)
    assert len(counted["updates"]) == 3
    assert all(count > 2 for count in counted["updates"])
    assert counted["refused"] == 0
