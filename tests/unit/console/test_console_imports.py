"""What the console's client loads, since a person waits for it."""

import subprocess
import sys


def test_the_command_loads_neither_numpy_nor_openssls_bindings() -> None:
    code = "import sys, sidecar.cli.program, sidecar.console.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"numpy", "cryptography", "uvloop", "aiohttp"} == set()
