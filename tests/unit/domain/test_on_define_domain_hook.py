"""`hooks/onDefineDomain`, called as KubeVirt's sidecar-shim calls it: by its name, with both texts."""

import ast
import json
import os
import runpy
import sys
from typing import Any

import pytest
from lxml import etree
from support.domain_samples import ADDRESS, DIRECTORY, GRAPHICAL, NAMES, kept_by_kubevirt, options, sample
from support.sidecar_shim import (
    HOOKS,
    ShimError,
    call_as_the_shim,
    hook_points,
    on_define_domain,
    search_path,
)

from sidecar.domain.options import Graphics
from sidecar.domain.rewrite import rewrite

SCRIPT = HOOKS / "onDefineDomain"
SIDECARS = "hooks.kubevirt.io/hookSidecars"
SHIM = {"args": ["--version", "v1alpha3"]}
IMAGE = "registry.example.org/vdi-sidecar:0.1"
OURS = {"image": "vdi-sidecar:0.1", "command": ["vdi-sidecar", "hook"], "args": ["--vnc", ":5900"]}

with_or_without = pytest.mark.parametrize(
    "installed", [True, False], ids=["with vdi-sidecar", "with Python alone"]
)


def vmi(*sidecars: dict[str, Any], **annotations: str) -> str:
    said = {f"vdi-sidecar/{name}": value for name, value in annotations.items()}
    return json.dumps({"metadata": {"annotations": {**said, SIDECARS: json.dumps(sidecars)}}})


def meaning(domain: bytes) -> bytes:
    """What is the same however it is written."""
    return etree.tostring(etree.fromstring(domain, etree.XMLParser(remove_blank_text=True)), method="c14n")


def alone(domain: bytes, **annotations: str) -> bytes:
    """The script's own rewrite, without a process."""
    said = {f"vdi-sidecar/{name}": value for name, value in annotations.items()}
    return bytes(runpy.run_path(str(SCRIPT))["rewrite"](domain, ADDRESS, said))


@pytest.mark.parametrize("name", ["amd64-sound-ich9", "s390x-virtio"])
def test_the_rewritten_domain_comes_on_stdout_and_nothing_else(name: str) -> None:
    assert name in GRAPHICAL
    vmi = (DIRECTORY / f"{name}.vmi.json").read_text()
    answer = call_as_the_shim(vmi, sample(name).decode(), CONTAINER_NAME="hook-sidecar-0")
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert answer.stdout == rewrite(sample(name), options())


