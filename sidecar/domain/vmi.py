"""What a VirtualMachineInstance (KubeVirt's JSON) says that somebody here needs to know.

Read once, by everybody: the rewrite, the grace period, the reporter, the advice. Field names are those of
KubeVirt's API (kubevirt.io/v1). A VMI can hold secrets (cloud-init), so no error quotes more than a name.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from sidecar.domain.errors import DomainError

MAX_VMI_SIZE = 2 * 1024 * 1024
"""Bytes; etcd keeps no object of more than 1.5 MiB."""
MAX_GRACE = 10 * 365 * 86400
"""Seconds; a longer grace period is not believed."""

_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
"""A DNS subdomain name, as Kubernetes takes it for objects."""
_UID = re.compile(r"[0-9A-Za-z-]{1,128}")

T = TypeVar("T")


class Binding(StrEnum):
    """How a network interface of the machine is tied to the pod."""

    MASQUERADE = "masquerade"
    BRIDGE = "bridge"
    PASST = "passt"
    SRIOV = "sriov"
    PLUGIN = "plugin"
    OTHER = "other"
    """slirp, macvtap, and what does not exist yet"""


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports that are for the guest, `first` and `last` among them. `protocol`: `tcp` or `udp`."""

    first: int
    last: int
    protocol: str

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of the machine. `on_pod_network`: it is that of the pod, with the pod's address."""

    name: str
    binding: Binding
    ports: tuple[PortRange, ...]
    """Which ports of the pod are for the guest; empty: it does not say."""
    on_pod_network: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmi:
    """A VirtualMachineInstance. What it does not say is empty, None, or KubeVirt's default."""

    namespace: str = ""
    name: str = ""
    uid: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace: int | None = None
    """Seconds that the guest has for shutting down (terminationGracePeriodSeconds)."""
    interfaces: tuple[Interface, ...] = ()
    """Without those that are being unplugged."""
    graphics: bool = True
    """Whether it has a graphics device (autoattachGraphicsDevice)."""
    qos_class: str = ""
    """Of its pod (`Guaranteed`, `Burstable`, `BestEffort`)."""
    dedicated_cpus: bool = False


def read_vmi(data: bytes) -> Vmi:
    """The VirtualMachineInstance in `data` (JSON). Raises DomainError for what is none."""
    if len(data) > MAX_VMI_SIZE:
        raise DomainError(f"the VMI is {len(data)} bytes long, more than the {MAX_VMI_SIZE} that are taken")
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise DomainError("the VMI is nested too deep") from error
    except ValueError as error:
        raise DomainError(f"the VMI is not JSON: {_reason(error)}") from error
    return _vmi(document)


def _reason(error: ValueError) -> str:
    # what is no UTF-8 is quoted by Python's own text for it
    return error.reason if isinstance(error, UnicodeDecodeError) else str(error)


def _vmi(document: object) -> Vmi:
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise DomainError("the VMI has no metadata: a VirtualMachineInstance as JSON is expected")
    kind = _get(document, "kind", str, "VMI's kind") or "VirtualMachineInstance"
    if kind != "VirtualMachineInstance":
        raise DomainError(
            f"a VirtualMachineInstance is expected, not a {_shown(kind)}: kubectl get vmi NAME -o json"
        )
    metadata = document["metadata"]
    spec = _object(document, "spec", "VMI's spec")
    domain = _object(spec, "domain", "VMI's spec.domain")
    devices = _object(domain, "devices", "VMI's spec.domain.devices")
    cpu = _object(domain, "cpu", "VMI's spec.domain.cpu")
    status = _object(document, "status", "VMI's status")
    graphics = _get(devices, "autoattachGraphicsDevice", bool, "VMI's autoattachGraphicsDevice")
    return Vmi(
        namespace=_matching(metadata, "namespace", _NAME),
        name=_matching(metadata, "name", _NAME),
        uid=_matching(metadata, "uid", _UID),
        annotations=_annotations(metadata),
        grace=_grace(spec),
        interfaces=_interfaces(devices, _pod_networks(spec)),
        graphics=True if graphics is None else graphics,
        qos_class=_get(status, "qosClass", str, "VMI's status.qosClass") or "",
        dedicated_cpus=_get(cpu, "dedicatedCpuPlacement", bool, "VMI's dedicatedCpuPlacement") or False,
    )


