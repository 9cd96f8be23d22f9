"""Every object of `manifests/` is one that Kubernetes, KubeVirt and prometheus-operator accept."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from manifest_renderer import ROOT, Object, kustomizations, render
from manifest_schemas import faults, known

RENDERED = {str(path.relative_to(ROOT)): render(path) for path in kustomizations()}
FREE = {"annotations", "data", "labels", "limits", "matchLabels", "requests", "selector"}
"""Maps with keys of the writer's own, where they have no selector's fields in them."""


@pytest.mark.parametrize("name", RENDERED)
def test_every_object_is_accepted(name: str) -> None:
    for each in RENDERED[name]:
        assert faults(each) == [], f"{each['kind']} {each['metadata']['name']}"


def mappings(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a field could be misspelt."""
    if isinstance(node, dict):
        free = path and path[-1] in FREE and not node.keys() & {"matchExpressions", "matchLabels"}
        if not free:
            yield path
            for key, value in node.items():
                yield from mappings(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from mappings(value, (*path, number))


def one_of_each_kind() -> list[Object]:
    ours = [each for name in sorted(RENDERED) for each in RENDERED[name] if "plugin" not in name]
    return list({each["kind"]: each for each in ours}.values())


@pytest.mark.parametrize("each", one_of_each_kind(), ids=lambda each: each["kind"])
def test_a_misspelt_field_is_refused_wherever_it_stands(each: Object) -> None:
    for path in mappings(each):
        wrong = copy.deepcopy(each)
        place: Any = wrong
        for part in path:
            place = place[part]
        place["misspelt"] = {}
        assert any("misspelt" in fault for fault in faults(wrong)), path


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Service", "spec.ports.0.port", "vnc"),
        ("NetworkPolicy", "spec.ingress.0.ports.0.endPort", "5900"),
        ("Job", "spec.template.spec.securityContext.runAsUser", "107"),
        ("VirtualMachine", "spec.template.metadata.annotations.number", 1),
        ("VirtualMachine", "spec.template.spec.domain.devices.interfaces.0.ports.0.port", "22"),
        ("VirtualMachine", "spec.template.spec.domain.devices.disks.0.name", None),
        ("PodMonitor", "spec.podMetricsEndpoints.0.relabelings.0.action", "hold"),
        ("KubeVirt", "spec.configuration.supportContainerResources.0.type", 1),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(kind: str, path: str, value: object) -> None:
    (wrong,) = [copy.deepcopy(each) for each in one_of_each_kind() if each["kind"] == kind]
    *way, last = path.split(".")
    place: Any = wrong
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    assert faults(wrong) != []


@pytest.mark.parametrize("missing", ["apiVersion", "kind", "metadata", "spec"])
def test_a_machine_that_lacks_what_it_needs_is_refused(missing: str) -> None:
    (machine,) = [copy.deepcopy(each) for each in one_of_each_kind() if each["kind"] == "VirtualMachine"]
    del machine[missing]
    assert faults(machine) != []


def test_an_object_of_an_unknown_kind_is_refused() -> None:
    assert faults({"apiVersion": "v1", "kind": "Gadget", "metadata": {"name": "a"}}) != []


def test_the_plugin_api_can_be_judged_too() -> None:
    assert known() >= {
        "plugin.kubevirt.io/v1alpha1/Plugin",
        "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding",
    }


def test_the_schemas_say_where_they_are_from() -> None:
    directory = Path(__file__).with_name("schemas")
    page = (directory / "README.md").read_text()
    assert all(f"`{file.name}`" in page for file in directory.glob("*.json"))
    assert "Apache-2.0" in page
