"""What is read of a VirtualMachineInstance."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.domain_samples import DIRECTORY

from sidecar.domain.errors import DomainError
from sidecar.domain.vmi import MAX_VMI_SIZE, Binding, Interface, PortRange, Vmi, read_vmi

DEFAULT = DIRECTORY / "amd64-default-vnc.vmi.json"


def vmi_of(**spec: Any) -> Vmi:
    return read_vmi(json.dumps({"metadata": {}, "spec": spec}).encode())


def interfaces_of(*interfaces: dict[str, Any]) -> tuple[Interface, ...]:
    domain = {"devices": {"interfaces": list(interfaces)}}
    return vmi_of(domain=domain, networks=[{"name": "default", "pod": {}}]).interfaces


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.vmi.json")), ids=lambda path: path.stem)
def test_what_virt_launcher_sends_is_read(path: Path) -> None:
    vmi = read_vmi(path.read_bytes())
    assert (vmi.namespace, vmi.name) == ("mynamespace", "testvmi")
    assert vmi.uid == "f4686d2c-6e8d-4335-b8fd-81bee22f4814"
    assert "hooks.kubevirt.io/hookSidecars" in vmi.annotations
    assert vmi.grace == 30
    assert vmi.interfaces == (Interface("default", Binding.MASQUERADE, (), True),)
    assert vmi.graphics is ("no-graphics" not in path.name)
    assert vmi.qos_class == "Burstable"
    assert vmi.dedicated_cpus is False


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {}},
        {"metadata": {"annotations": None}, "spec": None, "status": None},
        {"metadata": {"annotations": {}}, "spec": {"domain": {"devices": None, "cpu": None}}},
        {"kind": "", "metadata": {}, "spec": {"networks": None, "domain": {"devices": {"interfaces": None}}}},
    ],
)
def test_what_is_missing_or_null_is_not_said(document: dict[str, Any]) -> None:
    assert read_vmi(json.dumps(document).encode()) == Vmi()


@pytest.mark.parametrize(
    ("fields", "binding"),
    [
        ({"masquerade": {}}, Binding.MASQUERADE),
        ({"bridge": {}}, Binding.BRIDGE),
        ({"passtBinding": {}}, Binding.PASST),
        ({"passt": {}}, Binding.PASST),
        ({"binding": {"name": "passt"}}, Binding.PASST),
        ({"binding": {"name": "l2bridge"}}, Binding.PLUGIN),
        ({"sriov": {}}, Binding.SRIOV),
        ({"macvtap": {}}, Binding.OTHER),
        ({"masquerade": None}, Binding.OTHER),
        ({}, Binding.OTHER),
    ],
)
def test_the_binding_of_an_interface_is_known(fields: dict[str, Any], binding: Binding) -> None:
    assert interfaces_of({"name": "default", **fields})[0].binding is binding


def test_ports_and_ranges_are_read_with_their_protocols() -> None:
    (interface,) = interfaces_of(
        {
            "name": "default",
            "masquerade": {},
            "ports": [{"port": 22}, {"port": 53, "protocol": "UDP", "name": "dns"}],
            "portRanges": [{"protocol": "TCP", "start": 5900, "end": 5910}],
        }
    )
    assert interface.ports == (
        PortRange(22, 22, "tcp"),
        PortRange(53, 53, "udp"),
        PortRange(5900, 5910, "tcp"),
    )
    assert [port in interface.ports[2] for port in (5899, 5900, 5910, 5911)] == [False, True, True, False]


def test_an_interface_that_is_being_unplugged_does_not_count() -> None:
    kept = {"name": "default", "masquerade": {}, "state": "down"}
    assert [each.name for each in interfaces_of(kept, {"name": "b", "state": "absent"})] == ["default"]


@pytest.mark.parametrize(
    ("network", "is_the_pods"),
    [
        ({"name": "net", "pod": {}}, True),
        ({"name": "net", "multus": {"networkName": "a", "default": True}}, True),
        ({"name": "net", "multus": {"networkName": "a"}}, False),
        ({"name": "other", "pod": {}}, False),
    ],
)
def test_it_is_known_which_interface_has_the_pods_address(network: dict[str, Any], is_the_pods: bool) -> None:
    vmi = vmi_of(domain={"devices": {"interfaces": [{"name": "net", "bridge": {}}]}}, networks=[network])
    assert vmi.interfaces[0].on_pod_network is is_the_pods


@pytest.mark.parametrize(("seconds", "grace"), [(0, 0), (180, 180), (-1, None), (10**12, None), (None, None)])
def test_a_grace_period_that_cannot_be_is_not_believed(seconds: int | None, grace: int | None) -> None:
    assert vmi_of(terminationGracePeriodSeconds=seconds).grace == grace


def test_dedicated_cpus_and_the_quality_of_service_are_read() -> None:
    document = {
        "metadata": {},
        "spec": {"domain": {"cpu": {"dedicatedCpuPlacement": True}}},
        "status": {"qosClass": "Guaranteed"},
    }
    vmi = read_vmi(json.dumps(document).encode())
    assert (vmi.dedicated_cpus, vmi.qos_class) == (True, "Guaranteed")


def test_its_text_form_shows_no_annotation() -> None:
    # kubectl keeps whole manifests in one, with the passwords of cloud-init
    document = json.loads(DEFAULT.read_bytes())
    document["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "secret"
    assert "secret" not in repr(read_vmi(json.dumps(document).encode()))


def wrong(**parts: Any) -> bytes:
    return json.dumps({"metadata": {}, **parts}).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b"1" * 10_000, "not JSON"),
        (b"[]", "no metadata"),
        (b"{}", "no metadata"),
        (b'{"metadata": 1}', "no metadata"),
        (b" " * (MAX_VMI_SIZE + 1), "bytes long"),
        (wrong(kind="VirtualMachine"), "not a 'VirtualMachine': kubectl get vmi NAME -o json"),
        (wrong(kind="List"), "not a 'List'"),
        (wrong(kind=1), "kind must be text"),
        (wrong(metadata={"annotations": []}), "annotations must be an object"),
        (wrong(metadata={"annotations": {"a": True}}), "annotation 'a' must be text"),
        (wrong(metadata={"annotations": {"a\n": True}}), r"annotation 'a\\n' must be text"),
        (wrong(metadata={"name": "../../evil"}), "name is not one that Kubernetes would give"),
        (wrong(metadata={"name": "a\n"}), "name is not one"),
        (wrong(metadata={"namespace": "A"}), "namespace is not one"),
        (wrong(metadata={"uid": "a/b"}), "uid is not one"),
        (wrong(metadata={"uid": 5}), "uid must be text"),
        (wrong(spec=[]), "spec must be an object"),
        (wrong(spec={"domain": 1}), "spec.domain must be an object"),
        (wrong(spec={"terminationGracePeriodSeconds": True}), "must be a whole number"),
        (wrong(spec={"terminationGracePeriodSeconds": 1.5}), "must be a whole number"),
        (wrong(spec={"networks": {}}), "networks must be a list"),
        (wrong(spec={"networks": [1]}), "networks must be a list of objects"),
        (wrong(spec={"domain": {"devices": {"interfaces": ["a"]}}}), "interfaces must be a list of objects"),
        (wrong(spec={"domain": {"devices": {"interfaces": [{"ports": [{"port": "22"}]}]}}}), "whole number"),
        (wrong(spec={"domain": {"devices": {"autoattachGraphicsDevice": "no"}}}), "must be true or false"),
        (wrong(status={"qosClass": {}}), "qosClass must be text"),
    ],
)
def test_a_wrong_vmi_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(DomainError, match=reason) as refused:
        read_vmi(data)
    assert "\n" not in str(refused.value)
