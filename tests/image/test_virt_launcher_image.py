"""What of the derived virt-launcher can be shown without its registries: it cannot be built here.

How the packages are chosen is run against what `qemu-kvm --version` prints on CentOS and elsewhere.
"""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.buildah import PROJECT
from support.qemu import PROGRAM

DIRECTORY = PROJECT / "images" / "virt-launcher"
COPYRIGHT = "Copyright (c) 2003-2025 Fabrice Bellard and the QEMU Project developers\n"


def rpm_paths(said: str, architecture: str = "x86_64") -> subprocess.CompletedProcess[str]:
    command = [DIRECTORY / "rpm-paths", architecture]
    return subprocess.run(command, input=said, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("build", "architecture", "path"),
    [
        ("10.1.0-20.el9", "x86_64", "10.1.0/20.el9/x86_64/qemu-kvm-{}-10.1.0-20.el9.x86_64.rpm"),
        ("10.1.0-25.el10", "aarch64", "10.1.0/25.el10/aarch64/qemu-kvm-{}-10.1.0-25.el10.aarch64.rpm"),
        ("9.1.0-29.el9_7.6", "x86_64", "9.1.0/29.el9_7.6/x86_64/qemu-kvm-{}-9.1.0-29.el9_7.6.x86_64.rpm"),
    ],
)
def test_packages_are_those_of_qemus_own_build(build: str, architecture: str, path: str) -> None:
    said = f"QEMU emulator version {build.split('-', maxsplit=1)[0]} (qemu-kvm-{build})\n{COPYRIGHT}"
    done = rpm_paths(said, architecture)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        path.format(package) for package in ("ui-dbus", "ui-opengl", "audio-dbus")
    ]


def test_a_qemu_that_names_no_package_is_refused() -> None:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    for each in (said, "QEMU emulator version 10.1.0\n", ""):
        done = rpm_paths(each)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("rpm-paths: this QEMU does not name its package")
        assert done.stderr.count("\n") == 1


def test_what_is_no_virt_launcher_is_refused(tmp_path: Path) -> None:
    command = [DIRECTORY / "add-modules", tmp_path, tmp_path / "added"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is it a virt-launcher?" in done.stderr


def test_qemu_lists_its_modules_as_the_build_expects() -> None:
    """The last check of the build, on the QEMU that is here."""
    for option in ("-display", "-audiodev"):
        listed = subprocess.run([PROGRAM, option, "help"], capture_output=True, text=True, check=True).stdout
        assert "dbus" in listed.splitlines()


def test_nothing_of_virt_launcher_is_changed_but_by_addition() -> None:
    last = (DIRECTORY / "Containerfile").read_text().split("\nFROM ")[-1]
    instructions = [line for line in last.splitlines() if line and not line.startswith("#")]
    assert instructions == ["${LAUNCHER}", "COPY --from=modules /added/ /"]


def test_the_patch_for_kubevirt_finds_virt_controllers_arguments() -> None:
    """As virt-operator makes them (components/deployments.go); the patch itself is JSON."""
    text = (DIRECTORY / "README.md").read_text()
    document = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    (patch,) = document["spec"]["customizeComponents"]["patches"]
    assert (patch["resourceType"], patch["resourceName"], patch["type"]) == (
        *("Deployment", "virt-controller", "json"),
    )
    arguments = ["--launcher-image", "quay.io/kubevirt/virt-launcher:v1.9.0", "--exporter-image", "…"]
    for step in yaml.safe_load(patch["patch"]):
        *_, index = step["path"].split("/")
        assert step["path"] == f"/spec/template/spec/containers/0/args/{index}"
        if step["op"] == "test":
            assert arguments[int(index)] == step["value"]
        else:
            arguments[int(index)] = step["value"]
    assert arguments[1] == "registry.example.org/virt-launcher:v1.9.0-dbus"
