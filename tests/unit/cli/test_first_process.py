"""The first process of a container: the kernel keeps from it every signal for which it has no handler."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

PROGRAM = """
import signal, sys, types
sys.modules["sidecar.cli"] = types.SimpleNamespace(main=None)
import sidecar.__main__
if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    sys.exit("SIGTERM is left to the kernel")
signal.raise_signal(signal.SIGTERM)
"""


def run(wrapper: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*wrapper, sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a namespace of processes")
def test_it_ends_by_sigterm_before_anything_is_loaded() -> None:
    done = run(["unshare", "--pid", "--fork"])
    assert done.stderr == ""
    assert done.returncode == 128 + signal.SIGTERM


def test_any_other_process_leaves_sigterm_as_it_is() -> None:
    assert run().stderr == "SIGTERM is left to the kernel\n"