def _annotations(metadata: dict[str, Any]) -> dict[str, str]:
    annotations = _object(metadata, "annotations", "VMI's annotations")
    for name, value in annotations.items():
        if not isinstance(value, str):
            raise DomainError(f"the value of the VMI's annotation {_shown(name)} must be text")
    return annotations


def _grace(spec: dict[str, Any]) -> int | None:
    seconds = _get(spec, "terminationGracePeriodSeconds", int, "VMI's terminationGracePeriodSeconds")
    return seconds if seconds is not None and 0 <= seconds <= MAX_GRACE else None


def _pod_networks(spec: dict[str, Any]) -> set[str]:
    """Names of the networks that are the pod's own: `pod`, and a `multus` one in its place."""
    names = set()
    for network in _objects(spec, "networks", "VMI's spec.networks"):
        multus = _object(network, "multus", "VMI's network")
        default = _get(multus, "default", bool, "default of the VMI's network")
        if isinstance(network.get("pod"), dict) or default:
            names.add(_get(network, "name", str, "name of the VMI's network") or "")
    return names


def _interfaces(devices: dict[str, Any], pod_networks: set[str]) -> tuple[Interface, ...]:
    interfaces = []
    for each in _objects(devices, "interfaces", "VMI's interfaces"):
        name = _get(each, "name", str, "name of the VMI's interface") or ""
        if each.get("state") != "absent":
            binding = _binding(each)
            interfaces.append(Interface(name, binding, _ports(each), name in pod_networks))
    return tuple(interfaces)


_BINDINGS = {
    "masquerade": Binding.MASQUERADE,
    "bridge": Binding.BRIDGE,
    "passtBinding": Binding.PASST,
    "passt": Binding.PASST,
    "sriov": Binding.SRIOV,
}


def _binding(interface: dict[str, Any]) -> Binding:
    plugin = _object(interface, "binding", "binding of the VMI's interface")
    if plugin:
        return Binding.PASST if plugin.get("name") == "passt" else Binding.PLUGIN
    for key, binding in _BINDINGS.items():
        if isinstance(interface.get(key), dict):
            return binding
    return Binding.OTHER


def _ports(interface: dict[str, Any]) -> tuple[PortRange, ...]:
    # KubeVirt checks the numbers on the pod's network only, so nonsense elsewhere is no reason to refuse
    what = "ports of the VMI's interface"
    ports = []
    for each in _objects(interface, "ports", what):
        number = _get(each, "port", int, what) or 0
        ports.append(PortRange(number, number, _protocol(each, what)))
    for each in _objects(interface, "portRanges", what):
        first, last = (_get(each, key, int, what) or 0 for key in ("start", "end"))
        ports.append(PortRange(first, last, _protocol(each, what)))
    return tuple(ports)


def _protocol(ports: dict[str, Any], what: str) -> str:
    # TCP is Kubernetes' default
    return (_get(ports, "protocol", str, what) or "tcp").lower()


def _matching(metadata: dict[str, Any], key: str, form: re.Pattern[str]) -> str:
    value = _get(metadata, key, str, f"VMI's {key}") or ""
    if value and form.fullmatch(value) is None:
        raise DomainError(f"the VMI's {key} is not one that Kubernetes would give")
    return value


def _get(container: dict[str, Any], key: str, kind: type[T], what: str) -> T | None:
    """A value; None where there is none or, as Go writes it, null."""
    value = container.get(key)
    if value is None:
        return None
    # not isinstance: True is an int
    if type(value) is not kind:
        names = {str: "text", int: "a whole number", bool: "true or false", dict: "an object", list: "a list"}
        raise DomainError(f"the {what} must be {names[kind]}")
    return value


def _object(container: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    return _get(container, key, dict, what) or {}


def _objects(container: dict[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    values = _get(container, key, list, what) or []
    if not all(isinstance(each, dict) for each in values):
        raise DomainError(f"the {what} must be a list of objects")
    return values


def _shown(name: str) -> str:
    """A name as an error may quote it: short, and on one line."""
    return ascii(name[:80])
