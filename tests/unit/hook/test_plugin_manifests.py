"""manifests/plugin: Plugin, policy and program say the same; the policy's expressions do what they should."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import celpy
import click
import pytest
import yaml
from admission import Object, admitted
from celpy import celtypes
from jsonschema import Draft202012Validator

from sidecar.cli.program import program
from sidecar.domain.bus import PLUGIN_DIRECTORY, bus_place

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests" / "plugin"
PAGE = (ROOT / "docs" / "plugin.md").read_text()
VOLUME = "kubevirt-plugin-sockets"
USER = 107

(PLUGIN,) = yaml.safe_load_all((MANIFESTS / "plugin.yaml").read_text())
POLICY, BINDING = yaml.safe_load_all((MANIFESTS / "policy.yaml").read_text())
NAME = PLUGIN["metadata"]["name"]
SOCKET = PLUGIN["spec"]["domainHooks"][0]["sidecar"]["socketPath"]

POD: Object = {
    "metadata": {
        "generateName": "virt-launcher-myvm-",
        "labels": {"kubevirt.io": "virt-launcher", "vdi-sidecar/plugin": "true"},
        "annotations": {"kubevirt.io/domain": "myvm"},
    },
    "spec": {
        "restartPolicy": "Never",
        "volumes": [{"name": "private", "emptyDir": {}}, {"name": VOLUME, "emptyDir": {}}],
        "containers": [
            {
                "name": "compute",
                "image": "quay.io/kubevirt/virt-launcher:v1.9.0",
                "resources": {
                    "limits": {"devices.kubevirt.io/kvm": "1"},
                    "requests": {"cpu": "100m", "memory": "2294Mi", "devices.kubevirt.io/kvm": "1"},
                },
                "volumeMounts": [{"name": VOLUME, "mountPath": PLUGIN_DIRECTORY}],
            },
            {"name": "guest-console-log", "image": "quay.io/kubevirt/virt-launcher:v1.9.0"},
        ],
    },
}
"""What of a virt-launcher pod matters here, as KubeVirt 1.9 makes it with the gate Plugins on."""


def a_pod(**more: Any) -> Object:
    """`labels`, `annotations`: added; `resources`: of the compute container; others: of the spec."""
    pod = copy.deepcopy(POD)
    pod["metadata"]["labels"] |= more.pop("labels", {})
    pod["metadata"]["annotations"] |= more.pop("annotations", {})
    if "resources" in more:
        pod["spec"]["containers"][0]["resources"] = more.pop("resources")
    pod["spec"] |= more
    return pod


def injected(pod: Object) -> Object:
    """The container that the policy adds."""
    (container,) = [
        each for each in admitted(POLICY, pod)["spec"]["initContainers"] if each["name"] == "vdi-sidecar"
    ]
    assert isinstance(container, dict)
    return container


def with_secret() -> Object:
    return a_pod(annotations={"vdi-sidecar/secret": "myvm-vdi"})


def options_of(container: Object, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the program takes its command, its arguments and its environment for."""
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    name, *words = [*container["command"], *container["args"]]
    assert name == "vdi-sidecar"
    with click.Context(program) as context:
        _, command, rest = program.resolve_command(context, words)
        assert command is not None
        return command.make_context("hook", rest, parent=context).params


@pytest.mark.parametrize("pod", [a_pod(), with_secret()], ids=["loopback", "secret"])
def test_the_program_listens_where_virt_launcher_is_told_to_call(
    pod: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = injected(pod)
    options = options_of(container, monkeypatch)
    assert str(options["plugin_socket"]) == SOCKET
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == VOLUME]
    # the compute container has the volume at its root: only so do both see one path
    assert mount["mountPath"] == f"{PLUGIN_DIRECTORY}/{mount['subPath']}"
    assert SOCKET.startswith(f"{mount['mountPath']}/")
    assert str(options["run_dir"]).startswith(f"{mount['mountPath']}/")
    place = bus_place({}, hook_dir=None, plugin_socket=Path(SOCKET))
    assert place.address == f"unix:path={place.socket}"
    assert str(place.socket).startswith(f"{mount['mountPath']}/")


def test_the_socket_is_where_kubevirt_allows_it() -> None:
    # its own admission policies (kubevirt-plugin-socket-path-policy) and webhook
    assert SOCKET.startswith(f"{PLUGIN_DIRECTORY}/{NAME}/")
    assert SOCKET.endswith(".sock")
    assert len(SOCKET) <= 107
    assert str(Path(SOCKET)) == SOCKET