@pytest.mark.parametrize("name", ["amd64-sound-ich9", "amd64-no-graphics"])
def test_it_does_so_where_nothing_but_python_is_installed(name: str) -> None:
    vmi = (DIRECTORY / f"{name}.vmi.json").read_text()
    answer = call_as_the_shim(
        vmi, sample(name).decode(), with_vdi_sidecar=False, CONTAINER_NAME="hook-sidecar-0"
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert meaning(answer.stdout) == meaning(rewrite(sample(name), options()))


@pytest.mark.parametrize("mode", ["replace", "keep-vnc"])
@pytest.mark.parametrize("name", NAMES)
def test_alone_it_says_what_the_program_says(name: str, mode: str) -> None:
    for kept in (sample(name), kept_by_kubevirt(rewrite(sample(name), options(Graphics(mode))))):
        ours = rewrite(kept, options(Graphics(mode)))
        theirs = alone(kept, graphics=mode)
        assert meaning(theirs) == meaning(ours)
        # two sidecars come in any order, and either leaves the other's work as it is
        assert rewrite(theirs, options(Graphics(mode))) == theirs
        assert meaning(alone(ours, graphics=mode)) == meaning(ours)


@pytest.mark.parametrize("flag", ["screen", "audio", "input"])
@pytest.mark.parametrize("value", ["true", "false"])
def test_alone_it_heeds_the_same_annotations(flag: str, value: str) -> None:
    for name in NAMES:
        ours = rewrite(sample(name), options(**{flag: value == "true"}))
        assert meaning(alone(sample(name), **{flag: value})) == meaning(ours), name


TUNNELS = options(serial=True, clipboard=True, usb=2)


@pytest.mark.parametrize("name", NAMES)
def test_alone_it_gives_the_same_devices_for_serial_console_clipboard_and_usb(name: str) -> None:
    first = rewrite(sample(name), TUNNELS)
    for domain in (sample(name), first, kept_by_kubevirt(first)):
        theirs = alone(domain, serial="true", clipboard="true", usb="2")
        assert same_but_for_the_order(theirs, rewrite(domain, TUNNELS))
        assert same_but_for_the_order(alone(theirs, serial="true", clipboard="true", usb="2"), theirs)


def same_but_for_the_order(one: bytes, other: bytes) -> bool:
    """A source that was lost may stand before or behind its target."""

    def sorted_devices(domain: bytes) -> list[list[bytes]]:
        root = etree.fromstring(meaning(domain))
        return [
            [
                etree.tostring(device, method="c14n").split(b">")[0],
                *sorted(etree.tostring(part, method="c14n") for part in device),
            ]
            for device in root.iterfind("devices/*")
        ]

    return sorted_devices(one) == sorted_devices(other)


@pytest.mark.parametrize("value", ["9", "-1", "two", "", 3.5])
def test_alone_it_refuses_a_number_of_slots_that_means_nothing(value: object) -> None:
    with pytest.raises(Exception, match="must be a number of slots"):
        alone(sample("amd64-default-vnc"), usb=value)  # type: ignore[arg-type]


ODD = {
    "no devices": "<domain/>",
    "two displays of D-Bus": "<domain><devices><graphics type='dbus' p2p='yes'><audio id='7'/><audio id='8'/>"
    "</graphics><graphics type='dbus'/></devices></domain>",
    "SPICE stays": "<domain><devices><graphics type='spice'/><audio id='1' type='spice'/></devices></domain>",
    "SDL goes": "<domain><devices><graphics type='sdl'/><graphics type='vnc'/></devices></domain>",
    "sound that led nowhere": "<domain><devices><graphics type='vnc'/><sound model='ac97'/>"
    "<audio id='4' type='none'/></devices></domain>",
    "a prefix": "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><devices>"
    "<graphics type='vnc'/></devices><qemu:commandline><qemu:arg value='-S'/></qemu:commandline></domain>",
    "a comment and a name": "<domain><name>Zoë &amp; &lt;co></name><!-- a --><devices><graphics type='vnc'/>"
    "</devices></domain>",
}


@pytest.mark.parametrize("case", ODD)
def test_alone_it_agrees_about_odd_domains_too(case: str) -> None:
    domain = ODD[case].encode()
    for flags in ({}, {"audio": False}, {"screen": True}):
        said = {name: str(value).lower() for name, value in flags.items()}
        assert meaning(alone(domain, **said)) == meaning(rewrite(domain, options(**flags)))


@with_or_without
@pytest.mark.parametrize(
    ("sidecars", "address"),
    [
        ([OURS, SHIM], "unix:path=/var/run/kubevirt-hooks/hook-sidecar-0/dbus/bus"),
        ([SHIM, OURS], "unix:path=/var/run/kubevirt-hooks/hook-sidecar-1/dbus/bus"),
        ([SHIM, {"args": ["hook"]}], "unix:path=/var/run/kubevirt-hooks/hook-sidecar-1/dbus/bus"),
        ([SHIM, {"args": ["hook", "--bus-dir-for-qemu", "/var/run/vdi"]}], "unix:path=/var/run/vdi/bus"),
        ([{"args": ["hook", "--dbus-address=unix:path=/a/b"]}], "unix:path=/a/b"),
        ([SHIM], "unix:path=/var/run/kubevirt-hooks/hook-sidecar-7/dbus/bus"),
        ([SHIM, {"image": IMAGE}], "unix:path=/var/run/kubevirt-hooks/hook-sidecar-1/dbus/bus"),
        (
            [{"image": IMAGE, "args": ["--vnc", ":5900"]}],
            "unix:path=/var/run/kubevirt-hooks/hook-sidecar-0/dbus/bus",
        ),
        (
            [{"image": IMAGE, "args": ["--bus-dir", "/var/run/kubevirt-hooks/a b"]}],
            "unix:path=/var/run/kubevirt-hooks/hook-sidecar-0/a%20b/bus",
        ),
    ],
)
def test_the_bus_is_that_of_the_sidecar_which_has_one(
    sidecars: list[dict[str, Any]], address: str, installed: bool
) -> None:
    made = on_define_domain(
        vmi(*sidecars),
        sample("amd64-default-vnc").decode(),
        with_vdi_sidecar=installed,
        CONTAINER_NAME="hook-sidecar-7",
    )
    (graphics,) = etree.fromstring(made).findall("devices/graphics")
    assert graphics.get("address") == address


def test_kubevirt_1_5_has_one_folder_for_all_sidecars() -> None:
    made = on_define_domain(vmi(SHIM, OURS), sample("amd64-default-vnc").decode(), with_vdi_sidecar=False)
    (graphics,) = etree.fromstring(made).findall("devices/graphics")
    assert graphics.get("address") == "unix:path=/var/run/kubevirt-hooks/dbus/bus"


@with_or_without
@pytest.mark.parametrize(
    ("sidecars", "said"),
    [
        ([{"args": ["hook", 3]}], b"is not a list of sidecars"),
        ([{"image": 7}], b"is not a list of sidecars"),
        ([{"command": "vdi-sidecar", "args": {"hook": 1}}], b"is not a list of sidecars"),
        ([{"args": ["hook", "--bus-dir", "/var/vdi"]}], b"--bus-dir-for-qemu"),
    ],
)
def test_sidecars_that_cannot_be_told_apart_are_refused(
    sidecars: list[dict[str, Any]], said: bytes, installed: bool
) -> None:
    answer = call_as_the_shim(
        vmi(*sidecars), "<domain/>", with_vdi_sidecar=installed, CONTAINER_NAME="hook-sidecar-0"
    )
    assert answer.returncode == 1
    assert answer.stdout == b""
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@with_or_without
@pytest.mark.parametrize(
    ("domain", "annotations", "said"),
    [
        ("<!DOCTYPE domain><domain/>", {}, b"DOCTYPE"),
        ("<domain><devices></domain>", {}, b"domain XML"),
        ("<network/>", {}, b"not a domain"),
        ("", {}, b"domain XML"),
        ("<a>" * 3000 + "</a>" * 3000, {}, b"domain"),
        ("<domain/>", {"audio": "loud"}, b"vdi-sidecar/audio"),
        ("<domain/>", {"graphics": "sdl"}, b"vdi-sidecar/graphics"),
    ],
)
def test_a_failure_is_one_line_on_stderr_and_an_exit_code(
    domain: str, annotations: dict[str, str], said: bytes, installed: bool
) -> None:
    answer = call_as_the_shim(vmi(OURS, **annotations), domain, with_vdi_sidecar=installed)
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert answer.stderr.count(b"\n") == 1
    assert said in answer.stderr


def test_a_domain_nested_too_deep_to_be_written_is_refused_in_one_line() -> None:
    deep = f"<domain>{'<a>' * 5000}{'</a>' * 5000}<devices><graphics type='vnc'/></devices></domain>"
    answer = call_as_the_shim(vmi(OURS), deep, with_vdi_sidecar=False)
    assert (answer.returncode, answer.stdout, answer.stderr.count(b"\n")) == (1, b"", 1)


@with_or_without
def test_a_failure_is_the_error_of_the_call(installed: bool) -> None:
    with pytest.raises(ShimError, match="exit status 1"):
        on_define_domain(vmi(OURS), "<!DOCTYPE domain><domain/>", with_vdi_sidecar=installed)


@with_or_without
def test_without_a_bus_address_it_is_told_what_to_give(installed: bool) -> None:
    answer = call_as_the_shim(vmi(SHIM), sample("amd64-sound-ich9").decode(), with_vdi_sidecar=installed)
    assert (answer.returncode, answer.stdout) == (2, b"")
    assert b"CONTAINER_NAME" in answer.stderr


@with_or_without
@pytest.mark.parametrize("wrong", ["{}", '{"metadata": []}', '{"metadata": {"annotations": "no"}}'])
def test_a_vmi_that_is_none_is_refused(wrong: str, installed: bool) -> None:
    answer = call_as_the_shim(wrong, "<domain/>", with_vdi_sidecar=installed, CONTAINER_NAME="hook-sidecar-0")
    assert (answer.returncode, answer.stdout, answer.stderr.count(b"\n")) == (1, b"", 1)


def test_alone_it_refuses_the_mode_that_it_does_not_have() -> None:
    answer = call_as_the_shim(
        vmi(OURS, graphics="commandline"), sample("amd64-default-vnc").decode(), with_vdi_sidecar=False
    )
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert b"replace or keep-vnc" in answer.stderr


def test_the_shim_subscribes_to_the_domain_and_never_to_cloud_init() -> None:
    # virt-launcher dies of a subscription to PreCloudInitIso when a VMI has no cloud-init
    path = search_path(with_vdi_sidecar=True)
    assert hook_points("v1alpha3", path) == {"OnDefineDomain", "Shutdown"}
    assert hook_points("v1alpha2", path) == {"OnDefineDomain"}
    assert {entry.name for entry in HOOKS.iterdir()} == {"kustomization.yaml", "onDefineDomain"}
    assert os.access(SCRIPT, os.X_OK)


def test_the_script_is_one_for_python_3_9_and_its_standard_library() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
