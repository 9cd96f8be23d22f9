"""KubeVirt's sidecar-shim, as far as `hooks/onDefineDomain` meets it.

A double: the shim is a Go program that comes in an image of its own. This follows its source in KubeVirt,
cmd/sidecars/sidecar_shim.go at d923fdb815cd. Its image has Python 3.9, bash and coreutils (rpm/BUILD.bazel),
and no vdi-sidecar.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HOOKS = Path(__file__).parents[2] / "hooks"
OURS = Path(sys.executable).parent
"""Where `vdi-sidecar` is, in an image that has both."""

POINTS = {"OnDefineDomain": "onDefineDomain", "PreCloudInitIso": "preCloudInitIso"}
"""Hook points, and the program that the shim looks for in its PATH before it subscribes to one."""


class ShimError(Exception):
    """What virt-launcher gets as the error of the call."""


def search_path(*, with_vdi_sidecar: bool) -> str:
    """The PATH of the shim's container."""
    return os.pathsep.join([str(HOOKS), *([str(OURS)] if with_vdi_sidecar else []), "/usr/bin", "/bin"])


def hook_points(version: str, path: str) -> set[str]:
    """What the shim subscribes to; `version` is the value of its own --version, which it demands."""
    if version not in ("v1alpha1", "v1alpha2", "v1alpha3"):
        raise ShimError(f"Version {version} is not supported")
    points = {point for point, program in POINTS.items() if shutil.which(program, path=path)}
    return points | ({"Shutdown"} if version == "v1alpha3" else set())


def call_as_the_shim(
    vmi: str, domain: str, *, with_vdi_sidecar: bool = True, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs `onDefineDomain` from the PATH with both texts and nothing but `environ`; stdin is empty."""
    try:
        understood = json.loads(vmi)
    except ValueError as error:
        raise ShimError(f"Failed to unmarshal given VMI spec: {error}") from None
    if not isinstance(understood, dict):
        raise ShimError("Failed to unmarshal given VMI spec")
    return subprocess.run(
        ["/usr/bin/env", "onDefineDomain", "--vmi", vmi, "--domain", domain],
        env={"PATH": search_path(with_vdi_sidecar=with_vdi_sidecar), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def on_define_domain(vmi: str, domain: str, *, with_vdi_sidecar: bool = True, **environ: str) -> bytes:
    """The answer of the gRPC call: what came on stdout, or ShimError. What came on stderr is only logged."""
    answer = call_as_the_shim(vmi, domain, with_vdi_sidecar=with_vdi_sidecar, **environ)
    if answer.returncode:
        raise ShimError(f"exit status {answer.returncode}")
    return answer.stdout