@pytest.mark.parametrize("pod", [a_pod(), with_secret()], ids=["loopback", "secret"])
def test_the_container_is_one_that_kubevirt_and_a_restricted_namespace_let_in(pod: Object) -> None:
    container = injected(pod)
    # kubevirt-plugin-sidecar-subpath-policy
    assert all(each.get("subPath") for each in container["volumeMounts"] if each["name"] == VOLUME)
    security = container["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (USER, USER)
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    # a native sidecar: the kubelet ends it when the pod's containers have completed
    assert container["restartPolicy"] == "Always"


def test_without_a_secret_only_the_pod_itself_can_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(injected(a_pod()), monkeypatch)
    assert [address.is_local for address in options["vnc"]] == [True]
    assert not options["rdp"]
    assert admitted(POLICY, a_pod())["spec"]["volumes"] == POD["spec"]["volumes"]


def test_a_secret_of_the_machines_owner_is_mounted_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = with_secret()
    container = injected(pod)
    options = options_of(container, monkeypatch)
    (mount,) = [each for each in container["volumeMounts"] if each["name"] != VOLUME]
    assert mount["readOnly"] is True
    assert str(options["password_file"]) == f"{mount['mountPath']}/password"
    assert str(options["tls_dir"]) == mount["mountPath"]
    ports = {port["containerPort"] for port in container["ports"]}
    assert {address.port for address in (*options["vnc"], *options["rdp"])} == ports
    (volume,) = [each for each in admitted(POLICY, pod)["spec"]["volumes"] if each["name"] == mount["name"]]
    # readable by the pod's fsGroup, which is the sidecar's group, and by nobody else
    assert volume["secret"] == {"secretName": "myvm-vdi", "defaultMode": 0o440}


@pytest.mark.parametrize("pod", [a_pod(), with_secret()], ids=["loopback", "secret"])
def test_the_pod_is_still_one_that_kubernetes_accepts(pod: Object) -> None:
    document = json.loads((ROOT / "tests" / "manifests" / "schemas" / "kubernetes.json").read_text())
    schema = Draft202012Validator({**document["objects"]["v1/Pod"], "$defs": document["$defs"]})
    stored = {"apiVersion": "v1", "kind": "Pod", **admitted(POLICY, pod)}
    assert [error.message for error in schema.iter_errors(stored)] == []
    stored["spec"]["initContainers"][0]["misspelt"] = True
    assert not schema.is_valid(stored)


@pytest.mark.parametrize("present", [[], [{"name": "container-disk-binary"}, {"name": "volumesystem-init"}]])
def test_what_is_in_the_pod_stays_as_it_is(present: list[Object]) -> None:
    pod = a_pod(initContainers=present) if present else a_pod()
    stored = admitted(POLICY, pod)
    *before, added = stored["spec"].pop("initContainers")
    assert (before, added["name"]) == (present, "vdi-sidecar")
    pod["spec"].pop("initContainers", None)
    assert stored == pod


@pytest.mark.parametrize(
    "pod",
    [
        a_pod(labels={"vdi-sidecar/plugin": "false"}),
        a_pod(labels={"kubevirt.io": "hotplug-disk"}),
        a_pod(volumes=[{"name": "private", "emptyDir": {}}]),
        a_pod(initContainers=[{"name": "vdi-sidecar"}]),
    ],
    ids=["another machine", "another pod of KubeVirt's", "gate off", "injected already"],
)
def test_other_pods_are_left_alone(pod: Object) -> None:
    assert admitted(POLICY, pod) == pod


GUARANTEED = {"cpu": "4", "memory": "4Gi"}


@pytest.mark.parametrize(
    ("resources", "is_guaranteed"),
    [
        (POD["spec"]["containers"][0]["resources"], False),
        ({"requests": GUARANTEED, "limits": GUARANTEED}, True),
        ({"requests": {**GUARANTEED, "ephemeral-storage": "50M"}, "limits": GUARANTEED}, True),
        ({"requests": GUARANTEED, "limits": {**GUARANTEED, "memory": "8Gi"}}, False),
        ({"requests": GUARANTEED, "limits": {"memory": "4Gi"}}, False),
        ({"requests": {"cpu": "4"}}, False),
        ({}, False),
    ],
)
def test_a_pod_with_dedicated_cpus_keeps_them(resources: Object, is_guaranteed: bool) -> None:
    asked = injected(a_pod(resources=resources))["resources"]
    assert (asked["requests"] == asked["limits"]) is is_guaranteed
    # a whole number would take a CPU for itself
    assert asked["limits"]["cpu"].endswith("m")


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"vdi-sidecar/plugin": "true"}, True),
        ({"vdi-sidecar/plugin": "false"}, False),
        ({"app": "db"}, False),
        ({}, False),
    ],
)
def test_the_plugin_is_called_for_the_machines_that_get_the_container_and_no_others(
    labels: dict[str, str], wanted: bool
) -> None:
    environment = celpy.Environment()
    condition = environment.program(environment.compile(PLUGIN["spec"]["condition"]))
    # KubeVirt gives the expression the fields of its Go types, whose labels are at the top
    vmi = celtypes.MapType({celtypes.StringType("Labels"): celpy.json_to_cel(labels)})
    assert bool(condition.evaluate({"vmi": vmi})) is wanted
    chosen = POLICY["spec"]["matchConstraints"]["objectSelector"]["matchLabels"]
    assert (chosen.items() <= {"kubevirt.io": "virt-launcher", **labels}.items()) is wanted


def test_the_objects_name_each_other() -> None:
    policy = POLICY["metadata"]["name"]
    assert BINDING["spec"]["policyName"] == policy
    assert PLUGIN["spec"]["mutatingAdmissionPolicies"] == [{"name": policy}]


def test_the_image_is_put_where_kustomize_looks_for_it() -> None:
    (kustomization,) = yaml.safe_load_all((MANIFESTS / "kustomization.yaml").read_text())
    (target,) = kustomization["replacements"][0]["targets"]
    assert target["fieldPaths"] == ["spec.variables.[name=image].expression"]
    (expression,) = [each["expression"] for each in POLICY["spec"]["variables"] if each["name"] == "image"]
    parts = expression.split(target["options"]["delimiter"])
    assert [parts[0], parts[2]] == ["", ""]
    assert injected(a_pod())["image"] == parts[target["options"]["index"]]


def test_the_page_names_what_is_there() -> None:
    for said in (SOCKET, VOLUME, "vdi-sidecar/plugin", "vdi-sidecar/secret", POLICY["apiVersion"], str(USER)):
        assert said in PAGE
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        assert all(isinstance(each, dict) for each in yaml.safe_load_all(block))
    assert json.dumps(PLUGIN["spec"]["condition"])[1:-1].replace('\\"', '"') in PAGE
