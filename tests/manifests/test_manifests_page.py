"""docs/manifests.md: what can be run without a cluster is run, and what it names is there."""

import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from manifest_machines import BUILT
from manifest_renderer import ROOT, read, render
from manifest_schemas import faults

from sidecar.access.certificate import load
from sidecar.config.password import read_password

PAGE = (ROOT / "docs" / "manifests.md").read_text()
COMMANDS, COPYING, RENEWAL = [
    block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
]


def option(words: list[str], name: str) -> list[str]:
    return [value for word, value in pairwise(words) if word == name] + [
        word.partition("=")[2] for word in words if word.startswith(f"{name}=")
    ]


def test_six_commands_are_enough() -> None:
    assert len(COMMANDS) == 6


def test_what_is_applied_is_there() -> None:
    applied = [path for line in COMMANDS + RENEWAL for path in option(shlex.split(line), "-k")]
    applied += re.findall(r"kubectl apply -k (manifests\S+?)`", PAGE)
    assert set(applied) == {"manifests/secrets", "manifests/vm", "manifests/vmi"}
    assert set(applied) <= BUILT.keys()
    (patch,) = option(shlex.split(COMMANDS[0]), "--patch-file")
    assert read(ROOT / patch)


def test_every_directory_is_explained_and_no_other() -> None:
    table = PAGE.partition("| directory | makes |")[2].partition("\n\n")[0]
    explained = {f"manifests/{name}" for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row)}
    components = {f"manifests/components/{path.name}" for path in (ROOT / "manifests/components").iterdir()}
    built = {name for name in BUILT if name != "hooks"}
    there = components | built
    # the plugin has a page of its own; a row is enough here
    assert there <= explained
    missing = {
        name for name in explained - there if re.fullmatch(r"manifests/(components|examples)/.*", name)
    }
    assert missing == set()


def test_secret_job_and_machine_are_of_one_name() -> None:
    words = shlex.split(COMMANDS[2])
    (claim, job) = BUILT["manifests/secrets"]
    volumes = job["spec"]["template"]["spec"]["volumes"]
    secret, config_map = volumes[0]["projected"]["sources"]
    assert words[words.index("generic") + 1] == secret["secret"]["name"]
    assert f"create configmap {config_map['configMap']['name']} " in PAGE
    assert shlex.split(COMMANDS[4])[-1] == f"job/{job['metadata']['name']}"
    assert f"a volume `{claim['metadata']['name']}`" in PAGE


def test_certificate_and_password_are_such_that_the_sidecar_takes_them(tmp_path: Path) -> None:
    subprocess.run(shlex.split(COMMANDS[1]), cwd=tmp_path, check=True, capture_output=True, timeout=100)
    assert load(tmp_path).der
    (tmp_path / "password").write_text("secret\n")
    assert read_password(tmp_path / "password") == "secret"
    assert set(option(shlex.split(COMMANDS[2]), "--from-file")) == {path.name for path in tmp_path.iterdir()}


def test_a_copy_for_another_machine_is_as_good(tmp_path: Path) -> None:
    for name in ("manifests", "hooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for line in COPYING:
        subprocess.run(["/bin/sh", "-euc", line], cwd=tmp_path, check=True, timeout=60)
    for directory, objects in BUILT.items():
        renamed = render(tmp_path / "web07" / directory)
        assert "myvm" not in str(renamed)
        assert len(renamed) == len(objects)
        assert [fault for each in renamed for fault in faults(each)] == []


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")
def test_kubectl_makes_of_patch_and_secret_what_is_said(tmp_path: Path) -> None:
    (patch,) = option(shlex.split(COMMANDS[0]), "--patch-file")
    words = ["kubectl", "patch", "--local", "-f", "manifests/cluster/kubevirt.yaml", "--type", "json"]
    made = subprocess.run(
        [*words, "--patch-file", patch, "-o", "yaml"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    (tmp_path / "made.yaml").write_bytes(made.stdout)
    assert read(tmp_path / "made.yaml") == BUILT["manifests/cluster"]
    for name in ("password", "tls.crt", "tls.key"):
        (tmp_path / name).write_text(f"{name}\n")
    creation = RENEWAL[0].partition(" | ")[0]
    secret = subprocess.run(shlex.split(creation), cwd=tmp_path, capture_output=True, check=True, timeout=60)
    (tmp_path / "secret.yaml").write_bytes(secret.stdout)
    (found,) = read(tmp_path / "secret.yaml")
    assert found["data"].keys() == {"password", "tls.crt", "tls.key"}
    found["metadata"].pop("creationTimestamp", None)
    assert faults(found) == []
