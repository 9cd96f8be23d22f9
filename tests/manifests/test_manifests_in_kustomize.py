"""The renderer of these tests beside the real kustomize, and what it refuses."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifest_renderer import ROOT, NotKnown, identity, kustomizations, render

COMMAND = (
    ["kustomize", "build"]
    if shutil.which("kustomize")
    else ["kubectl", "kustomize"]
    if shutil.which("kubectl")
    else []
)


def knows_components() -> bool:
    """Whether it is not Debian 12's, which is of 2020."""
    result = subprocess.run([*COMMAND, str(ROOT / "manifests" / "vm")], capture_output=True, check=False)
    return result.returncode == 0


@pytest.mark.skipif(
    not COMMAND or not knows_components(), reason="there is no kustomize that knows components"
)
def test_kustomize_makes_the_same_of_every_directory() -> None:
    for directory in kustomizations():
        built = subprocess.run([*COMMAND, str(directory)], capture_output=True, check=False, timeout=60)
        assert built.returncode == 0, f"{directory}: {built.stderr.decode()}"
        theirs = [each for each in yaml.safe_load_all(built.stdout) if each is not None]
        assert lines_joined(sorted(theirs, key=identity)) == lines_joined(
            sorted(render(directory), key=identity)
        ), directory


def lines_joined(node: Any) -> Any:
    """kustomize 5.5 writes a folded text (`>-`) that has indented lines back with line breaks doubled."""
    if isinstance(node, dict):
        return {key: lines_joined(value) for key, value in node.items()}
    if isinstance(node, list):
        return [lines_joined(value) for value in node]
    return re.sub(r"\n+", "\n", node) if isinstance(node, str) else node


def test_what_people_apply_is_there() -> None:
    names = {str(path.relative_to(ROOT)) for path in kustomizations()}
    assert names >= {
        "hooks",
        "manifests/cluster",
        "manifests/images",
        "manifests/secrets",
        "manifests/vm",
        "manifests/vmi",
        "manifests/examples/annotate-vmi",
        "manifests/examples/api",
        "manifests/examples/bus-on-pvc",
        "manifests/examples/everything",
        "manifests/examples/metrics",
        "manifests/examples/sidecar-shim",
        "manifests/examples/tickets",
        "manifests/examples/web",
    }


KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
REMOVAL = "patches: [{patch: '[{op: remove, path: /data}]', target: {kind: ConfigMap}}]\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


@pytest.mark.parametrize(
    ("kustomization", "resource", "refused"),
    [
        ("namePrefix: x-\n", MAP, "namePrefix"),
        ("resources: [a.yaml, b.yaml]\n", MAP, "there twice"),
        ("resources: [a.yaml]\n", MAP + "  name: b\n", "key stands twice"),
        ("resources: [a.yaml]\n" + REMOVAL, MAP, "remove"),
    ],
)
def test_the_renderer_refuses_what_it_cannot_do(
    tmp_path: Path, kustomization: str, resource: str, refused: str
) -> None:
    (tmp_path / "kustomization.yaml").write_text(KUSTOMIZATION + kustomization)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(resource)
    with pytest.raises(NotKnown, match=refused):
        render(tmp_path)
