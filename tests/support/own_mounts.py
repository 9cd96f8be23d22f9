"""A mark for tests that mount something where nobody else sees it."""

import os
import subprocess

import pytest

in_own_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0,
    reason="only root with CAP_SYS_ADMIN has mounts of its own, and not in a chroot",
)
